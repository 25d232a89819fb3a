"""What `make audit` and `make lint` say of dependencies with known vulnerabilities, and when nobody can be asked."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ports import free_port
from targets import command, environment

pytestmark = pytest.mark.edition("postgres", reason="it needs no database")

SOUND, FAULTY = "msgspec==0.22.0", "flask==0.12"
ADVISORY = {"id": "PYSEC-2018-66", "summary": "Too much memory.", "affected": []}


class Advisories(BaseHTTPRequestHandler):
    """Answers one query in the form of OSV's API."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        faulty = f"{asked['package']['name']}=={asked['version']}" == FAULTY
        answer = json.dumps({"vulns": [ADVISORY]} if faulty else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def osv_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


@pytest.fixture
def run(tmp_path):
    def run(target: str, osv_url: str, pin: str) -> tuple[bool, str]:
        (tmp_path / "requirements.txt").write_text(f"{pin} --hash=sha256:{64 * '0'}\n")
        for name, other in {"simulate": "numpy==2.4.6", "dev": "ruff==0.1"}.items():
            (tmp_path / f"requirements-{name}.txt").write_text(f"{other} --hash=sha256:{64 * '0'}\n")
        arguments = command(tmp_path, target, OSV_URL=osv_url)
        done = subprocess.run(arguments, env=environment(""), capture_output=True, text=True)
        return done.returncode == 0, done.stderr + done.stdout

    return run


@pytest.mark.parametrize("target", ["audit", ".lint-dependencies"])
def test_sound_dependencies_pass(run, osv_url, target):
    passed, told = run(target, osv_url, SOUND)
    assert passed, told
    assert "NOT AUDITED" not in told


@pytest.mark.parametrize("target", ["audit", ".lint-dependencies"])
def test_a_known_vulnerability_fails_and_is_named(run, osv_url, target):
    passed, told = run(target, osv_url, FAULTY)
    assert not passed
    assert "PYSEC-2018-66" in told


@pytest.mark.parametrize(("target", "passes"), [("audit", False), (".lint-dependencies", True)])
def test_nobody_to_ask_fails_the_audit_and_is_loud_in_lint(run, target, passes):
    passed, told = run(target, f"http://127.0.0.1:{free_port()}/v1/query", SOUND)
    assert passed == passes
    assert ("DEPENDENCIES NOT AUDITED" in told) == passes
