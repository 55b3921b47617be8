"""Warm HTTP connections that go to checked addresses only, and that can be cut from outside.

The name of a server is resolved when a connection is made, the address found is checked, and that
very address is connected to: a name that answers differently a moment later gains nothing.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

Resolve = Callable[[str, int], list[str]]
"""Host and port to addresses that may be connected to. Raises OSError when there are none."""

_under_way = threading.local()


class Call:
    """One request and its answer. Another thread may cut it short, however slowly it drips."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._switch: socket.socket | None = None
        self._cut = False

    def enter(self) -> None:
        """From here on this thread's connection is the one of this call."""
        _under_way.call = self

    def leave(self) -> None:
        """The connection may serve others now."""
        with self._lock:
            self._switch = None
        _under_way.call = None

    def abort(self) -> None:
        """Shut the connection down, so that whoever waits for it wakes up."""
        with self._lock:
            self._cut = True
            self._shut()

    def uses(self, switch: socket.socket) -> None:
        """The connection that now serves this call."""
        with self._lock:
            self._switch = switch
            if self._cut:
                self._shut()

    def _shut(self) -> None:
        if self._switch is not None:
            with suppress(OSError):  # closed already, which is as good
                self._switch.shutdown(socket.SHUT_RDWR)


class _Checked:
    """What the connections of both schemes have in common."""

    resolve: Resolve
    _switch: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        host, port = self._dns_host, self.port  # type: ignore[attr-defined]
        try:
            found = _connect(self.resolve(host, port), port, self.timeout)  # type: ignore[attr-defined]
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no connection in time") from error
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error  # type: ignore[arg-type]
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A second handle of the same connection: TLS takes the first one away.
        self._switch = found.dup()
        self._announce()
        return found

    def putrequest(self, *arguments: Any, **options: Any) -> None:
        self._announce()
        super().putrequest(*arguments, **options)  # type: ignore[misc]

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        if self._switch is not None:
            self._switch.close()
            self._switch = None

    def _announce(self) -> None:
        call: Call | None = getattr(_under_way, "call", None)
        if call is not None and self._switch is not None:
            call.uses(self._switch)


class CheckedAdapter(HTTPAdapter):
    """Connects through `resolve` and no other way."""

    def __init__(self, resolve: Resolve, connections: int) -> None:
        self._resolve = resolve
        super().__init__(pool_connections=4, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        own = {"resolve": staticmethod(self._resolve)}
        plain = type("PlainConnection", (_Checked, HTTPConnection), own)
        tls = type("TlsConnection", (_Checked, HTTPSConnection), own)
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("TlsPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
        }


class _Session(requests.Session):
    """Leaves redirects to us: even where it may not follow one, requests would read its whole body."""

    def get_redirect_target(self, _: object) -> None:
        return None


def session(resolve: Resolve, connections: int) -> requests.Session:
    """A pool of connections that takes neither proxies nor passwords from its surroundings.

    A `.netrc` would displace the token of the call, and a cookie would tie calls together. urllib3
    notes addresses in its log, and with them whom a search is about: it is to keep silent.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    made = _Session()
    made.trust_env = False
    made.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = CheckedAdapter(resolve, connections)
    made.mount("http://", adapter)
    made.mount("https://", adapter)
    return made


def _connect(addresses: list[str], port: int, timeout: Any) -> socket.socket:
    failure = OSError("no address")
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            if isinstance(timeout, int | float):
                made.settimeout(timeout)
            made.connect((address, port))
        except OSError as error:
            made.close()
            failure = error
        else:
            return made
    raise failure
