"""The docs page in a real browser: it has its style, nothing is refused, and every call can be tried as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.edition("postgres", reason="a browser sees the same page on both editions")

# In this order each call finds what it asks for: readings are sent before they are asked for.
CALLS = {
    "telemetryAnyReading": 201,
    "telemetryMeterReading": 201,
    "telemetryVehicleReading": 201,
    "telemetryBatch": 201,
    "mappingsMapDevice": 200,
    "mappings": 200,
    "analyticsPerformance": 200,
    "analyticsFleetEfficiency": 200,
    "analyticsTrend": 200,
    "statusMeter": 200,
    "statusVehicle": 200,
    "statusOverview": 200,
    "statusCharging": 200,
    "statusWarnings": 200,
    "statusOnline": 200,
    "statusMeters": 200,
    "statusVehicles": 200,
    "health": 200,
    "healthLive": 200,
    "healthReady": 200,
    "healthScrape": 200,
    "analyticsFleetVehicles": 200,
    "analyticsFleetChargers": 200,
    "analyticsFleetTrend": 200,
    "historyMeter": 200,
    "historyVehicle": 200,
    "alerts": 200,
    "alertsAlertRules": 200,
    "alertsPutAlertRule": 200,
    "alertsDeleteAlertRule": 204,
    "telemetryLatestRefusals": 200,
    "mappingsUnmapDevice": 204,
    "telemetryVoidMeterReadings": 200,
    "telemetryVoidVehicleReadings": 200,
}


@pytest.fixture
def docs(page: Page, port: int) -> Page:
    page.goto(f"http://127.0.0.1:{port}/api/docs")
    expect(page.locator(".opblock").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    return page


def test_the_page_has_its_style_and_the_browser_refuses_nothing(docs: Page, complaints: list[str]) -> None:
    rules = docs.evaluate("[...document.styleSheets].map(sheet => sheet.cssRules.length)")
    assert max(rules) > 100, "the stylesheet did not arrive"
    post = docs.locator(".opblock-post .opblock-summary-method").first
    assert post.evaluate("element => getComputedStyle(element).backgroundColor") == "rgb(73, 204, 144)"
    assert complaints == []


def test_every_call_can_be_tried_with_its_example_as_given(docs: Page, complaints: list[str]) -> None:
    documented = {str(block.get_attribute("id")).rpartition("-")[2]: block for block in docs.locator(".opblock").all()}
    # The stream has no end to wait for, and there is no alert that could be acknowledged.
    assert set(documented) == {*CALLS, "statusStream", "alertsAcknowledgeAlert"}
    blocks = {name: docs.locator(f"[id$='-{name}']") for name in CALLS}
    for name, status in CALLS.items():
        block = blocks[name]
        block.locator(".opblock-summary-control").click()
        block.get_by_role("button", name="Try it out").click()
        block.get_by_role("button", name="Execute").click()
        answer = block.locator(".live-responses-table .response-col_status").last
        expect(answer).to_contain_text(str(status), timeout=10_000)
        block.locator(".opblock-summary-control").click()
    assert complaints == []


def test_the_picture_of_the_page_is_taken(docs: Page, screenshots: Path) -> None:
    screenshots.mkdir(exist_ok=True, parents=True)
    picture = screenshots / "api-docs.png"
    docs.screenshot(path=picture)
    assert picture.stat().st_size > 50_000
