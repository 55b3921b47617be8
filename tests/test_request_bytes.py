"""Where a request ends: never before gunicorn would stop reading, or a thread would wait for the rest."""

import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from hypothesis import example, given
from hypothesis import strategies as st

from cds_service.commands.request_bytes import RequestBytes
from tests.processes import OFF, answering, free_port, running

POST = b"POST /cds-services/low-alp-patient-view HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
PIECES = [
    b"GET /health/live HTTP/1.1\r\n",
    b"POST / HTTP/1.1\r\n",
    b"POST / HTTP/1.0\r\n",
    b"Host: x\r\n",
    b"Content-Length: 3\r\n",
    b"content-length:0000000000000000003\r\n",
    b"Content-Length:\t3 \r\n",
    b"Content-Length : 3\r\n",
    b"Content-Length: +3\r\n",
    b"Content-Length: 3, 3\r\n",
    b"Content-Length: \xb3\r\n",
    b"Content-Length:\r\n",
    b"X-Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding:\tgzip, CHUNKED\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: something\r\n",
    b" folded: 3\r\n",
    b"X: a\nContent-Length: 3\r\n",
    b"X: a\rContent-Length: 3\r\n",
    b"\r\n",
    b"\n",
    b"0\r\n",
    b"0 \r\n",
    b"00\r\n",
    b'3;a="\r\n',
    b"3;a=b\r\n",
    b"3\r\nabc\r\n",
    b"3\r\nabcX\r\n",
    b"-1\r\n",
    b"0x3\r\n",
    b"Trailer: y\r\n",
    b"abc",
]


class _WouldWait(AssertionError):
    """gunicorn asks for bytes that are not there: with a slow client its thread is held."""


class _Source:
    def __init__(self, sent: bytes) -> None:
        self._left = sent

    def recv(self, most: int) -> bytes:
        if not self._left:
            raise _WouldWait
        piece, self._left = self._left[:most], self._left[most:]
        return piece


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map(b"".join), st.integers(1, 40))
@example(b"GET / HTTP/1.1\r\nContent-Length: 0000000000000000005\r\n\r\n", 40)
@example(b"POST / HTTP/1.1\r\nContent-Length: \xb2\xb3\r\n\r\n", 7)
@example(b"Expect: 100-continue\r\n\r\n", 40)
@example(b"\r\nExpect: something\r\n\r\n", 3)
def test_gunicorn_never_waits_for_more_of_a_whole_request(sent: bytes, step: int) -> None:
    gathered = RequestBytes()
    for place in range(0, len(sent), step):
        gathered.add(sent[place : place + step])
        if gathered.is_whole or gathered.is_broken:
            break
    if gathered.is_broken or not gathered.is_whole:
        return
    parser = RequestParser(Config(), _Source(bytes(gathered)), ("127.0.0.1", 1))
    try:
        next(parser).body.read()
    except ParseException:
        return  # refused, without waiting


def test_a_slow_body_may_come_in_any_number_of_pieces() -> None:
    gathered = RequestBytes()
    gathered.add(CHUNKED + b"ea60\r\n")
    for _ in range(60_000):
        gathered.add(b"x")
    assert not gathered.is_broken
    gathered.add(b"\r\n0\r\n\r\n")
    assert gathered.is_whole


def test_endless_trailers_are_no_request() -> None:
    gathered = RequestBytes()
    gathered.add(CHUNKED + b"0\r\n" + b"A: b\r\n" * 20_000)
    assert gathered.is_broken


# --- at the production server


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Port and log of a server with one worker of two threads."""
    log = tmp_path_factory.mktemp("production") / "log"
    port = free_port()
    options = ("--port", str(port), "--workers", "1", "--threads", "2")
    with (
        log.open("w", encoding="utf-8") as output,
        running("serve", *options, output=output, settings=OFF) as server,
    ):
        assert answering(f"http://127.0.0.1:{port}", server).status_code == 200
        yield port, log


def answer_to(port: int, sent: bytes) -> bytes:
    """The head of the answer, and what came of its body."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        return connection.recv(65536)


@pytest.mark.parametrize(
    "sent, status",
    [
        (b"GET /health/live HTTP/1.1\r\nAuthorization Bearer JANE.DOE\r\n\r\n", b"400"),
        (b"GET /fhir/JANE DOE HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /JANE.DOE/" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nX: JANE.DOE" + b"x" * 9000 + b"\r\n\r\n", b"431"),
        (POST + b"Transfer-Encoding: JANE.DOE\r\n\r\n", b"501"),
    ],
)
def test_nothing_of_a_request_that_cannot_be_read_is_told(
    production: tuple[int, Path], sent: bytes, status: bytes
) -> None:
    """Such a line may be a token or name a patient."""
    port, log = production
    answer = answer_to(port, sent)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b'{"resourceType":"OperationOutcome"' in answer
    told = log.read_text(encoding="utf-8")
    assert "request cannot be read: cause=" in told
    for place in (answer.decode(), told):
        assert "JANE" not in place
        assert "DOE" not in place


def test_who_fills_the_memory_is_refused_and_not_who_comes_after(
    production: tuple[int, Path],
) -> None:
    port, _ = production
    body = 10 * 1024 * 1024
    hogs = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(27)]
    try:
        for hog in hogs:
            hog.sendall(POST + b"Content-Length: %d\r\n\r\n" % body + b"x" * (body - 5))
        answer = answer_to(port, POST + b"Content-Length: 5\r\n\r\nhello")
        assert answer.startswith(b"HTTP/1.1 415")
        refused, _, _ = select.select(hogs, [], [], 5)
        assert refused
        assert refused[0].recv(12) == b"HTTP/1.1 503"
    finally:
        for hog in hogs:
            hog.close()
