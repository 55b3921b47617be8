"""`GET /health/live` and `GET /health/ready`: whether the process answers, and whether it should be asked.

The answer says which part is not ready and nothing more; why stands in the log.
"""

import logging
from collections.abc import Callable, Mapping

import msgspec
from flask import Blueprint, Response

from cds_service.metrics import Metrics

Probe = Callable[[], str | None]
"""None when that part is ready, else why not, for the log: words of our own, no patient data."""

_log = logging.getLogger("cds_service")


def blueprint(probes: Mapping[str, Probe], metrics: Metrics) -> Blueprint:
    """The two addresses. Probes are asked on every call: what is costly caches itself."""
    routes = Blueprint("health", __name__)
    told: dict[str, str | None] = {}

    @routes.get("/health/live")
    def live() -> Response:
        return _json({"status": "alive"}, 200)

    @routes.get("/health/ready")
    def ready() -> Response:
        causes = {part: probe() for part, probe in probes.items()}
        for part, cause in causes.items():
            metrics.ready.labels(part).set(cause is None)
            if told.get(part) != cause:
                told[part] = cause
                _tell(part, cause)
        parts = {part: "ready" if cause is None else "not ready" for part, cause in causes.items()}
        if all(cause is None for cause in causes.values()):
            return _json({"status": "ready", "parts": parts}, 200)
        return _json({"status": "not ready", "parts": parts}, 503)

    return routes


def _tell(part: str, cause: str | None) -> None:
    """One line a change, not one a probe."""
    if cause is None:
        _log.warning("ready part=%s", part)
    else:
        _log.error("not ready part=%s cause=%s", part, cause)


def _json(body: Mapping[str, object], status: int) -> Response:
    response = Response(msgspec.json.encode(body), status=status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
