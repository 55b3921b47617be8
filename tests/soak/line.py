"""The way to the replicas: calls at a stated rate, each on a connection of its own, each written down."""

import json
import threading
import time
from http.client import HTTPConnection, HTTPException
from itertools import count
from typing import Any

import msgspec

from tests.conftest import slug
from tests.signing import Signer
from tests.soak.judging import Call

PATIENCE_SECONDS = 30
"""A call without an answer for so long is lost."""


class Over(Exception):
    """The time is up."""


class Reply(msgspec.Struct, frozen=True):
    """An answer. `body` is None when it is not JSON."""

    status: int
    body: Any


class Line:
    """Safe to share between threads: the rate is that of all together."""

    def __init__(self, ports: tuple[int, int], signer: Signer | None, rate: float) -> None:
        """`rate` in calls a second. The ports may be the same: then there is one replica."""
        self.calls: list[Call] = []
        self.moved = 0
        """Calls that one replica did not accept, being down, and the other did."""
        self.signs = signer is not None
        self._ports = ports
        self._signer = signer
        self._rate = rate
        self._ticket = count()
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._end = float("inf")

    def open(self) -> None:
        """Calls are taken from now on."""
        self._start = time.monotonic()

    def close(self) -> None:
        """No more calls."""
        self._end = time.monotonic()

    def token(self, path: str) -> str:
        """A new token for that path; empty when none are needed."""
        return self._signer.token(path) if self._signer else ""

    def call(
        self,
        kind: str,
        side: int,
        path: str,
        body: Any,
        *,
        status: int = 200,
        cards: tuple[str, ...] = (),
        cards_if_forgotten: tuple[str, ...] | None = None,
        token: str | None = None,
        comment: str | None = None,
    ) -> Reply | None:
        """Make a call when it is due; `None` when it was not answered. Raises Over."""
        self._wait()
        token = self.token(path) if token is None else token
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        side %= len(set(self._ports))
        begun = time.monotonic()
        side, reply = self._send(side, path, content, token)
        found = reply.body if reply is not None and isinstance(reply.body, dict) else {}
        ended = time.monotonic()
        self.calls.append(
            Call(
                kind=kind,
                replica=side,
                begun=begun,
                ended=ended,
                status=reply.status if reply else None,
                expected_status=status,
                is_outcome=found.get("resourceType") == "OperationOutcome",
                cards=tuple(slug(card) for card in found.get("cards", ())),
                expected_cards=cards,
                cards_if_forgotten=cards_if_forgotten,
                acknowledged=comment if reply and reply.status == 200 else None,
            )
        )
        return reply

    def _wait(self) -> None:
        due = self._start + next(self._ticket) / self._rate
        if due >= self._end or time.monotonic() >= self._end:
            raise Over
        time.sleep(max(0.0, due - time.monotonic()))

    def _send(
        self, side: int, path: str, content: bytes | None, token: str
    ) -> tuple[int, Reply | None]:
        """The replica that took the connection, and its answer."""
        connection = HTTPConnection("127.0.0.1", self._ports[side], timeout=PATIENCE_SECONDS)
        try:
            connection.connect()
        except ConnectionRefusedError:  # it is down: a gateway would take the other
            side = (side + 1) % len(self._ports)
            connection = HTTPConnection("127.0.0.1", self._ports[side], timeout=PATIENCE_SECONDS)
            connection.connect()
            with self._lock:
                self.moved += 1
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request("GET" if content is None else "POST", path, content, headers)
            answer = connection.getresponse()
            return side, Reply(answer.status, _json(answer.read()))
        except (OSError, HTTPException):
            return side, None
        finally:
            connection.close()


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
