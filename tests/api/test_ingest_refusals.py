"""Refusals: every rule for a reading, at its exact edge, alone and inside a batch."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

import pytest
from fix_service import ago, meter_reading, now, rfc3339, vehicle_reading, without

METER, VEHICLE = meter_reading(), vehicle_reading()
WRONG_TYPES = [
    ("kwhConsumedAc", meter_reading(kwhConsumedAc="0.1")),
    ("kwhConsumedAc", meter_reading(kwhConsumedAc=True)),
    ("kwhConsumedAc", meter_reading(kwhConsumedAc=None)),
    ("kwhConsumedAc", meter_reading(kwhConsumedAc=[1])),
    ("voltage", meter_reading(voltage={})),
    ("meterId", meter_reading(meterId=7)),
    ("meterId", meter_reading(meterId=None)),
    ("timestamp", meter_reading(timestamp=1770000000)),
    ("soc", vehicle_reading(soc="60%")),
    ("batteryTemp", vehicle_reading(batteryTemp=True)),
]
OUT_OF_RANGE = [
    ("kwhConsumedAc", meter_reading(kwhConsumedAc=-0.0001)),
    ("kwhConsumedAc", meter_reading(kwhConsumedAc=100_000_000)),
    ("kwhConsumedAc", meter_reading(kwhConsumedAc=10**400)),
    ("kwhDeliveredDc", vehicle_reading(kwhDeliveredDc=-1e-9)),
    ("kwhDeliveredDc", vehicle_reading(kwhDeliveredDc=1e8)),
    ("voltage", meter_reading(voltage=-0.001)),
    ("voltage", meter_reading(voltage=1000.0001)),
    ("soc", vehicle_reading(soc=-0.001)),
    ("soc", vehicle_reading(soc=100.00000001)),
    ("batteryTemp", vehicle_reading(batteryTemp=-60.001)),
    ("batteryTemp", vehicle_reading(batteryTemp=150.001)),
]
BAD_TIMES = [
    "",
    "yesterday",
    "2026-02-30T10:00:00Z",
    now().replace(tzinfo=None).isoformat(),  # no offset
    now().date().isoformat(),
    rfc3339(now() + timedelta(days=1)),
    ago(days=91),
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-12:00",
]
BAD_IDS = [
    "",
    "x" * 65,
    "a/b",
    " a",
    "a ",
    "\ta",
    "a\n",
    "a\u0000b",
    "a\u001fb",
    "a\u007fb",
    "a\u0085b",
    "\u00a0a",
    "a\u3000",
    "a\ud800b",
    "a\u200bb",
    "a\u202eb",
    "a\u2066b",
    "\ufeffa",
    "a\u00adb",
    "\u0958" * 40,  # NFC makes two characters of each
]
RULES = {
    "missing field": [
        (name, without(reading, name)) for reading in (METER, VEHICLE) for name in reading if name != "type"
    ],
    "wrong type": WRONG_TYPES,
    "out of range": OUT_OF_RANGE,
    "time": [("timestamp", METER | {"timestamp": text}) for text in BAD_TIMES],
    "id": [("meterId", METER | {"meterId": text}) for text in BAD_IDS]
    + [("vehicleId", VEHICLE | {"vehicleId": "a/b"})],
}


@pytest.mark.parametrize("rule", RULES)
def test_a_bad_reading_is_refused_by_field(client, rule):
    for field, reading in RULES[rule]:
        response = client.post("/v1/telemetry", content=json.dumps(reading))
        assert response.status_code == 400, (reading, response.text)
        problem = response.json()
        assert problem["field"] == field, (reading, problem)
        assert problem["detail"].startswith(f"{field} "), (reading, problem)
    assert client.get("/v1/status/overview").json()["totalMeters"] == 0


@pytest.mark.parametrize("rule", RULES)
def test_a_bad_reading_in_a_batch_is_refused_by_place_device_and_field(client, rule):
    readings = [reading for _, reading in RULES[rule]]
    response = client.post("/v1/telemetry/batch", content=json.dumps({"readings": [*readings, METER]}))
    assert response.status_code == 201, response.text
    answer = response.json()
    assert (answer["success"], answer["failed"]) == (1, len(readings)), answer
    for place, ((field, reading), error) in enumerate(zip(RULES[rule], answer["errors"], strict=True)):
        assert error.startswith(f"readings[{place}] {reading['type']}:"), reading
        assert f": {field} " in error, reading


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
def test_a_number_that_is_not_finite_refuses_only_its_own_reading(client, literal):
    template = json.dumps(meter_reading(kwhConsumedAc="?")).encode()
    bad = template.replace(b'"?"', literal)
    single = client.post("/v1/telemetry", content=bad)
    assert single.status_code == 400, single.text
    assert single.headers["content-type"].startswith("application/problem+json")

    good = json.dumps(meter_reading()).encode()
    batch = client.post("/v1/telemetry/batch", content=b'{"readings": [' + bad + b", " + good + b"]}")
    assert batch.status_code == 201, batch.text
    answer = batch.json()
    assert (answer["success"], answer["failed"]) == (1, 1)
    assert answer["errors"][0].startswith("readings[0] meter:METER-001: kwhConsumedAc ")


EDGES = [
    meter_reading(kwhConsumedAc=0, voltage=0),
    meter_reading(kwhConsumedAc=-0.0, voltage=1000),
    meter_reading(kwhConsumedAc=99_999_999.9999),
    vehicle_reading(soc=0, batteryTemp=-60),
    vehicle_reading(soc=100, batteryTemp=150, kwhDeliveredDc=99_999_999.9999),
    meter_reading(timestamp=rfc3339(now() + timedelta(seconds=200))),
    meter_reading(timestamp=ago(days=89.9)),
    meter_reading(meterId="x" * 64),
    meter_reading(meterId="é" * 64),
    meter_reading(meterId="Zähler 7 — 充电桩 🔌 \\ \" ' % ? # & ;"),
    meter_reading(meterId="a"),
    meter_reading(meterId=".."),
    meter_reading(meterId="\U0001f50c" * 64),
]


def test_a_reading_at_the_very_edge_is_accepted(client):
    for reading in EDGES:
        response = client.post("/v1/telemetry", json=reading)
        assert response.status_code == 201, (reading, response.text)
        assert response.json()["id"] == reading.get("meterId", reading.get("vehicleId"))


def test_what_fits_before_rounding_but_not_after_never_breaks_the_service(client):
    on_the_edge = meter_reading(kwhConsumedAc=99_999_999.999949999, meterId="edge")
    response = client.post("/v1/telemetry/batch", json={"readings": [on_the_edge, meter_reading()]})
    assert response.status_code == 201, response.text
    assert response.json()["success"] >= 1


def test_the_accepted_clock_skew_is_configurable(open_client):
    client = open_client(max_clock_skew_seconds=3600)
    ahead = [meter_reading(timestamp=rfc3339(now() + timedelta(seconds=s))) for s in (3500, 3700)]
    assert [client.post("/v1/telemetry", json=reading).status_code for reading in ahead] == [201, 400]


def test_the_accepted_age_follows_the_retention_of_each_history(client, connection):
    connection.execute("UPDATE engine.retention SET keep = '2 days' WHERE relation = 'meter_telemetry_history'")
    late = {"timestamp": ago(days=2.1)}
    refused = client.post("/v1/telemetry", json=meter_reading(**late))
    assert (refused.status_code, refused.json()["field"]) == (400, "timestamp")
    assert client.post("/v1/telemetry", json=vehicle_reading(**late)).status_code == 201
    assert client.post("/v1/telemetry", json=meter_reading(timestamp=ago(days=1.9))).status_code == 201


@pytest.mark.parametrize("surrogate", [rb"\ud800", b"\xed\xa0\x80"], ids=["escaped", "encoded"])
def test_half_a_surrogate_pair_is_refused_wherever_it_stands(client, surrogate):
    text = json.dumps(METER).encode()
    for place in (b"meter", b"METER-001", b"timestamp", b"type"):
        bad = text.replace(place, surrogate, 1)
        response = client.post("/v1/telemetry", content=bad)
        assert response.status_code == 400, (bad, response.text)
        assert client.post("/v1/telemetry/batch", content=b'{"readings": [' + bad + b"]}").status_code == 400


NO_READINGS = [
    *(b"", b"{", b"[]", b"null", b'"text"', b"7", b"\xff\xfe", b'{"type": "meter"'),
    *(b"[" * 100_000, b'{"x":' * 100_000),
]


@pytest.mark.parametrize("path", ["", "/meter", "/vehicle", "/batch"])
def test_a_body_that_is_no_reading_is_a_problem_not_a_failure(client, path):
    for body in NO_READINGS:
        response = client.post(f"/v1/telemetry{path}", content=body)
        assert response.status_code == 400, (body[:20], response.text)
        assert response.headers["content-type"].startswith("application/problem+json")
        assert response.json()["detail"]


def test_a_reading_with_a_deeply_nested_unknown_field_never_breaks_the_service(client):
    reading = json.dumps(METER)[:-1].encode() + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert client.post("/v1/telemetry", content=reading).status_code in (201, 400)
    batch = client.post("/v1/telemetry/batch", content=b'{"readings": [' + reading + b"]}")
    assert batch.status_code in (201, 400)


WORDS = {
    b"": "body is empty: send a reading as JSON",
    b" \n": "body is empty: send a reading as JSON",
    b"\xef\xbb\xbf{}": "body begins with a byte order mark: send UTF-8 without it",
    b'{"type": "meter\xff"}': "body is not UTF-8: byte 16 begins no character",
    b'{"type": "meter"': "body is not valid JSON: a comma or the closing bracket is missing (line 1, column 17)",
    b"type=meter": "body is not valid JSON: a value is missing, or is no JSON (line 1, column 1)",
    b"{'type': 'meter'}": "body is not valid JSON: the name of a field must stand here, in double quotes "
    "(line 1, column 2)",
}


@pytest.mark.parametrize("body", WORDS)
def test_what_is_wrong_with_a_body_is_told_in_plain_words(client, body):
    assert client.post("/v1/telemetry", content=body).json()["detail"] == WORDS[body]


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_not_finite_is_told_as_such(client, literal):
    bad = json.dumps(meter_reading(voltage="?")).replace('"?"', literal)
    reason = "voltage must be a finite number: JSON has no NaN and no Infinity"
    assert client.post("/v1/telemetry", content=bad).json()["detail"] == reason
    batch = client.post("/v1/telemetry/batch", content=f'{{"readings": [{bad}]}}').json()
    assert batch["errors"] == [f"readings[0] meter:METER-001: {reason}"]


@pytest.mark.parametrize(("path", "reading"), [("meter", VEHICLE), ("vehicle", METER)])
def test_a_reading_at_the_address_of_the_other_kind_is_told_where_to_go(client, path, reading):
    problem = client.post(f"/v1/telemetry/{path}", json=reading).json()
    assert problem["detail"] == (
        f"type must be {path} here: send this reading to /v1/telemetry/{reading['type']}, or to /v1/telemetry"
    )


@pytest.mark.parametrize(
    ("bad_id", "reason"),
    [
        ("a\ud800b", "must not hold half of a surrogate pair, which is no character: send both"),
        ("a\u0000b", "must not hold control characters (U+0000)"),
        ("a\u200bb", "must not hold invisible characters or marks of direction (U+200B)"),
        ("a\u202eb", "must not hold invisible characters or marks of direction (U+202E)"),
        ("a/b", "must not hold a slash"),
        (" é", "must not begin or end with white space"),
    ],
)
def test_what_is_wrong_with_an_id_is_told(client, bad_id, reason):
    response = client.post("/v1/telemetry", content=json.dumps(meter_reading(meterId=bad_id)))
    assert response.json()["detail"] == f"meterId {reason}"


def test_a_refusal_for_age_names_the_limit(client, connection):
    connection.execute("UPDATE engine.retention SET keep = '2 days' WHERE relation = 'meter_telemetry_history'")
    late = meter_reading(timestamp=ago(days=80))
    single = client.post("/v1/telemetry", json=late).json()["detail"]
    batch = client.post("/v1/telemetry/batch", json={"readings": [late, vehicle_reading(timestamp=ago(days=91))]})
    for text, days in zip([single, *batch.json()["errors"]], (2, 2, 90), strict=True):
        found = re.search(r"timestamp must not be older than (\S+Z): the history that is kept begins there$", text)
        assert found, text
        limit = datetime.fromisoformat(found[1])
        assert abs(now() - timedelta(days=days) - limit) < timedelta(seconds=60)
        other = {"meterId": "M2"} if days == 2 else {"vehicleId": "V2"}
        make = meter_reading if days == 2 else vehicle_reading
        soon = client.post("/v1/telemetry", json=make(timestamp=rfc3339(limit + timedelta(seconds=60)), **other))
        assert soon.status_code == 201, "what is younger than the limit is taken"


def test_a_refusal_for_a_time_to_come_names_the_limit(client):
    detail = client.post("/v1/telemetry", json=meter_reading(timestamp=rfc3339(now() + timedelta(days=1)))).json()
    assert re.fullmatch(r"timestamp must not be later than \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", detail["detail"])


def test_ids_are_compared_as_unicode_nfc(client):
    composed, decomposed = "Zähler é", "Za\u0308hler e\u0301"
    reading = meter_reading(meterId=decomposed)
    assert client.post("/v1/telemetry", json=reading).json()["id"] == composed
    again = client.post("/v1/telemetry/batch", json={"readings": [reading | {"meterId": composed}]}).json()
    assert again["duplicates"] == 1
    for name in (composed, decomposed):
        assert client.get(f"/v1/status/meter/{name}").json()["meterId"] == composed
    assert client.put(f"/v1/telemetry/mapping/{decomposed}/V1").json()["meterId"] == composed
    assert len(client.get("/v1/telemetry/mappings", params={"meterId": decomposed}).json()) == 1


@pytest.mark.parametrize("path", ["", "/batch"])
@pytest.mark.parametrize("fraction", ["9999999", "9999995", "99999999999999999999"])
def test_a_fraction_of_a_second_is_cut_and_never_rounded_up(client, connection, path, fraction):
    day = (now() - timedelta(days=1)).date()
    reading = meter_reading(timestamp=f"{day}T23:59:59.{fraction}Z")
    client.post(f"/v1/telemetry{path}", json={"readings": [reading]} if path else reading)
    (ts,) = connection.execute("SELECT ts FROM meter_telemetry_history").fetchone()
    assert rfc3339(ts) == f"{day}T23:59:59.999999Z"


def test_an_id_that_looks_like_a_long_fraction_is_kept(client):
    name = "12:59:59.9999999Z"
    assert client.post("/v1/telemetry", json=meter_reading(meterId=name)).json()["id"] == name
