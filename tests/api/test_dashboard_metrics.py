"""Every metric that a dashboard shows is one that the service has, with the labels that the query asks for."""

from __future__ import annotations

import re

import pytest
from dashboards import PROMETHEUS, queries
from fix_service import meter_reading, send, vehicle_reading, wait_until

METRIC = re.compile(r"\b(ev_engine_\w+)")
GROUPED = re.compile(r"\bby \(([^)]*)\)")


def test_every_metric_of_the_dashboards_is_one_of_the_service(client):
    if client.get("/metrics").status_code == 404:
        pytest.skip("this service has no /metrics yet")
    send(client, meter_reading(), vehicle_reading())
    client.get("/v1/status/overview")
    asked = list(queries(PROMETHEUS))
    assert len(asked) > 10

    def missing() -> dict[str, set[str]]:
        text = client.get("/metrics").text
        found: dict[str, set[str]] = {}
        for query in asked:
            (labels,) = GROUPED.findall(query.text) or [""]
            (metric,) = METRIC.findall(query.text)
            series = re.findall(rf"^{metric}(?:\{{(.*)\}})? ", text, re.MULTILINE)
            has = [set(re.findall(r'(\w+)="', part)) for part in series]
            wanted = set(re.findall(r"\w+", labels))
            if not any(wanted <= labels for labels in has):
                found.setdefault(query.name, set()).add(f"{metric} {wanted or ''}")
        return found

    # Some are set by a task of the service that runs now and then.
    wait_until(lambda: not missing()) if missing() else None
    assert missing() == {}
