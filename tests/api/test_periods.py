"""Periods: ?hours= and ?end=, the same for all analytics."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from fix_service import now, rfc3339
from fleet import MICROSECOND, at, charge, map_own_meter, moment

PATHS = ("performance/V1", "trend/V1", "fleet/efficiency")


@pytest.fixture
def analytics(client):
    """A vehicle that charged at 10:00 UTC."""
    map_own_meter(client, "V1")
    charge(client, "V1", at(10), dc=1, ac=1)
    return lambda path, **query: client.get(f"/v1/analytics/{path}", params=query)


def test_the_period_is_a_day_and_ends_now_unless_told_otherwise(client):
    charge(client, "V1", now() - timedelta(hours=23), dc=1)
    charge(client, "V1", now() - timedelta(hours=25), dc=1)
    for path in ("performance/V1", "fleet/efficiency"):
        answer = client.get(f"/v1/analytics/{path}").json()
        start, end = (datetime.fromisoformat(answer[name]) for name in ("periodStart", "periodEnd"))
        assert end - start == timedelta(hours=24)
        assert abs((now() - end).total_seconds()) < 60
        assert answer["periodEnd"].endswith("Z")
        assert answer["totalKwhDeliveredDc"] == 1


@pytest.mark.parametrize("path", PATHS)
def test_hours_are_limited_to_a_year(analytics, path):
    for hours in ("1", "24", "8760"):
        assert analytics(path, hours=hours, end=at(10.5)).status_code == 200, hours
    for hours in ("0", "8761", "-1", "1.5", "abc", "", "99999999999999999999"):
        response = analytics(path, hours=hours, end=at(10.5))
        assert response.status_code == 400, (hours, response.text)
        assert response.headers["content-type"].startswith("application/problem+json")
        assert "hours" in response.text


@pytest.mark.parametrize("path", PATHS)
def test_a_bad_end_is_refused_by_field(analytics, path):
    for end in ("", "yesterday", "2026-02-12", "2026-02-12T10:00:00", "1770000000", "2026-13-01T00:00:00Z", "%00"):
        response = analytics(path, end=end)
        assert response.status_code == 400, (end, response.text)
        assert response.headers["content-type"].startswith("application/problem+json")
        assert response.json()["field"] == "end"


@pytest.mark.parametrize("path", PATHS)
def test_an_end_at_the_edge_of_time_is_an_answer_or_a_refusal_never_a_failure(analytics, path):
    for end in (
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-14:00",
    ):
        assert analytics(path, end=end, hours=8760).status_code in (200, 400, 404), end


def test_an_end_may_have_any_offset(analytics):
    for end, status in {moment(11): 200, moment(11) + MICROSECOND: 404}.items():
        east = end.astimezone(timezone(timedelta(hours=2))).isoformat()
        west = end.astimezone(timezone(-timedelta(hours=9, minutes=30))).isoformat()
        for text in (rfc3339(end), rfc3339(end).replace("Z", "+00:00"), east, west):
            response = analytics("performance/V1", hours=1, end=text)
            assert response.status_code == status, (text, response.text)
            if status == 200:
                assert response.json()["periodEnd"] == rfc3339(end)


def test_a_plus_that_arrives_as_a_space_is_a_plus(client, analytics):
    text = moment(11).astimezone(timezone(timedelta(hours=2))).isoformat()
    for end in (text, text.replace("+", "%2B"), text.replace("+", "%20")):
        response = client.get(f"/v1/analytics/performance/V1?hours=1&end={end}")
        assert response.status_code == 200, (end, response.text)
        assert response.json()["periodEnd"] == at(11)


def test_an_end_may_be_written_in_small_letters(client):
    response = client.get("/v1/analytics/fleet/efficiency?end=2026-02-12t10:30:00z")
    assert response.json()["periodEnd"] == "2026-02-12T10:30:00Z"
