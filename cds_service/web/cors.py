"""Calls from web pages: exact origins only, preflight without a token, the answer readable on errors too."""

from collections.abc import Sequence

from flask import Flask, Response, g, request

from cds_service.clients import Client
from cds_service.settings import Settings

_PATHS = "/cds-services"
_REMEMBER_SECONDS = "600"


def install(app: Flask, settings: Settings, clients: Sequence[Client]) -> None:
    """Answer preflights and mark answers; to be installed before the gate."""
    open_to = settings.cors_origins if settings.auth == "off" else ()
    known = frozenset(open_to).union(*(client.cors_origins for client in clients))

    @app.before_request
    def preflight() -> Response | None:
        """A browser asks without a token, so any client's origin will do; the call itself is checked."""
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        if not _is_cds_path():
            return None
        answer = Response(status=204)
        if request.headers.get("Origin") in known:
            answer.headers["Access-Control-Allow-Methods"] = "GET, POST"
            answer.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
            answer.headers["Access-Control-Max-Age"] = _REMEMBER_SECONDS
        return answer

    @app.after_request
    def mark(response: Response) -> Response:
        if not _is_cds_path():
            return response
        response.vary.add("Origin")
        client: Client | None = g.get("client")
        origins = known if client is None else {*client.cors_origins, *open_to}
        origin = request.headers.get("Origin")
        if origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "Retry-After, WWW-Authenticate"
        return response


def _is_cds_path() -> bool:
    return request.path == _PATHS or request.path.startswith(f"{_PATHS}/")
