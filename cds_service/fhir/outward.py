"""Calls to a record system's servers: bounded in time and size, never redirected, never told a secret
that is not theirs.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import requests
from urllib3.exceptions import HTTPError

from cds_service.errors import EhrUnavailable
from cds_service.fhir.transport import Call

TIMEOUT_SECONDS = 10.0
_CUT_SECONDS = 1.0
"""After that time, until the connection is cut under a server that drips."""
_MOST_BYTES = 20 * 1024 * 1024
_PIECE_BYTES = 65_536


class Answered(Exception):
    """The server answered with another status than 200."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


def get(session: requests.Session, url: str, *, what: str) -> bytes:
    """The body of a GET of JSON. Raises Answered, or EhrUnavailable naming `what` was asked for.

    The session decides which addresses may be connected to.
    """
    return _body(
        lambda: session.get(
            url,
            headers={"Accept": "application/json"},
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
            stream=True,
        ),
        what,
    )


def post_form(session: requests.Session, url: str, form: Mapping[str, str], *, what: str) -> bytes:
    """The body of the answer to a form. Raises as `get` does."""
    return _body(
        lambda: session.post(
            url,
            data=dict(form),
            headers={"Accept": "application/json"},
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
            stream=True,
        ),
        what,
    )


def _body(ask: Callable[[], requests.Response], what: str) -> bytes:
    ends = time.monotonic() + TIMEOUT_SECONDS
    body = bytearray()
    try:
        with _cut_in_time(), ask() as response:
            if response.status_code != 200:
                raise Answered(response.status_code)
            while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
                body += piece
                if len(body) > _MOST_BYTES:
                    raise EhrUnavailable(f"The record system's {what} is larger than is read here.")
                if time.monotonic() > ends:
                    break
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        # The cause may quote the address with what is in it: it is named by its type only.
        raise EhrUnavailable(
            f"The record system's {what} could not be had ({type(error).__name__})."
        ) from error
    if time.monotonic() > ends:  # perhaps cut off, which looks like an end
        raise EhrUnavailable(f"The record system's {what} took too long.")
    return bytes(body)


@contextmanager
def _cut_in_time() -> Iterator[None]:
    """Ends the connection of this thread: a timeout begins anew with every byte, even of a header."""
    call = Call()
    clock = threading.Timer(TIMEOUT_SECONDS + _CUT_SECONDS, call.abort)
    clock.daemon = True
    call.enter()
    clock.start()
    try:
        yield
    finally:
        clock.cancel()
        call.leave()
