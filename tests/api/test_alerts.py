"""Alerts over HTTP, and their delivery to a real receiver."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from fix_service import ago, now, rfc3339, send, vehicle_reading, wait_until

RULE = {"kind": "hotBattery", "threshold": 50, "clearThreshold": 45, "severity": "critical"}


def evaluate(connection, seconds: float = 0) -> None:
    """Evaluate, and form notices as if so much time had passed."""
    at = now() + timedelta(seconds=seconds)
    connection.execute("SELECT engine.evaluate_alerts(%s)", [at])
    connection.execute("SELECT engine.form_alert_notices(%s)", [at + timedelta(seconds=40)])


def heat(client, vehicle: str, temperature: float, **age: float) -> None:
    send(client, vehicle_reading(vehicleId=vehicle, batteryTemp=temperature, timestamp=ago(**(age or {"seconds": 5}))))


def test_a_sensible_set_of_rules_is_there_from_the_start(client):
    rules = {rule["name"]: rule for rule in client.get("/v1/alerts/rules").json()}
    assert {
        "low-efficiency",
        "silent-device",
        "hot-battery",
        "warm-battery",
        "voltage",
        "implausible",
        "no-readings",
    } <= set(rules)
    assert rules["hot-battery"] == {
        "name": "hot-battery",
        "kind": "hotBattery",
        "threshold": 55,
        "clearThreshold": 50,
        "forSeconds": 0,
        "depot": None,
        "severity": "critical",
        "enabled": True,
    }


def test_an_alert_rises_once_is_acknowledged_and_clears_by_itself(client, connection):
    assert client.put("/v1/alerts/rules/too-hot", json=RULE).status_code == 200
    heat(client, "V1", 52, seconds=60)
    evaluate(connection)
    evaluate(connection, 30)
    [alert] = client.get("/v1/alerts", params={"kind": "hotBattery", "state": "raised"}).json()["data"]
    assert (alert["type"], alert["deviceId"], alert["rule"], alert["value"], alert["severity"]) == (
        "vehicle",
        "V1",
        "too-hot",
        52,
        "critical",
    )
    assert alert["message"] == "vehicle V1: battery temperature 52 °C"
    acknowledged = client.post(f"/v1/alerts/{alert['id']}/acknowledge")
    assert (acknowledged.status_code, acknowledged.json()) == (200, {"id": alert["id"], "state": "acknowledged"})
    [alert] = client.get("/v1/alerts", params={"state": "acknowledged"}).json()["data"]
    assert alert["acknowledgedBy"] == "HTTP without a key"
    heat(client, "V1", 44)
    evaluate(connection, 60)
    [alert] = client.get("/v1/alerts", params={"deviceId": "V1", "state": "cleared"}).json()["data"]
    assert alert["clearedAt"] is not None
    assert client.post(f"/v1/alerts/{alert['id']}/acknowledge").json()["state"] == "cleared"


def test_an_acknowledgement_until_a_time_ends_then(client, connection):
    client.put("/v1/alerts/rules/too-hot", json=RULE)
    heat(client, "V1", 52)
    evaluate(connection)
    [alert] = client.get("/v1/alerts", params={"kind": "hotBattery"}).json()["data"][:1]
    until = rfc3339(now() + timedelta(seconds=45))
    assert client.post(f"/v1/alerts/{alert['id']}/acknowledge", json={"until": until}).status_code == 200
    evaluate(connection, 30)
    assert [a["state"] for a in client.get("/v1/alerts").json()["data"] if a["id"] == alert["id"]] == ["acknowledged"]
    evaluate(connection, 60)
    assert [a["state"] for a in client.get("/v1/alerts").json()["data"] if a["id"] == alert["id"]] == ["raised"]


def test_pages_follow_each_other(client, connection):
    client.put("/v1/alerts/rules/too-hot", json=RULE)
    for number in range(5):
        heat(client, f"V{number}", 54)
    evaluate(connection)
    seen, cursor = [], None
    while True:
        page = client.get(
            "/v1/alerts", params={"kind": "hotBattery", "limit": 2} | ({"cursor": cursor} if cursor else {})
        ).json()
        seen += [alert["deviceId"] for alert in page["data"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == 5
    assert set(seen) == {f"V{number}" for number in range(5)}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "loud", "threshold": 1}, "kind"),
        ({"kind": "silent"}, "threshold"),
        ({"kind": "silent", "threshold": "soon"}, "threshold"),
        ({"kind": "silent", "threshold": 60, "clearThreshold": 61}, None),
        ({"kind": "silent", "threshold": 60, "forSeconds": -1}, "forSeconds"),
        ({"kind": "silent", "threshold": 60, "severity": "loud"}, "severity"),
        ({"kind": "silent", "threshold": 60, "colour": "red"}, "colour"),
    ],
)
def test_a_wrong_rule_is_refused_with_what_is_wrong(client, body, field):
    response = client.put("/v1/alerts/rules/mine", json=body)
    assert response.status_code == 400, response.text
    assert response.json().get("field") == field
    assert "mine" not in {rule["name"] for rule in client.get("/v1/alerts/rules").json()}


def test_unknown_alerts_and_rules_are_told(client):
    assert client.post("/v1/alerts/7/acknowledge").status_code == 404
    assert client.delete("/v1/alerts/rules/none").status_code == 404
    assert client.put("/v1/alerts/rules/Not%20A%20Name", json=RULE).status_code == 400
    assert client.get("/v1/alerts", params={"cursor": "x"}).status_code == 400
    assert client.get("/v1/alerts", params={"state": "open"}).status_code == 400


def test_notices_reach_a_receiver_in_order_after_an_outage(open_client, connection, receiver):
    client = open_client(alert_urls=(receiver.url,))
    client.put("/v1/alerts/rules/too-hot", json=RULE)
    wait_until(lambda: connection.execute("SELECT FROM engine.alert_target").fetchone() is not None)
    receiver.refuses = True
    heat(client, "V1", 52, seconds=60)
    evaluate(connection)
    wait_until(lambda: receiver.refused)
    heat(client, "V1", 40)
    evaluate(connection, 60)
    receiver.refuses = False
    wait_until(lambda: len([title for title in receiver.titles() if "V1" in title]) == 2)
    told = [title for title in receiver.titles() if "V1" in title]
    assert told == ["vehicle V1: battery temperature 52 °C", "Cleared: vehicle V1: battery temperature 52 °C"]
    wait_until(lambda: connection.execute("SELECT failures FROM engine.alert_target").fetchone() == (0,))


def test_two_processes_tell_a_receiver_once(open_client, connection, receiver):
    clients = [open_client(alert_urls=(receiver.url,)) for _ in range(2)]
    clients[0].put("/v1/alerts/rules/too-hot", json=RULE)
    wait_until(lambda: connection.execute("SELECT FROM engine.alert_target").fetchone() is not None)
    for number in range(4):
        heat(clients[0], f"V{number}", 52)
        evaluate(connection, 30 * number)
    wait_until(
        lambda: (
            connection.execute(
                "SELECT delivered_through = (SELECT max(notice_id) FROM engine.alert_notice) FROM engine.alert_target"
            ).fetchone()
            == (True,)
        )
    )
    time.sleep(1.5)  # what a second delivery would need to show
    assert sorted(receiver.titles()) == sorted(set(receiver.titles()))
