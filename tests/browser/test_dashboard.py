"""The dashboard in a real browser: it says what the service says, and the browser refuses nothing."""

from __future__ import annotations

import gzip
import hashlib
import json
import urllib.request
from datetime import timedelta
from pathlib import Path

import pytest
from fix_service import meter_reading, now, rfc3339, vehicle_reading
from playwright.sync_api import Page, expect

import service.dashboard

pytestmark = pytest.mark.edition("postgres", reason="a browser sees the same page on both editions")
FILES = Path(service.dashboard.__file__).with_name("static")
PAGES = ("", "vehicles", "chargers", "alerts", "engine", "vehicle/VAN-02", "charger/BAY-02")


def call(port: int, path: str, body: object = None, method: str | None = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


@pytest.fixture
def fleet(port: int) -> int:
    """Eight pairs over three hours: BAY-02 loses most, and VAN-03 has a hot battery. Return the port."""
    end = now().replace(second=0, microsecond=0)
    readings = []
    for number in range(8):
        ratio = 0.7 if number == 2 else 0.92
        call(port, f"/v1/telemetry/mapping/BAY-0{number}/VAN-0{number}", method="PUT")
        for minute in range(180):
            time = rfc3339(end - timedelta(minutes=minute))
            ac = round(0.15 + number * 0.01, 4)
            temperature = 56.5 if number == 3 and minute < 30 else 28 + number
            readings.append(meter_reading(meterId=f"BAY-0{number}", kwhConsumedAc=ac, timestamp=time))
            vehicle = {"vehicleId": f"VAN-0{number}", "kwhDeliveredDc": round(ac * ratio, 4), "timestamp": time}
            readings.append(vehicle_reading(**vehicle, batteryTemp=temperature, soc=80 - minute / 4))
    call(port, "/v1/telemetry/batch", {"readings": readings})
    return port


@pytest.fixture
def dashboard(page: Page, fleet: int) -> Page:
    page.goto(f"http://127.0.0.1:{fleet}/")
    expect(page.locator(".verdict")).to_be_visible()
    page.wait_for_function("document.querySelector('.live').textContent.startsWith('live')")
    return page


def test_the_first_screen_says_what_is_wrong_and_where(dashboard: Page, fleet: int, complaints: list[str]) -> None:
    expect(dashboard.locator(".verdict")).to_have_class("verdict bad")
    expect(dashboard.locator(".verdict")).to_contain_text("1 hot battery, 1 vehicle below the efficiency limit")
    worst = dashboard.get_by_role("region", name="Chargers that lose most, last 24 hours").locator("tbody tr").first
    charger = call(fleet, "/v1/analytics/fleet/chargers?limit=1")["data"][0]
    assert charger["meterId"] == "BAY-02"
    expect(worst).to_contain_text("BAY-02")
    expect(worst).to_contain_text(f"{charger['energyLoss']:.1f} kWh")
    expect(worst).to_contain_text(f"{charger['efficiencyRatio'] * 100:.1f} %")
    efficiency = call(fleet, "/v1/analytics/fleet/efficiency")
    day = dashboard.get_by_label("Last 24 hours", exact=True)
    expect(day).to_contain_text(f"{efficiency['totalKwhConsumedAc']:.1f} kWh")
    expect(day).to_contain_text(f"{efficiency['avgEfficiencyRatio'] * 100:.1f} %")
    expect(dashboard.get_by_label("Hot batteries").first).to_contain_text("56.5 °C")
    assert complaints == []


def test_every_page_opens_without_a_complaint_in_light_dark_and_on_a_phone(
    dashboard: Page, fleet: int, complaints: list[str]
) -> None:
    hosts = set()
    dashboard.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    for scheme, width in (("light", 1280), ("dark", 390)):
        dashboard.emulate_media(color_scheme=scheme)
        dashboard.set_viewport_size({"width": width, "height": 900})
        for name in PAGES:
            dashboard.goto(f"http://127.0.0.1:{fleet}/#/{name}")
            expect(dashboard.locator("main .loading")).to_have_count(0)
            assert dashboard.evaluate("document.documentElement.scrollWidth") <= width, f"{name} scrolls sideways"
            assert dashboard.locator(".failure").count() == 0, name
    assert hosts == {f"127.0.0.1:{fleet}"}
    assert complaints == []


def test_a_table_is_sorted_and_searched_by_the_service(dashboard: Page, fleet: int) -> None:
    dashboard.goto(f"http://127.0.0.1:{fleet}/#/vehicles")
    first = dashboard.locator("tbody tr").first
    expect(first).to_contain_text("VAN-02")
    dashboard.get_by_role("button", name="Vehicle").click()
    expect(first).to_contain_text("VAN-00")
    dashboard.get_by_label("Search").fill("van-07")
    dashboard.get_by_label("Search").press("Enter")
    expect(dashboard.locator("tbody tr")).to_have_count(1)
    expect(first).to_contain_text("VAN-07")
    first.get_by_role("link").click()
    expect(dashboard.get_by_role("heading", level=1)).to_have_text("Vehicle VAN-07")
    expect(dashboard.locator("canvas").first).to_be_visible()


def test_what_changes_is_seen_at_once_and_a_lost_stream_comes_back(dashboard: Page, fleet: int) -> None:
    call(fleet, "/v1/telemetry", vehicle_reading(vehicleId="NEW-1", timestamp=rfc3339(now())))
    charging = dashboard.get_by_label("Now", exact=True)
    expect(charging).to_contain_text("9")
    dashboard.context.set_offline(True)
    dashboard.evaluate("window.dispatchEvent(new Event('offline'))")
    dashboard.context.set_offline(False)
    call(fleet, "/v1/telemetry", vehicle_reading(vehicleId="NEW-2", timestamp=rfc3339(now())))
    expect(charging).to_contain_text("10", timeout=10_000)


def test_the_keyboard_alone_reaches_every_page(dashboard: Page) -> None:
    reached = set()
    for _ in range(40):
        dashboard.keyboard.press("Tab")
        reached.add(dashboard.evaluate("document.activeElement.getAttribute('href') || document.activeElement.tagName"))
    assert {"#main", "#/", "#/vehicles", "#/chargers", "#/alerts", "#/engine", "#/charger/BAY-02"} <= reached


def test_the_picture_of_the_dashboard_is_taken(dashboard: Page, screenshots: Path) -> None:
    expect(dashboard.locator("main .loading")).to_have_count(0)
    screenshots.mkdir(exist_ok=True, parents=True)
    picture = screenshots / "dashboard.png"
    dashboard.screenshot(path=picture)
    assert picture.stat().st_size > 50_000


def test_the_whole_page_is_small() -> None:
    sent = [path.read_bytes() for path in FILES.rglob("*") if path.suffix in (".html", ".css", ".js")]
    assert sum(map(len, sent)) <= 250_000
    assert sum(len(gzip.compress(content)) for content in sent) <= 90_000


def test_files_of_others_are_what_was_pinned() -> None:
    for line in (FILES / "vendor" / "checksums.txt").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((FILES / "vendor" / name).read_bytes()).hexdigest() == digest, name
