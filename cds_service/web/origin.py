"""Every answer and every log line carries the id of its request, and the caller's trace."""

import re
from uuid import uuid4

from flask import Flask, Response, g, request

from cds_service.logs import ORIGIN, Origin

_HEADER = "X-Request-ID"
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-.*)?"
)


def install(app: Flask) -> None:
    """Give each request of this app its origin, before anything else looks at it."""
    app.before_request(_begin)
    app.after_request(_name)
    app.teardown_request(_end)


def trace_of(traceparent: str) -> tuple[str, str] | None:
    """Trace and span of a W3C `traceparent`; None when it is not as that specification has it."""
    found = _TRACEPARENT.fullmatch(traceparent.strip())
    if found is None or found["version"] == "ff":
        return None
    if found["more"] and found["version"] == "00":
        return None
    if not int(found["trace"], 16) or not int(found["span"], 16):
        return None
    return found["trace"], found["span"]


def _begin() -> None:
    given = request.headers.get(_HEADER, "")
    trace = trace_of(request.headers.get("traceparent", ""))
    origin = Origin(
        given if _REQUEST_ID.fullmatch(given) else uuid4().hex,
        request.remote_addr,
        *(trace or ()),
    )
    g.origin = origin
    g.origin_before = ORIGIN.set(origin)


def _name(response: Response) -> Response:
    response.headers[_HEADER] = g.origin.request_id
    return response


def _end(_: BaseException | None) -> None:
    if "origin_before" in g:
        ORIGIN.reset(g.pop("origin_before"))
