"""A client that sends or reads slowly, or keeps what it does not use, takes nothing from the others."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import requests

from tests.processes import PATIENCE_SECONDS, ROOT, environment, free_port
from tests.small_server import CONNECTIONS, LARGE_BYTES, Impatient

CALL = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK"
SLACK_SECONDS = 5.0
"""What the worker's look once a second and a busy test machine may add."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where the small server answers."""
    found = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.small_server", "--port", str(found)],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _answers(found):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield found
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 200
    except requests.RequestException:  # not there yet, or cut off while it waited for the thread
        return False


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)


def to_the_end(connection: socket.socket) -> bytes:
    """Everything that comes until the other side has no more, or has cut the connection."""
    received = bytearray()
    try:
        while piece := connection.recv(1024 * 1024):
            received += piece
    except ConnectionResetError:
        pass
    return bytes(received)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        CALL[:20],
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
        CHUNKED + b"2\r\n{",
    ],
    ids=["nothing", "half a head", "half a body", "half a chunk"],
)
def test_a_request_that_does_not_come_to_its_end_is_408_in_time(port: int, sent: bytes) -> None:
    with connected(port) as connection:
        began = time.monotonic()
        connection.sendall(sent)
        answer = to_the_end(connection)
        took = time.monotonic() - began
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b'"resourceType":"OperationOutcome"' in answer
    assert b"\r\nConnection: close\r\n" in answer
    assert Impatient.whole_request_seconds * 0.9 < took
    assert took < Impatient.whole_request_seconds + SLACK_SECONDS


def test_a_client_that_drips_gains_no_time(port: int) -> None:
    """The time is that of the whole request, and does not begin anew with a byte."""
    with connected(port) as connection:
        began = time.monotonic()
        connection.settimeout(0.1)
        answer = b""
        for byte in b"GET / HTTP/1.1\r\nX: " + b"x" * 200:
            try:
                connection.sendall(bytes([byte]))
                answer = connection.recv(1000)
            except TimeoutError:
                continue
            except OSError:
                break
            if answer:
                break
        took = time.monotonic() - began
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert took < Impatient.whole_request_seconds + SLACK_SECONDS


def test_a_client_that_does_not_read_gives_its_thread_back(port: int) -> None:
    """There is one thread: as long as the answer is being written to somebody, nobody else is served."""
    with connected(port) as connection:
        connection.sendall(CALL.replace(b"/ ", b"/large ", 1))
        assert connection.recv(len(OK)) == OK
        began = time.monotonic()
        while not _answers(port):  # who waits for the thread is given no more time than who has it
            assert time.monotonic() - began < Impatient.answer_seconds + SLACK_SECONDS
        assert len(to_the_end(connection)) < LARGE_BYTES, "it was cut off"


def test_connections_that_ask_for_nothing_make_room_for_those_that_do(port: int) -> None:
    """As many are kept open as a worker keeps; then a call comes in two pieces, and another between."""
    idle = [connected(port) for _ in range(CONNECTIONS - 2)]
    try:
        for connection in idle:
            connection.sendall(CALL)
            assert connection.recv(1000).startswith(OK)
        with connected(port) as slow:
            slow.sendall(CALL[:10])
            for _ in range(3):
                assert _answers(port)
            slow.sendall(CALL[10:])
            assert slow.recv(len(OK)) == OK
    finally:
        for connection in idle:
            connection.close()


def test_a_body_hidden_in_what_chunks_say_of_themselves_holds_no_thread(port: int) -> None:
    """Long enough to be handed over unfinished, yet the app would wait for most of its body."""
    padded = b"1;" + b"x" * 1000 + b"\r\n \r\n"
    with connected(port) as connection:
        with suppress(OSError):  # refused before its end
            connection.sendall(CHUNKED + padded * (2 * Impatient.largest_body // len(padded)))
        began = time.monotonic()
        assert to_the_end(connection)[:12] in (b"", b"HTTP/1.1 400")
        assert time.monotonic() - began < Impatient.answer_seconds / 2
