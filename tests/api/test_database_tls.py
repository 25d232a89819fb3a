"""TLS to the database: encrypted where sslmode asks for it, refused where the server cannot prove who it is."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import psycopg
import pytest
from editions import installation_of, missing
from fix_service import client_of, meter_reading, send, wait_until
from ports import free_port
from psycopg import errors

from service.access.policy import check_start
from service.app import create_app
from service.database.cluster import Cluster
from service.database.installation import Installation
from service.database.migrate import migrate
from service.errors import DatabaseUnavailableError
from service.settings import Settings

pytestmark = pytest.mark.edition(
    "timescale", reason="the wheel's PostgreSQL is built without TLS; the connection is libpq's on both editions"
)


def _certificate(folder: Path, name: str) -> Path:
    """Make a self-signed certificate for 127.0.0.1 and return it; its key lies beside it."""
    certificate = folder / f"{name}.crt"
    command = [
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
        *("-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", folder / f"{name}.key", "-out", certificate),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return certificate


@pytest.fixture(scope="module")
def tls(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path, Path]]:
    """A server that listens with TLS only: the URL without options, its certificate and a stranger's."""
    installation = installation_of("timescale", request.config)
    if installation is None:
        pytest.skip(f"TLS is tested with this machine's own PostgreSQL, and {missing('timescale', request.config)}")
    with tempfile.TemporaryDirectory(prefix="ev-test-", ignore_cleanup_errors=True) as name:
        yield from _serve(Path(name).resolve(), installation)


def _serve(folder: Path, installation: Installation) -> Iterator[tuple[str, Path, Path]]:
    cluster = Cluster(folder, installation)
    port = free_port()
    own, stranger = _certificate(folder, "server"), _certificate(folder, "stranger")
    with cluster.running(), psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        try:
            connection.execute("ALTER SYSTEM SET ssl = 'on'")
        except errors.InvalidParameterValue:
            pytest.skip(f"this machine's PostgreSQL {installation.major} was built without TLS")
        connection.execute("CREATE ROLE tls LOGIN SUPERUSER PASSWORD 'secret'")
        lines = {"listen_addresses": "127.0.0.1", "port": str(port)}
        for name, value in lines.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    status = cluster.path.stat()
    for file in (own, own.with_suffix(".key")):
        copy = cluster.path / file.name
        copy.write_bytes(file.read_bytes())
        copy.chmod(0o600)
        os.chown(copy, status.st_uid, status.st_gid)
    access = cluster.path / "pg_hba.conf"
    access.write_text("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
    os.chown(access, status.st_uid, status.st_gid)
    with Cluster(folder, installation).running():
        yield f"postgresql://tls:secret@127.0.0.1:{port}/postgres", own, stranger


def with_options(url: str, **options: object) -> str:
    return urlsplit(url)._replace(query=urlencode(options)).geturl()


def test_the_service_talks_to_its_database_over_verified_tls(tls, settings, edition):
    plain, own, _ = tls
    url = with_options(plain, sslmode="verify-full", sslrootcert=own)
    assert migrate(url, edition) == edition
    check_start(Settings(), url)
    with client_of(create_app(settings(auth="on"), url)) as client, psycopg.connect(url, autocommit=True) as session:
        assert client.get("/v1/status/overview").status_code == 401
        query = (
            "SELECT count(*) FILTER (WHERE s.ssl), count(*) FROM pg_stat_ssl AS s JOIN pg_stat_activity AS a USING (pid) "
            "WHERE a.application_name = 'ev-engine'"
        )
        wait_until(lambda: session.execute(query).fetchone()[1] >= 3)  # for readings, questions and keys
        encrypted, connections = session.execute(query).fetchone()
        assert encrypted == connections
    with client_of(create_app(settings(), url)) as client:
        send(client, meter_reading())


@pytest.mark.parametrize("mode", ["disable", "stranger"])
def test_a_database_that_cannot_be_trusted_is_not_talked_to(tls, edition, mode):
    plain, _, stranger = tls
    options = {"sslmode": "disable"} if mode == "disable" else {"sslmode": "verify-full", "sslrootcert": stranger}
    url = with_options(plain, **options)
    with pytest.raises(DatabaseUnavailableError):
        migrate(url, edition)
    with pytest.raises(DatabaseUnavailableError):
        check_start(Settings(), url)
