"""Whatever comes in: never a 500, nothing of the inside in an answer, nothing stored that the contract refuses."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta

import pytest
import schemathesis
from hostile import good, mangled, nested, takes, texts
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from serving import REQUEST_TIMEOUT_SECONDS, Service

from service.http.bodies import zstd

PATHS = {"/v1/telemetry": None, "/v1/telemetry/meter": "meter", "/v1/telemetry/vehicle": "vehicle"}
MIB = 1024 * 1024

# A valid body may still carry a time that is too old or ahead; an invalid one may be valid after all, because unknown
# fields, query parameters and bodies where none is asked for are ignored.
EXCLUDED = [positive_data_acceptance, negative_data_rejection]

UNSOUND = """
SELECT meter_id, ts, kwh_consumed_ac, voltage FROM meter_telemetry_history
WHERE kwh_consumed_ac NOT BETWEEN 0 AND 99999999.9999 OR voltage NOT BETWEEN 0 AND 1000
    OR ts > now() + interval '301 s' OR ts < now() - interval '91 days' OR meter_id ~ '[[:cntrl:]/]|^\\s|\\s$|^$' OR length(meter_id) > 64
UNION ALL
SELECT vehicle_id, ts, kwh_delivered_dc, soc FROM vehicle_telemetry_history
WHERE kwh_delivered_dc NOT BETWEEN 0 AND 99999999.9999 OR soc NOT BETWEEN 0 AND 100
    OR battery_temp NOT BETWEEN -60 AND 150
    OR ts > now() + interval '301 s' OR ts < now() - interval '91 days' OR vehicle_id ~ '[[:cntrl:]/]|^\\s|\\s$|^$'
    OR length(vehicle_id) > 64
"""


class Wire:
    """Sends bytes and judges what every answer must keep to."""

    def __init__(self, port: int, counts: Counter[int]) -> None:
        self._port, self.counts = port, counts
        self._connection: socket.socket | None = None

    def post(self, path: str, body: bytes, *headers: str, length: int | None = None) -> tuple[int, dict]:
        """Return status and body of the answer; (0, {}) when the connection ends without one."""
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", *headers]
        lines.append(f"Content-Length: {len(body) if length is None else length}")
        return self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body, keeps=length is None)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def send(self, content: bytes, *, keeps: bool = False) -> tuple[int, dict]:
        connection = self._connection or socket.create_connection(("127.0.0.1", self._port), timeout=30)
        self._connection = None
        try:
            try:
                connection.sendall(content)
            except OSError:
                keeps = False  # refused before it was read to its end: the answer may have come all the same
            status, fields, body = _receive(connection)
        finally:
            if keeps and status and fields.get("connection") != "close":
                self._connection = connection
            else:
                connection.close()
        self.counts[status] += 1
        assert status < 500, (status, content[:300], body[:300])
        assert b"Traceback" not in body
        assert b'.py"' not in body
        if fields.get("content-type", "").startswith("application/problem+json"):
            assert json.loads(body)["status"] == status
        return status, json.loads(body) if "json" in fields.get("content-type", "") else {}


def _receive(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    content = b""
    try:
        while b"\r\n\r\n" not in content:
            part = connection.recv(65536)
            if not part:
                return 0, {}, content
            content += part
        head, _, body = content.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(fields.get("content-length", 0)):
            part = connection.recv(65536)
            assert part, "the answer was cut off"
            body += part
        body = body[: int(fields.get("content-length", 0))]  # more than one answer: a part was taken for a request
    except ConnectionResetError:
        return 0, {}, b""
    return int(status.split()[1]), fields, body


@pytest.fixture
def wire(service: Service, answered: Counter[int], session) -> Iterator[Wire]:
    with closing(Wire(service.port, answered)) as made:
        yield made
    assert session.execute(UNSOUND).fetchall() == []
    assert service.runs
    assert "Traceback" not in service.log(), service.log()


@pytest.fixture
def fuzz(is_long: bool) -> Callable[[int], settings]:
    """Hypothesis settings for so many examples, and fifty times as many in the long run."""

    def examples(count: int) -> settings:
        return settings(
            max_examples=count * (50 if is_long else 1),
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )

    return examples


@pytest.fixture
def moments() -> st.SearchStrategy[datetime]:
    """Times of the last quarter of an hour."""
    begin = datetime.now(UTC) - timedelta(minutes=15)
    return st.integers(0, 900_000_000).map(lambda microseconds: begin + timedelta(microseconds=microseconds))


@pytest.mark.parametrize("path", PATHS)
def test_strange_readings_are_taken_or_refused_as_the_contract_says(wire, fuzz, moments, path):
    @fuzz(100)
    @given(st.data())
    def judge(data):
        now = data.draw(moments)
        body = data.draw(texts("STRANGE-1", now)).encode()
        verdict = takes(body, PATHS[path], now)
        status, answer = wire.post(path, body)
        assert status in ((201,) if verdict else (400,) if verdict is False else (201, 400)), (answer, body)
        assert answer.get("success") is True or answer["detail"]

    judge()


@pytest.mark.parametrize("path", [*PATHS, "/v1/telemetry/batch"])
def test_mangled_bytes_are_taken_or_refused_whole(wire, fuzz, moments, path):
    @fuzz(100)
    @given(st.data())
    def judge(data):
        now = data.draw(moments)
        text = data.draw(texts("MANGLED-1", now))
        whole = f'{{"readings": [{text}]}}' if path.endswith("batch") else text
        body = data.draw(mangled(whole.encode()))
        encoding = data.draw(st.sampled_from((None, None, "gzip", "zstd", "br", "gzip, gzip", "\xff", "")))
        if encoding in ("gzip", "zstd"):
            body = gzip.compress(body) if encoding == "gzip" else zstd.compress(body)
            if data.draw(st.booleans()):
                body = data.draw(mangled(body))
        status, _ = wire.post(path, body, *([f"Content-Encoding: {encoding}"] if encoding is not None else []))
        assert status in (201, 400, 413, 415), (status, body)
        # Bytes that are no characters spoil what is read, not what is ignored.
        read = body.decode(errors="replace").encode()
        if encoding is None and not path.endswith("batch") and takes(read, PATHS[path], now) is False:
            assert status == 400, body

    judge()


def test_good_readings_are_stored_beside_any_other(wire, fuzz, moments, session):
    sent: list[datetime] = []

    @fuzz(100)
    @given(st.data())
    def judge(data):
        now, later = data.draw(moments), data.draw(moments)
        beside = data.draw(texts("BESIDE-1", now) | st.sampled_from(("null", "[]", "1", '"x"', "{}", '{"type": 7}')))
        neighbours = [json.dumps({}), json.dumps({})]
        for place, (kind, when) in enumerate((("meter", now), ("vehicle", later))):
            neighbours[place] = "{" + ", ".join(f'"{k}": {v}' for k, v in good(kind, "GOOD-1", when).items()) + "}"
        body = f'{{"readings": [{neighbours[0]}, {beside}, {neighbours[1]}]}}'.encode()
        status, answer = wire.post("/v1/telemetry/batch", body)
        try:
            json.loads(body)
        except ValueError:
            assert status == 400, body
            return
        assert status == 201, (answer, body)
        assert answer["success"] + answer["failed"] == 3
        assert answer["success"] >= 2, (answer, body)
        sent.extend((now, later))

    judge()
    stored = session.execute(
        "SELECT ts FROM meter_telemetry_history WHERE meter_id = 'GOOD-1' "
        "UNION SELECT ts FROM vehicle_telemetry_history WHERE vehicle_id = 'GOOD-1'"
    ).fetchall()
    assert {ts for (ts,) in stored} == set(sent)


@pytest.mark.parametrize("path", [*PATHS, "/v1/telemetry/batch"])
def test_monsters_are_refused(wire, service, path):
    """Great sizes and depths: a clear answer, soon, and memory that does not grow with what a bomb unpacks to."""
    memory = service.rss_mb()
    reading = good("meter", "MONSTER-1", datetime.now(UTC))
    great_id = json.dumps({"meterId": "x" * 10 * MIB, "type": "meter"}).encode()
    great_number = ("{" + f'"type": "meter", "meterId": "M", "voltage": {"9" * 5 * MIB}' + "}").encode()
    members = "{" + ", ".join(f'"k{n}": {n}' for n in range(200_000)) + "}"
    zeros = b" " * MIB * 64
    deep = [nested(opening, 1_000_000) for opening in ("[", '{"a":', '{"readings":[', '[{"readings":')]
    began = time.monotonic()
    for body in (great_id, great_number, members.encode(), *deep):
        status, answer = wire.post(path, body)
        assert status == 400
        assert len(json.dumps(answer)) < 1000
    assert wire.post(path, b" " * (16 * MIB + 1))[0] in (413, 0)
    assert wire.post(path, gzip.compress(zeros), "Content-Encoding: gzip")[0] == 413
    assert wire.post(path, zstd.compress(zeros), "Content-Encoding: zstd")[0] == 413
    assert wire.post(path, gzip.compress(gzip.compress(zeros)), "Content-Encoding: gzip")[0] == 400
    assert time.monotonic() - began < 30
    assert service.rss_mb() < memory + 150
    assert reading


def test_wrong_lengths_and_framings(wire):
    body = (
        "{" + ", ".join(f'"{k}": {v}' for k, v in good("meter", "FRAME-1", datetime.now(UTC)).items()) + "}"
    ).encode()
    path = "/v1/telemetry"
    began = time.monotonic()
    assert wire.post(path, body, length=len(body) + 10)[0] == 408
    assert time.monotonic() - began < REQUEST_TIMEOUT_SECONDS + 2
    assert wire.post(path, body, length=len(body) - 10)[0] == 400
    assert wire.post(path, body, "Content-Length: 5")[0] in (400, 0)
    assert wire.post(path, b"")[0] == 400
    for framing in ("Content-Length: -1", "Content-Length: x", "Content-Length: 99999999999999999999"):
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode()
        assert wire.send(head + body)[0] in (400, 413, 0)
    chunked = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert wire.send(chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))[0] == 201
    assert wire.send(chunked + b"zz\r\n" + body)[0] in (400, 0)
    assert wire.send(chunked + b"fffffffffffffffff\r\n" + body)[0] in (400, 0)


def test_every_operation_keeps_to_its_document(service, answered, session, is_long):
    """Drawn from the OpenAPI document, valid and not: only documented statuses, types and bodies."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{service.port}/api/openapi.json")
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in schemathesis.GenerationMode:

            @settings(
                max_examples=200 if is_long else 4,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(operation.as_strategy(generation_mode=mode))
            def check(case):
                response = case.call(timeout=30)
                answered[response.status_code] += 1
                case.validate_response(response, excluded_checks=EXCLUDED)
                assert "Traceback" not in response.text

            with suppress(Unsatisfiable):  # there is no wrong way to ask what takes no input
                check()
    assert session.execute(UNSOUND).fetchall() == []
    assert "Traceback" not in service.log()
