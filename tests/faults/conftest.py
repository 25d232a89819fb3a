"""Faults: a database and a service that may be killed, a crowd of devices, and the table of what came of it."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from editions import OUTCOMES, Outcome, describe, installation_of, missing
from postmaster import Postmaster
from serving import Service
from tally import Line, Tally
from trial import Trial

from service.database.installation import Installation

TALLY = pytest.StashKey[Tally]()
NUMBERS = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--repetitions",
        type=int,
        help="how often to inject each fault on each edition; more than one: long (default: once, on one edition)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "repetition" in metafunc.fixturenames:
        metafunc.parametrize("repetition", range(_repetitions(metafunc.config)))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TALLY] = Tally()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tally = config.stash.get(TALLY, Tally())
    if tally.lines:
        terminalreporter.write_sep("=", "faults")
        for line in tally.table():
            terminalreporter.write_line(line)
    if tally.hostile:
        terminalreporter.write_sep("=", "hostile input")
        for line in tally.hostile_table():
            terminalreporter.write_line(line)


def _repetitions(config: pytest.Config) -> int:
    return config.getoption("--repetitions", default=None) or 1


@pytest.fixture(scope="session")
def is_long(request: pytest.FixtureRequest) -> bool:
    """Whether there is time for a minute's hang."""
    return _repetitions(request.config) > 1


@pytest.fixture(scope="session")
def chosen_installation(edition: str, request: pytest.FixtureRequest) -> Installation:
    """The PostgreSQL of the edition, whose processes the tests may kill."""
    chosen, reason = installation_of(edition, request.config), missing(edition, request.config)
    is_short = request.config.getoption("--repetitions") is None and not request.config.getoption("--edition")
    if is_short and edition == "postgres" and installation_of("timescale", request.config):
        pytest.skip("faults are injected on one edition here; on both by make test-faults")
    if chosen is None:
        if edition == "timescale":
            reason += ", and a container's processes cannot be frozen"
        request.config.stash[OUTCOMES].setdefault(edition, Outcome(False, reason))
        pytest.skip(reason)
    # Under a name of its own: the other tests start a server of theirs unless the edition has an outcome.
    request.config.stash[OUTCOMES][f"{edition} under faults"] = Outcome(True, describe(chosen))
    return chosen


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    # Not pytest's: the database's user must get in, and the path of a socket must be short.
    made = Path(tempfile.mkdtemp(prefix="ev-fault-")).resolve()
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def shared_postmaster(chosen_installation: Installation, folder: Path) -> Iterator[Postmaster]:
    postmaster = Postmaster(folder / chosen_installation.cluster_name / "data", chosen_installation)
    try:
        postmaster.start()
        yield postmaster
    finally:
        postmaster.stop()


@pytest.fixture
def postmaster(shared_postmaster: Postmaster) -> Postmaster:
    """A running database server; whatever the test before did to it."""
    if not shared_postmaster.runs:
        shared_postmaster.start()
    return shared_postmaster


@pytest.fixture(scope="session")
def shared_services(folder: Path) -> Iterator[dict[str, Service]]:
    services: dict[str, Service] = {}
    yield services
    for service in services.values():
        service.stop()


@pytest.fixture
def service(shared_services: dict[str, Service], postmaster: Postmaster, edition: str, folder: Path) -> Service:
    """A running service with short time limits, shared by the tests that leave it running."""
    service = shared_services.get(edition)
    if service is None:
        service = shared_services[edition] = Service(folder / f"{edition}.log", DATABASE_URL=postmaster.url)
    if not service.runs:
        service.start()
    return service


@pytest.fixture
def start_service(postmaster: Postmaster, folder: Path) -> Iterator[Callable[..., Service]]:
    """Start a service with settings of one's own."""
    with ExitStack() as stack:

        def start(*, waits: bool = True, **environment: str) -> Service:
            service = Service(folder / f"own-{next(NUMBERS)}.log", **{"DATABASE_URL": postmaster.url} | environment)
            stack.callback(service.stop)
            if waits:
                service.start()
            else:
                service.spawn()
            return service

        yield start


@pytest.fixture
def session(postmaster: Postmaster) -> Iterator[psycopg.Connection]:
    """A session on the database."""
    with psycopg.connect(postmaster.url, autocommit=True, options="-c timezone=UTC") as connection:
        yield connection


@pytest.fixture
def answered(edition: str, request: pytest.FixtureRequest) -> Counter[int]:
    """The statuses that hostile input was answered with."""
    return request.config.stash[TALLY].hostile.setdefault((_title(request), edition), Counter())


@pytest.fixture
def line_of(request: pytest.FixtureRequest, edition: str) -> Callable[[str], Line]:
    """Return the line of a fault in the table."""
    return lambda fault: request.config.stash[TALLY].line(fault, edition)


@pytest.fixture
def trial(edition: str, request: pytest.FixtureRequest) -> Trial:
    """The experiment: readings before, during and after the fault, and the account of them."""
    return Trial(f"F{next(NUMBERS)}", request.config.stash[TALLY].line(_title(request), edition))


def _title(request: pytest.FixtureRequest) -> str:
    title: str = request.node.originalname.removeprefix("test_").replace("_", " ")
    return title
