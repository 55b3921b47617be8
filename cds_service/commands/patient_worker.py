"""A gunicorn worker that waits for slow clients without a thread.

gunicorn's gthread worker gives a connection a thread as soon as its first byte is there, and lingers for
a client that will not hang up within its only event loop. Here that loop gathers each request until it is
whole, and only then a thread answers it; what is gathered is limited in time and in size.
"""

import selectors
import socket
import time
import traceback
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.http.errors import (
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    ParseException,
)
from gunicorn.workers.gthread import TConn, ThreadWorker

from cds_service.commands.request_bytes import MOST_FRAMING, RequestBytes

_LINGER_SECONDS = 2.0
"""For a client to hang up after its answer, so that it can read it to the end (RFC 9112, 9.6)."""
_LAST_CHANCE_SECONDS = 1.0
"""At a stop, for a client that is connected and has sent nothing yet to begin its request."""
_MOST_GATHERED_BYTES = 256 * 1024 * 1024
"""Held for all unfinished requests of a worker together."""
_QUEUE_A_THREAD = 16
"""Whole requests that may wait for a thread, for each thread there is; more are 503."""
_CHUNK_BYTES = 64 * 1024
_BODY = b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"%s","diagnostics":"%s"}]}'
_TOO_SLOW = (b"408 Request Timeout", b"timeout", b"The request did not come to its end in time.")
_NO_REQUEST = (b"400 Bad Request", b"invalid", b"The request cannot be read.")
_FAILED = (
    b"500 Internal Server Error",
    b"exception",
    b"The service failed; no advice was given.",
)
_OURS = (InvalidResponseHeader, InvalidResponseHeaderName)
_UNREAD = {
    "LimitRequestLine": (b"414 URI Too Long", b"too-long", b"The address is too long."),
    "LimitRequestHeaders": (
        b"431 Request Header Fields Too Large",
        b"too-long",
        b"The headers are too long or too many.",
    ),
    "UnsupportedTransferCoding": (
        b"501 Not Implemented",
        b"not-supported",
        b"Send the body as it is, or chunked.",
    ),
}
"""By the name of gunicorn's error."""
_TOO_MANY = (
    b"503 Service Unavailable",
    b"transient",
    b"The service answers as many calls as it can.",
)


class PatientWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """gthread, but a thread is taken only for a request that is whole."""

    largest_body = 10_485_760
    """In bytes. A longer one is passed on unfinished: the app refuses it without reading on."""
    whole_request_seconds = 20.0
    """From the moment a request is waited for to the last byte of its body."""
    answer_seconds = 60.0
    """From the last byte of the request to the last byte of the answer; a client may read slowly."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gathering: dict[TConn, tuple[RequestBytes, float]] = {}
        self._gathered_bytes = 0
        self._answering: dict[TConn, float] = {}
        self._lingering: dict[TConn, float] = {}

    def accept(self, listener: socket.socket) -> None:
        """A new connection; when there is no room, in place of one that is of least use."""
        if self.nr_conns >= self.worker_connections - 1:
            self._make_room()
        super().accept(listener)

    def enqueue_req(self, conn: TConn) -> None:
        """A connection is new, or has bytes again: gather them. Called in the event loop only."""
        self._gathering[conn] = RequestBytes(), time.monotonic() + self.whole_request_seconds
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._gather, conn))
        if conn.parser is not None and (read_ahead := conn.parser.unreader.take_buffered()):
            self._add(conn, read_ahead)

    def murder_keepalived(self, force: bool = False) -> None:
        """Once a second: end what takes too long."""
        super().murder_keepalived(force)
        now = time.monotonic()
        for conn, (given, end) in list(self._gathering.items()):
            waited = now - (end - self.whole_request_seconds)
            if not self.alive and not len(given) and waited > _LAST_CHANCE_SECONDS:
                self._gather(conn, conn.sock)  # what came meanwhile is answered
                if conn in self._gathering and not len(given):
                    self._drop(conn)
            elif end <= now:
                self._refuse(conn, *_TOO_SLOW)
        for conn in [c for c, end in self._lingering.items() if end <= now]:
            self._hang_up(conn)
        for conn in [c for c, end in self._answering.items() if end <= now]:
            with suppress(OSError):  # the client may be gone
                conn.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that writes to it

    def finish_request(self, conn: TConn, fs: Any) -> None:
        """The answer is written; called in the event loop."""
        self._answering.pop(conn, None)
        if not fs.cancelled() and fs.exception() is None and fs.result():
            super().finish_request(conn, fs)
        else:
            self._linger(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer what gunicorn cannot read, or failed with. Called in a thread.

        gunicorn's own words quote the request, and with it a token or a patient.
        """
        kind = type(exc).__name__
        if isinstance(exc, ParseException) and not isinstance(exc, _OURS):
            refusal = _UNREAD.get(kind, _NO_REQUEST)
            self.log.warning("request cannot be read: cause=%s address=%s", kind, addr[0])
        else:
            refusal = _FAILED
            frames = "".join(traceback.format_tb(exc.__traceback__))
            self.log.error("fault of the server: type=%s\n%s", kind, frames)
        with suppress(OSError):  # a client that is gone needs no answer
            client.sendall(_refusal(*refusal))

    def _make_room(self) -> None:
        """Give up who asks for nothing, longest so; else the request that was waited for longest."""
        if self.keepalived_conns:
            self._close(self.keepalived_conns.popleft())
        elif self._gathering:
            self._drop(next(iter(self._gathering)))

    def _gather(self, conn: TConn, _: socket.socket) -> None:
        try:
            received = conn.sock.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if received:
            self._add(conn, received)
        else:
            self._drop(conn)

    def _add(self, conn: TConn, received: bytes) -> None:
        given, _ = self._gathering[conn]
        before = len(given)
        given.add(received)
        self._gathered_bytes += len(given) - before
        if given.is_broken:
            self._refuse(conn, *_NO_REQUEST)
        elif given.is_whole or len(given) > self.largest_body + MOST_FRAMING:
            self._answer(conn)
        elif self._gathered_bytes > _MOST_GATHERED_BYTES:
            # The one that holds most, and not whoever comes after it.
            self._refuse(max(self._gathering, key=lambda c: len(self._gathering[c][0])), *_TOO_MANY)
        if given.waits_for_continue and conn in self._gathering:
            given.waits_for_continue = False
            with suppress(OSError):  # the next read will tell
                conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _answer(self, conn: TConn) -> None:
        """Hand a request over to a thread."""
        if len(self._answering) >= self.cfg.threads * (1 + _QUEUE_A_THREAD):
            self._refuse(conn, *_TOO_MANY)
            return
        given = self._forget(conn)
        self._answering[conn] = time.monotonic() + self.answer_seconds
        conn.data_ready = True
        conn.init()
        conn.parser.unreader.unread(bytes(given))
        super().enqueue_req(conn)

    def _refuse(self, conn: TConn, status: bytes, code: bytes, words: bytes) -> None:
        """Answer from here: no thread is to be had for it, or it is no request."""
        self._forget(conn)
        with suppress(OSError):  # a client that is gone needs no answer
            conn.sock.send(_refusal(status, code, words))
        self._linger(conn)

    def _linger(self, conn: TConn) -> None:
        """Say that nothing more will come, and wait for the client to hang up."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))
        except (OSError, ValueError):  # it has hung up
            self.nr_conns -= 1
            conn.close()
            return
        self._lingering[conn] = time.monotonic() + _LINGER_SECONDS

    def _drain(self, conn: TConn, _: socket.socket) -> None:
        try:
            if conn.sock.recv(_CHUNK_BYTES):
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # it has hung up the hard way
        self._hang_up(conn)

    def _hang_up(self, conn: TConn) -> None:
        del self._lingering[conn]
        self._close(conn)

    def _drop(self, conn: TConn) -> None:
        self._forget(conn)
        self._close(conn)

    def _close(self, conn: TConn) -> None:
        with suppress(KeyError, ValueError):
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def _forget(self, conn: TConn) -> RequestBytes:
        given, _ = self._gathering.pop(conn)
        self._gathered_bytes -= len(given)
        self.poller.unregister(conn.sock)
        return given


def _refusal(status: bytes, code: bytes, words: bytes) -> bytes:
    body = _BODY % (code, words)
    head = (
        b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        b"Retry-After: 5\r\nConnection: close\r\n\r\n"
    )
    return head % (status, len(body)) + body
