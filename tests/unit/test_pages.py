"""The documentation: its links lead somewhere, and the settings, targets and routes that it names exist."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from pages import PAGES, ROOT, rows, section

import service.settings
from service.app import create_app
from service.settings import OTHER_NAMES, Settings, names_without_setting

# Folders that may hold files of others: an environment, caches, a private database, benchmarks.
MARKDOWN = [
    path.relative_to(ROOT)
    for path in sorted(ROOT.rglob("*.md"))
    if not any(part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts)
]


def prose(text: str) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


@cache
def anchors(path: Path) -> set[str]:
    """Return the anchors that a page's headings get: lower case, no punctuation, dashes for blanks."""
    headings = re.findall(r"^#+ (.+)$", prose(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", MARKDOWN, ids=str)
def test_every_relative_link_leads_somewhere(page):
    text = prose((ROOT / page).read_text())
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page.parent / name) if name else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.resolve())):
            dead.append(link)
    assert dead == []


def test_the_readme_leads_to_every_page_and_is_short():
    assert {page for page in PAGES if page != "README.md"} == set(
        re.findall(r"\((docs/\w[\w-]*\.md)\)", PAGES["README.md"])
    )
    assert len(PAGES["README.md"].splitlines()) <= 150


def documented_settings() -> dict[str, str]:
    """Return every setting in the table of docs/operate.md, with its default as the text of an environment variable."""
    found = {}
    for cells in rows(section("docs/operate.md", "Configuration"))[2:]:
        names, default = re.findall(r"`([A-Z_]+)`", cells[0]), cells[1]
        defaults = [default] if len(names) == 1 else default.split(", ")
        # A default in code style is another setting.
        defaults = ["" if text == "none" or text.startswith("`") else text for text in defaults]
        found |= dict(zip(names, defaults, strict=True))
    return found


def example_settings() -> dict[str, str]:
    return dict(re.findall(r"^#([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_every_setting_is_documented_with_its_default():
    documented = documented_settings()
    source = inspect.getsource(service.settings)
    assert [name for name in documented if f'"{name}"' not in source] == []
    assert len(documented) == len(inspect.signature(Settings).parameters)
    assert Settings.from_environment(documented) == Settings.from_environment({})


def test_the_example_of_an_env_file_says_the_same():
    documented, example = documented_settings(), example_settings()
    containers = set(re.findall(r"\$\{(\w+):", (ROOT / "compose.yaml").read_text()))
    assert set(example) == set(documented) | containers
    assert {name: example[name] for name in documented} == documented
    assert containers - set(documented) == OTHER_NAMES


def test_a_name_in_an_env_file_that_no_setting_has_is_told_with_the_nearest():
    text = "PORT=3000\n# PROT=1\n  export PROT=1\nGRAFANA_PORT=1\nPGSSLMODE=require\nxyz=1\nPROT=2\n"
    assert list(names_without_setting(text)) == [
        ".env: PROT is no setting, and changes nothing: did you mean PORT?",
        ".env: xyz is no setting, and changes nothing",
    ]
    assert list(names_without_setting((ROOT / ".env.example").read_text().replace("#", ""))) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_a_page_names_exists(page):
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = re.findall(r"`([^`]+)`", prose(PAGES[page])) + re.findall(r"^make .*$", PAGES[page], re.MULTILINE)
    named = {target for text in code for target in re.findall(r"(?:^|\s)make ([a-z][a-z-]*)", text)}
    assert named <= targets


def test_every_command_that_a_page_names_exists():
    listed = subprocess.run(
        [Path(sys.executable).parent / "ev-engine", "--help"], capture_output=True, text=True, check=True
    ).stdout
    commands = set(re.findall(r"^  ([a-z][a-z-]*)\s", listed, re.MULTILINE))
    named = {name for text in PAGES.values() for name in re.findall(r"`ev-engine ([a-z][a-z-]*)", text)}
    assert named <= commands
    assert len(named) > 3


@cache
def routes() -> set[str]:
    """Return every route of the service as a page names it: GET /v1/status/meter/{meterId}."""
    found = set()
    for route in create_app(Settings(), "postgresql:///never-asked").routes:
        path = re.sub(r":\w+\}", "}", route.path).replace("{file_path}", "{file}")
        found |= {f"{method} {path}" for method in route.methods}
    return found


# docs/mistakes.md names calls that are wrong; a test of its own makes each.
@pytest.mark.parametrize("page", sorted(set(PAGES) - {"docs/mistakes.md"}))
def test_every_call_that_a_page_names_is_a_route(page):
    assert set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`?]*)", PAGES[page])) <= routes()
