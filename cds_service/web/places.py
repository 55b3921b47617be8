"""How many calls are answered at once: beyond that, 503 at once instead of a queue without end."""

from collections import Counter
from threading import Lock

from flask import Flask, g, request

from cds_service.errors import Unavailable

_SHARE = 0.75
"""Of all places, at most so many for one client when there are others, so that it costs them nothing."""
_NO_PLACE_NEEDED = frozenset({"health.live", "health.ready", "metrics.read"})
"""A full service is not a dead one: whoever watches it is answered all the same."""


class Places:
    """The places of one worker process."""

    def __init__(self, most: int, *, shared: bool) -> None:
        """`shared`: whether there is more than one client."""
        self._most = most
        self._most_each = max(1, int(most * _SHARE)) if shared else most
        self._taken = 0
        self._taken_by: Counter[str] = Counter()
        self._lock = Lock()

    def take(self) -> None:
        """A place for whoever calls. Raises Unavailable when all are taken."""
        with self._lock:
            if self._taken >= self._most:
                raise Unavailable("The service answers as many calls as it can.", retry_seconds=1)
            self._taken += 1

    def take_as(self, client: str) -> None:
        """Count the place as this client's. Raises Unavailable when it has its share already."""
        with self._lock:
            if self._taken_by[client] >= self._most_each:
                raise Unavailable(
                    "This client has as many calls under way as are answered for one.",
                    retry_seconds=1,
                )
            self._taken_by[client] += 1

    def leave(self, client: str | None) -> None:
        """Give back a place, and what the client had of it."""
        with self._lock:
            self._taken -= 1
            if client is None:
                return
            self._taken_by[client] -= 1
            if not self._taken_by[client]:
                del self._taken_by[client]


def install_outer(app: Flask, places: Places) -> None:
    """Take a place for each request, whoever sends it; to be installed before the gate."""

    @app.before_request
    def enter() -> None:
        if request.endpoint in _NO_PLACE_NEEDED:
            return
        places.take()
        g.has_place = True

    @app.teardown_request
    def leave(_: BaseException | None) -> None:
        if g.pop("has_place", False):
            places.leave(g.pop("place_of", None))


def install_inner(app: Flask, places: Places) -> None:
    """Count the place as the client's; to be installed after the gate."""

    @app.before_request
    def enter_as() -> None:
        client = g.get("client")
        if client is not None:
            places.take_as(client.name)
            g.place_of = client.name
