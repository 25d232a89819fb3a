"""A small engine on loopback that stores readings in a dict and answers by plain sums."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

STEP = Decimal("0.0001")


class FakeEngine(ThreadingHTTPServer):
    """Stores readings in a dict and answers by plain sums; fails as often as it is told to."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), FakeHandler)
        self.lock = threading.Lock()
        self.readings = {}
        self.mappings = set()
        self.failures = []
        self.on_batch = None
        self.requests = Counter()
        self.stolen_units = 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def energy(self, device, start, end):
        rows = [row for (name, time), row in self.readings.items() if name == device and start <= time < end]
        values = (Decimal(str(row.get("kwhConsumedAc", row.get("kwhDeliveredDc")))) for row in rows)
        return sum(values, Decimal(0)), [Decimal(str(row.get("batteryTemp", 0))) for row in rows]

    def performance(self, vehicle, start, end):
        dc, temps = self.energy(vehicle, start, end)
        if not temps:
            return None
        ac, meter = None, None
        for name, other, since, until in self.mappings:
            if other == vehicle:
                energy, rows = self.energy(name, max(start, since), min(end, until))
                ac = (ac or Decimal(0)) + energy if rows else ac
                meter = name
        ratio = (dc / ac).quantize(STEP, ROUND_HALF_UP) if ac else None
        return {"ac": ac, "dc": dc, "ratio": ratio, "temps": temps, "meter": meter}

    def fleet(self, start, end):
        vehicles = sorted({name for name, _ in self.readings if name.startswith("VH-")})
        each = [found for name in vehicles if (found := self.performance(name, start, end))]
        both = [found for found in each if found["ratio"] is not None]
        ac, dc = sum(found["ac"] for found in both), sum(found["dc"] for found in both)
        meters = {name for name, _ in self.readings if name.startswith("METER-")}
        return {
            "totalVehicles": len(each),
            "avgEfficiencyRatio": float((dc / ac).quantize(STEP, ROUND_HALF_UP)) if ac else None,
            "vehiclesWithWarnings": sum(Decimal("0.75") <= found["ratio"] < Decimal("0.85") for found in both),
            "vehiclesCritical": sum(found["ratio"] < Decimal("0.75") for found in both),
            "totalKwhConsumedAc": float(sum(self.energy(name, start, end)[0] for name in meters)),
            "totalKwhDeliveredDc": float(sum(found["dc"] for found in each)),
            "totalEnergyLoss": float(ac - dc),
        }


class FakeHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Two small writes of an answer would otherwise wait for each other.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_args):
        pass

    def answer(self, status, document, **headers):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def do_GET(self):
        parts = urlsplit(self.path)
        if parts.path == "/health/ready":
            self.answer(200, {})
            return
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        end = datetime.fromisoformat(query["end"])
        start = end - timedelta(hours=int(query["hours"]))
        with self.server.lock:
            if parts.path == "/v1/analytics/fleet/efficiency":
                self.answer(200, self.server.fleet(start, end))
                return
            found = self.server.performance(unquote(parts.path.rsplit("/", 1)[1]), start, end)
            if found is None:
                self.answer(404, {})
                return
            self.answer(
                200,
                {
                    "vehicleId": unquote(parts.path.rsplit("/", 1)[1]),
                    "totalKwhConsumedAc": None
                    if found["ac"] is None
                    else float(found["ac"]) + self.server.stolen_units / 10_000,
                    "totalKwhDeliveredDc": float(found["dc"]),
                    "efficiencyRatio": None if found["ratio"] is None else float(found["ratio"]),
                    "readingsCount": len(found["temps"]),
                    "minBatteryTemp": float(min(found["temps"])),
                    "maxBatteryTemp": float(max(found["temps"])),
                    "avgBatteryTemp": float((sum(found["temps"]) / len(found["temps"])).quantize(STEP)),
                    "meterId": found["meter"],
                },
            )

    def do_PUT(self):
        validity = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        _, _, _, _, meter, vehicle = self.path.split("/")
        far = "9999-01-01T00:00:00Z"
        since, until = (datetime.fromisoformat(validity.get(name, far)) for name in ("from", "to"))
        with self.server.lock:
            self.server.mappings.add((unquote(meter), unquote(vehicle), since, until))
        self.answer(200, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.requests["batch"] += 1
            if self.server.on_batch:
                self.server.on_batch()
            failure = self.server.failures.pop(0) if self.server.failures else None
            if failure == "drop":
                self.close_connection = True
                return
            if failure is not None:
                self.answer(failure, {"title": "no"}, Retry_After="0")
                return
            success = failed = duplicates = 0
            for reading in json.loads(body)["readings"]:
                if reading["timestamp"] == "bad":
                    failed += 1
                    continue
                success += 1
                self.server.requests["readings"] += 1
                name = reading.get("meterId") or reading["vehicleId"]
                key = name, datetime.fromisoformat(reading["timestamp"])
                duplicates += key in self.server.readings
                self.server.readings.setdefault(key, reading)
            result = {"success": success, "failed": failed, "duplicates": duplicates}
            self.answer(201 if success else 400, result | {"errors": ["bad time"] * failed})


@contextmanager
def fake_engine() -> Iterator[FakeEngine]:
    """Run an engine until the block ends."""
    server = FakeEngine()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
