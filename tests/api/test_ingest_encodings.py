"""Request bodies: compressed ones, and the limit of 16 MiB however they come."""

from __future__ import annotations

import gzip
import json
import time

import pytest
from fix_service import meter_reading, vehicle_reading

from service.http.bodies import zstd

LIMIT = 16 * 1024 * 1024
COMPRESS = {"gzip": gzip.compress, "zstd": zstd.compress}


def batch(*readings: dict) -> bytes:
    return json.dumps({"readings": readings}).encode()


def post(client, body: bytes, encoding: str, path: str = "/batch"):
    return client.post(f"/v1/telemetry{path}", content=body, headers={"Content-Encoding": encoding})


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_compressed_body_is_read(client, encoding):
    compress = COMPRESS[encoding]
    assert post(client, compress(batch(meter_reading(), vehicle_reading())), encoding).json()["success"] == 2
    single = post(client, compress(json.dumps(meter_reading(meterId="M2")).encode()), encoding.upper(), "")
    assert single.json() == {"success": True, "type": "meter", "id": "M2"}


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_body_compressed_in_several_members_is_read(client, encoding):
    body, compress = batch(meter_reading(), vehicle_reading()), COMPRESS[encoding]
    assert post(client, compress(body[:40]) + compress(body[40:]), encoding).json()["success"] == 2


def test_identity_is_no_compression(client):
    assert post(client, batch(meter_reading()), "identity").status_code == 201


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_broken_compression_is_a_problem(client, encoding):
    body = batch(*(meter_reading(meterId=f"M{n * 7919 % 1000}") for n in range(50)))
    whole = COMPRESS[encoding](body)
    faults = {
        "not compressed": body,
        "truncated": whole[: len(whole) // 2],
        "corrupt": whole[:40] + bytes(255 - byte for byte in whole[40:60]) + whole[60:],
        "trailing": whole + b"garbage",
    }
    for fault, broken in faults.items():
        response = post(client, broken, encoding)
        assert response.status_code == 400, (fault, response.text)
        assert response.headers["content-type"].startswith("application/problem+json")
    assert client.get("/v1/status/overview").json()["totalMeters"] == 0


def test_an_unknown_encoding_gets_415(client):
    for encoding in ("br", "deflate", "gzip, zstd", "nonsense"):
        response = post(client, batch(meter_reading()), encoding)
        assert response.status_code == 415, encoding
        assert response.headers["content-type"].startswith("application/problem+json")


@pytest.mark.parametrize("encoding", ["identity", *COMPRESS])
def test_sixteen_mebibytes_fit_and_one_byte_more_does_not(client, encoding):
    compress = COMPRESS.get(encoding, bytes)
    body = batch(meter_reading())
    fits = body + b" " * (LIMIT - len(body))
    assert post(client, compress(fits), encoding).status_code == 201
    response = post(client, compress(fits + b" "), encoding)
    assert response.status_code == 413, response.text[:500]
    assert response.headers["content-type"].startswith("application/problem+json")


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(client):
    def endless():
        for _ in range(LIMIT // 2**20 + 1):
            yield b" " * 2**20

    assert client.post("/v1/telemetry/batch", content=endless()).status_code == 413


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_small_body_that_unpacks_to_a_gigabyte_is_refused(client, encoding):
    if encoding == "gzip":
        part = gzip.compress(bytes(2**26))
        bomb = part * 16
    else:
        bomb = zstd.compress(bytes(2**30))
    assert len(bomb) < 2**21
    assert post(client, bomb, encoding).status_code == 413


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_body_that_ends_early_is_refused_wherever_it_is_cut(client, encoding):
    whole = COMPRESS[encoding](json.dumps(meter_reading()).encode())
    assert [cut for cut in range(1, len(whole)) if post(client, whole[:cut], encoding, "").status_code != 400] == []
    assert (
        client.put(
            "/v1/telemetry/mapping/M1/V1", content=whole[: len(whole) // 2], headers={"Content-Encoding": encoding}
        ).status_code
        == 400
    )
    assert client.get("/v1/telemetry/mappings").json() == []


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_body_of_very_many_parts_is_refused_at_once(client, encoding):
    started = time.monotonic()
    response = post(client, COMPRESS[encoding](b"") * 500_000, encoding)
    assert (response.status_code, "parts" in response.json()["detail"]) == (400, True)
    assert time.monotonic() - started < 5, "16 MiB copied for each part would take minutes"


def test_parts_and_pieces_of_any_size_are_put_together(client):
    body = batch(*(meter_reading(meterId=f"M{n}") for n in range(200)))
    for encoding, compress in COMPRESS.items():
        parts = b"".join(compress(body[start : start + 97]) for start in range(0, len(body), 97))
        assert len(parts) > 2**14
        assert post(client, parts, encoding).json()["success"] == 200
