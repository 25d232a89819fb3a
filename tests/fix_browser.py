"""A real browser: the Chromium of this machine, with everything that it complains about."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained about: errors of scripts, refused files, answers that are errors."""
    return []


@pytest.fixture
def page(complaints: list[str]) -> Iterator[Page]:
    """A page of a browser; skip the test, loudly, where there is none."""
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip(f"NO BROWSER: none of {', '.join(NAMES)} is installed, so no page was looked at")
    # Chromium's sandbox needs an ordinary user.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 1600}, timezone_id="UTC")
        page.on("console", lambda message: note(complaints, message.type in ("error", "warning"), message.text))
        page.on("pageerror", lambda error: note(complaints, True, str(error)))
        page.on("requestfailed", lambda request: note(complaints, True, f"{request.url}: {request.failure}"))
        page.on("response", lambda answer: note(complaints, answer.status >= 400, f"{answer.url}: {answer.status}"))
        yield page
        browser.close()


def note(complaints: list[str], counts: bool, text: str) -> None:
    if counts:
        complaints.append(text)


@pytest.fixture
def screenshots(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder that takes the pictures of the documentation."""
    return request.config.getoption("--screenshots") or tmp_path
