"""Public keys behind an address that the site listed: fetched, kept, and fetched again with restraint."""

import json
import logging
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from threading import Event, Lock, Thread

import msgspec
import requests
from requests import PreparedRequest
from urllib3.exceptions import HTTPError

from cds_service.tokens.key_sets import Key, KeySet, read_key_set

FRESH_SECONDS = 600
"""For so long keys are used without asking again."""
GRACE_SECONDS = 6 * 3600
"""For so long keys stay in use while their server does not answer."""
PAUSE_SECONDS = 30
"""Between two fetches, whatever tokens claim: the most load that a caller can cause."""
_TIMEOUT_SECONDS = 2
_WHOLE_SECONDS = 5
_LARGEST_BYTES = 256 * 1024
_CHUNK_BYTES = 16 * 1024

_log = logging.getLogger("cds_service")


class KeysUnavailable(Exception):
    """Whether the key is good cannot be known now: its server does not answer."""


class _Held(msgspec.Struct, frozen=True):
    key_set: KeySet
    fetched_at: float


class KeyServer:
    """The key set at one address. Safe to share between threads."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._held: _Held | None = None
        self._tried_at: float | None = None
        self._latest: _Fetch | None = None
        self._lock = Lock()

    def find(self, kid: str) -> tuple[Key, ...]:
        """The keys of that id; none when the server has no such key.

        Raises KeysUnavailable when the server does not answer and nothing recent is held.
        """
        held = self._usable()
        known = held.key_set.find(kid) if held else ()
        if held and known and self._age(held) < FRESH_SECONDS:
            return known
        self._refresh(wait=held is None)
        held = self._usable()
        if held is None:
            raise KeysUnavailable
        return held.key_set.find(kid)

    def holds_keys(self) -> bool:
        """Whether there are keys to go on with, without asking for any."""
        return self._usable() is not None

    def has_keys(self) -> bool:
        """Whether there are keys to go on with; fetches them when there are none, with restraint."""
        if not self.holds_keys():
            self._refresh(wait=False)
        return self.holds_keys()

    def _usable(self) -> _Held | None:
        """What is held, unless it is too old to go on with."""
        held = self._held
        return held if held and self._age(held) <= GRACE_SECONDS else None

    def _age(self, held: _Held) -> float:
        return self._clock() - held.fetched_at

    def _refresh(self, *, wait: bool) -> None:
        """Fetch unless that was tried just now, or is being done and there are keys to go on with."""
        with self._lock:
            fetch = self._latest
            if fetch is None or fetch.over.is_set():
                now = self._clock()
                if self._tried_at is not None and now - self._tried_at < PAUSE_SECONDS:
                    return
                self._tried_at = now
                fetch = self._latest = _Fetch()
                begin = partial(copy_context().run, self._take, fetch, now)
                Thread(target=begin, name="keys", daemon=True).start()
                wait = True
        if wait:
            fetch.over.wait(max(0.0, fetch.ends_at - time.monotonic()))

    def _take(self, fetch: "_Fetch", now: float) -> None:
        """Fetch the keys, in a thread of its own: a server that drips may take as long as it likes."""
        try:
            self._held = _Held(read_key_set(fetched(self._url)), now)
        except (
            requests.RequestException,
            HTTPError,  # urllib3's own, for a body that breaks off or is not packed as it says
            OSError,
            ValueError,
            RecursionError,
        ) as error:
            _log.warning("key server failed type=%s", type(error).__name__)
        finally:
            fetch.over.set()


class _Fetch:
    """One fetch under way. As long as it is, there is no other."""

    def __init__(self) -> None:
        self.over = Event()
        self.ends_at = time.monotonic() + _WHOLE_SECONDS
        """Until then somebody may wait for it."""


def fetched(url: str) -> object:
    """The JSON at that very address: no redirect, no credentials, little and soon.

    Raises RequestException, HTTPError, OSError or ValueError.
    """
    end = time.monotonic() + _WHOLE_SECONDS
    with (
        _Asking() as asking,
        asking.get(
            url,
            headers={"Accept": "application/json"},
            auth=_nobody,
            allow_redirects=False,
            stream=True,
            timeout=_TIMEOUT_SECONDS,
        ) as response,
    ):
        if response.status_code != requests.codes.ok:
            raise ValueError("an answer of 200 was expected")
        body = b""
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > _LARGEST_BYTES or time.monotonic() > end:
                raise ValueError("the answer is too long or too slow")
    return json.loads(body)


class _Asking(requests.Session):
    """Sees no redirect: even where it may not follow one, requests would read its whole body."""

    def get_redirect_target(self, _: object) -> None:
        return None


def _nobody(request: PreparedRequest) -> PreparedRequest:
    """Keeps requests from looking up a password for the host in the machine's netrc file."""
    return request
