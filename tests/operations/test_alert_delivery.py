"""make alerts-test: one notice to a receiver, over HTTP and by mail."""

from __future__ import annotations

import asyncio
import threading

import pytest

pytestmark = pytest.mark.edition("postgres", reason="it needs no database")


def test_a_notice_reaches_the_receiver(make, receiver):
    done = make("alerts-test", URL=receiver.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().endswith("delivered")
    assert receiver.titles() == ["Test of EV Ingestion Engine"]


def test_a_receiver_that_refuses_is_told_and_the_command_fails(make, receiver):
    receiver.refuses = True
    done = make("alerts-test", URL=receiver.url)
    assert done.returncode != 0
    assert "delivered" not in done.stdout
    assert "500" in done.stdout


def test_a_notice_goes_out_by_mail(make):
    mails: list[str] = []
    port, loop, done = _mail_server(mails)
    try:
        sent = make("alerts-test", URL=f"mailto://127.0.0.1:{port}?from=engine@example.com&to=fleet@example.com")
        assert sent.returncode == 0, sent.stdout + sent.stderr
    finally:
        loop.call_soon_threadsafe(loop.stop)
        done.join()
    assert any("Subject: Test of EV Ingestion Engine" in mail for mail in mails)


def _mail_server(mails: list[str]) -> tuple[int, asyncio.AbstractEventLoop, threading.Thread]:
    """Start an SMTP server that takes any mail: just the commands that a sender needs."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        while line := await reader.readline():
            command = line.upper()
            if command.startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                mails.append((await reader.readuntil(b"\r\n.\r\n")).decode())
            writer.write(b"221 bye\r\n" if command.startswith(b"QUIT") else b"250 ok\r\n")
            if command.startswith(b"QUIT"):
                break
        writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(talk, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]

    def run() -> None:
        loop.run_forever()
        server.close()
        loop.run_until_complete(server.wait_closed())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    return port, loop, thread
