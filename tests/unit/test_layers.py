"""The layers of the service: an import leads downwards, or stays in its room."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import service

ROOT = Path(service.__file__).parent

# From top to bottom; rooms of one line do not know each other. `service` is service/__init__.py: the version.
LAYERS = """
cli
simulate server
app
health mappings history status dashboard
alerts
analytics telemetry operations
metrics
access
http
database
logs
settings
single_flight errors service
"""
LEVEL = {room: level for level, line in enumerate(LAYERS.split("\n")) for room in line.split()}


def room_of(module: str) -> str:
    """Return the room of a module: service.http.bodies is in http."""
    return module.split(".")[1] if "." in module else module


def imports() -> Iterator[tuple[str, str, str]]:
    """Yield every import of one module of the service by another: place, its room, the room that it leads to."""
    for path in ROOT.rglob("*.py"):
        module = ".".join(("service", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: imports are absolute"
                # `from service import logs` leads to the room logs, `from service import __version__` to the top.
                names = [
                    f"service.{alias.name}" if node.module == "service" and is_room(alias.name) else node.module or ""
                    for alias in node.names
                ]
            for name in names:
                if name.partition(".")[0] == "service":
                    yield f"{path.relative_to(ROOT.parent)}:{node.lineno}", room_of(module), room_of(name)


def is_room(name: str) -> bool:
    return (ROOT / name / "__init__.py").is_file() or (ROOT / f"{name}.py").is_file()


def test_the_list_names_every_room():
    rooms = {path.stem for path in ROOT.iterdir() if is_room(path.stem)} - {"__init__"}
    assert rooms | {"service"} == set(LEVEL)


def test_imports_lead_downwards():
    upwards = [
        f"{place}: {room} imports {other}"
        for place, room, other in imports()
        if room != other and LEVEL[room] >= LEVEL[other]
    ]
    assert not upwards, "\n".join(upwards)


def test_the_command_line_alone_knows_the_simulator():
    assert {room for _, room, other in imports() if other == "simulate" and room != "simulate"} == {"cli"}
