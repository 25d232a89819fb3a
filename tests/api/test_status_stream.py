"""The status stream: what changes reaches every listener, from one question a second."""

from __future__ import annotations

import http.client
import json
import threading

from fix_service import now, rfc3339, vehicle_reading, wait_until


class Listener(threading.Thread):
    """Reads events from the stream of a running service."""

    def __init__(self, port: int, query: str = "") -> None:
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.connection.request("GET", f"/v1/status/stream{query}")
        self.answer = self.connection.getresponse()
        self.events: list[tuple[str, dict]] = []
        self.ended = False
        self.start()

    def run(self) -> None:
        name = ""
        try:
            for line in self.answer:
                text = line.decode().rstrip()
                if text.startswith("event: "):
                    name = text[7:]
                elif text.startswith("data: "):
                    self.events.append((name, json.loads(text[6:])))
        except (OSError, http.client.HTTPException, ValueError):
            pass
        self.answer.close()
        self.connection.close()
        self.ended = True

    def latest(self, name: str) -> dict:
        return next((data for kind, data in reversed(self.events) if kind == name), {})


def post(port: int, reading: dict) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/v1/telemetry", json.dumps(reading), {"Content-Type": "application/json"})
    assert connection.getresponse().status == 201
    connection.close()


def test_listeners_hear_the_overview_and_their_device(port):
    listeners = [Listener(port, query) for query in ("", "?vehicleId=V1", "?vehicleId=V2")]
    assert listeners[0].answer.headers["content-type"].startswith("text/event-stream")
    wait_until(lambda: all(each.latest("overview") for each in listeners))
    post(port, vehicle_reading(vehicleId="V1", soc=44, timestamp=rfc3339(now())))
    wait_until(lambda: all(each.latest("overview").get("totalVehicles") == 1 for each in listeners))
    wait_until(lambda: listeners[1].latest("status").get("soc") == 44)
    assert listeners[1].latest("status")["lastReadingAt"].endswith("Z")
    assert not listeners[0].latest("status")
    assert not listeners[2].latest("status")


def test_a_hundred_listeners_are_told_and_do_not_keep_the_service_from_stopping(port):
    listeners = [Listener(port) for _ in range(100)]
    wait_until(lambda: all(each.latest("overview") for each in listeners))
    # They go on listening: the fixture stops the service, which must end by itself.
