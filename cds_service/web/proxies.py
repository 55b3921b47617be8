"""Forwarded headers are believed only when a listed proxy sent them.

They say from where a call came (for the log, and for who may read the metrics) and whether it came by
https. Host and path are never taken from them: the public address is `CDS_BASE_URL`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from cds_service.networks import Network, is_address, listed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_FOR = "HTTP_X_FORWARDED_FOR"
_PROTO = "HTTP_X_FORWARDED_PROTO"
_FORWARDED = (
    _FOR,
    _PROTO,
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PREFIX",
    "HTTP_X_REAL_IP",
    "HTTP_VIA",
)
THROUGH_A_STRANGER = "cds.through_a_stranger"
"""In the WSGI environment when a proxy that is not listed passed the call on, or for whom is not told."""


class TrustedProxies:
    """WSGI middleware: caller and scheme as the listed proxies tell them."""

    def __init__(self, app: "WSGIApplication", proxies: Sequence[Network]) -> None:
        self._app = app
        self._proxies = proxies

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer with what was forwarded taken over, or taken away."""
        told = {name: environ.pop(name) for name in _FORWARDED if name in environ}
        if listed(environ.get("REMOTE_ADDR"), self._proxies):
            hops = told.get(_FOR, "")
            environ["REMOTE_ADDR"] = self._caller(environ["REMOTE_ADDR"], hops)
            if hops and listed(environ["REMOTE_ADDR"], self._proxies) and not _are_addresses(hops):
                # `unknown`, or a port beside it: somebody called, and nobody knows who.
                environ[THROUGH_A_STRANGER] = True
            scheme = told.get(_PROTO, "").rpartition(",")[2].strip().lower()
            if scheme in ("http", "https"):
                environ["wsgi.url_scheme"] = scheme
        elif told:
            environ[THROUGH_A_STRANGER] = True
        return self._app(environ, start_response)

    def _caller(self, peer: str, forwarded_for: str) -> str:
        """The last hop that is not one of ours; what stands before it, anyone may have written."""
        caller = peer
        for hop in _from_the_last(forwarded_for):
            if not listed(caller, self._proxies):
                break
            caller = hop
        return caller


def _from_the_last(forwarded_for: str) -> Iterator[str]:
    """The addresses named, the latest hop first, up to the first that is none."""
    for hop in reversed(forwarded_for.split(",")):
        address = hop.strip()
        if not is_address(address):
            return
        yield address


def _are_addresses(forwarded_for: str) -> bool:
    return all(is_address(hop.strip()) for hop in forwarded_for.split(","))
