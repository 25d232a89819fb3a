"""Dashboards, their provisioning, the containers and the unit: files that fit together."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from dashboards import BOARDS, DATABASE, FOLDER, PROMETHEUS, queries

TOP = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((TOP / "compose.yaml").read_text())
DATASOURCES = yaml.safe_load((FOLDER / "grafana" / "datasources.yaml").read_text())["datasources"]
boards = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())


def test_there_are_the_dashboards_that_were_promised():
    assert set(BOARDS) == {"fleet", "vehicle", "engine"}
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)


@boards
def test_panels_have_ids_of_their_own_titles_descriptions_and_queries(board):
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) > 5
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["targets"], panel["title"]


@boards
def test_panels_do_not_overlap_and_stay_on_the_grid(board):
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24, panel["title"]
        assert place["h"] > 0, panel["title"]
    for one, other in combinations(board["panels"], 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (one["title"], other["title"])


@boards
def test_every_datasource_is_one_that_is_provisioned(board):
    known = {(source["type"], source["uid"]) for source in DATASOURCES}
    for panel in board["panels"]:
        for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
            assert (source["type"], source["uid"]) in known, panel["title"]


def test_links_lead_to_dashboards_that_exist():
    linked = set(re.findall(r'"/d/([\w-]+)', "".join(map(str, BOARDS.values())).replace("'", '"')))
    assert linked
    assert linked <= {board["uid"] for board in BOARDS.values()}


def test_the_database_is_read_as_analyst_with_a_password_from_the_environment():
    (source,) = [source for source in DATASOURCES if source["uid"] == DATABASE]
    assert (source["user"], source["secureJsonData"]) == ("analyst", {"password": "$ANALYST_PASSWORD"})
    environment = COMPOSE["services"]["timescaledb"]["environment"]
    assert source["jsonData"]["database"] == environment["POSTGRES_DB"]
    assert source["url"] == "timescaledb:5432"
    for service in ("migrate", "service", "grafana"):
        assert COMPOSE["services"][service]["environment"]["ANALYST_PASSWORD"].startswith("${ANALYST_PASSWORD:?")


def test_prometheus_asks_the_service_and_grafana_asks_prometheus():
    (job,) = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["service:3000"]}]
    assert job["metrics_path"] == "/metrics"
    (source,) = [source for source in DATASOURCES if source["uid"] == PROMETHEUS]
    assert source["url"] == "http://prometheus:9090"
    assert all(query.board == "engine" for query in queries(PROMETHEUS))


def test_grafana_finds_the_dashboards_where_they_are_mounted():
    (provider,) = yaml.safe_load((FOLDER / "grafana" / "dashboards.yaml").read_text())["providers"]
    grafana = COMPOSE["services"]["grafana"]
    mounts = dict(volume.split(":")[:2][::-1] for volume in grafana["volumes"])
    assert TOP / mounts[provider["options"]["path"]] == FOLDER / "grafana"
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (str(home.parent), home.stem in BOARDS) == (provider["options"]["path"], True)


def test_files_that_containers_mount_exist():
    for name, service in COMPOSE["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (TOP / source).exists(), (name, volume)


def test_images_are_pinned_and_ports_are_on_loopback():
    for name, service in COMPOSE["services"].items():
        assert re.search(r":(v?\d+\.\d+\.\d+|local)", service["image"]), name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (name, port)


def test_dashboards_are_a_profile_that_plain_up_leaves_out():
    profiles = {name: service.get("profiles") for name, service in COMPOSE["services"].items()}
    assert profiles == {
        "timescaledb": None,
        "migrate": None,
        "service": None,
        "prometheus": ["dashboards"],
        "grafana": ["dashboards"],
    }


def test_every_password_that_the_containers_need_is_made_by_make_up(tmp_path):
    shutil.copy(TOP / "Makefile", tmp_path)
    (tmp_path / ".env").write_text("DB_PASSWORD=mine\n")
    for _ in range(2):
        subprocess.run(["make", "--silent", ".env-secrets"], cwd=tmp_path, check=True)
    made = dict(line.split("=") for line in (tmp_path / ".env").read_text().splitlines())
    needed = set(re.findall(r"\$\{(\w+):\?", (TOP / "compose.yaml").read_text()))
    assert set(made) == needed == {"DB_PASSWORD", "ANALYST_PASSWORD", "GRAFANA_PASSWORD"}
    assert made.pop("DB_PASSWORD") == "mine"
    assert all(re.fullmatch("[a-zA-Z0-9]{32}", password) for password in made.values())


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("psql", "ev-engine psql --role analyst"),
        ("dashboards", "docker compose --profile dashboards up"),
        ("down", "docker compose --profile dashboards down"),
    ],
)
def test_make_runs_what_its_help_says(target, command):
    done = subprocess.run(
        ["make", "--dry-run", target, "ROLE=analyst"], cwd=TOP, capture_output=True, text=True, check=True
    )
    assert command in done.stdout
    listed = subprocess.run(["make", "help"], cwd=TOP, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^  {target} +\w", listed, re.MULTILINE)
