"""Requests counted and timed, and `GET /metrics`, for those who may read it."""

import logging
import time
from collections.abc import Sequence

from flask import Blueprint, Flask, Response, g, request

from cds_service.decision import Decision
from cds_service.errors import DataUnavailable, NotForThisAddress, ServiceError
from cds_service.fhir.templates import NAMES
from cds_service.metrics import OTHER, Metrics
from cds_service.networks import Network, listed
from cds_service.offered_services import SERVICES
from cds_service.web.proxies import THROUGH_A_STRANGER

_log = logging.getLogger("cds_service")
_CALL = "services.call"
_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


def install(app: Flask, metrics: Metrics, readers: Sequence[Network]) -> None:
    """Count and time every request of this app, and offer the result to the readers."""

    def begin() -> None:
        g.started = time.perf_counter()

    def end(response: Response) -> Response:
        try:
            _count(metrics, response.status_code)
        except (
            OSError
        ) as error:  # the folder that the workers share; the answer is there all the same
            _log.warning("metrics failed cause=%s", type(error).__name__)
        return response

    for service in SERVICES.values():
        metrics.requests.labels(service.id, 500)  # shown at zero: the first fault is an increase
    app.before_request(begin)
    app.after_request(end)
    app.register_blueprint(_blueprint(metrics, readers))


def decided(decision: Decision) -> None:
    """Remember, for counting, what this request led to."""
    g.decision = decision


def refused(error: ServiceError) -> None:
    """Remember, for counting, why this request was refused."""
    g.refusal = error


def _blueprint(metrics: Metrics, readers: Sequence[Network]) -> Blueprint:
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics")
    def read() -> Response:
        if request.environ.get(THROUGH_A_STRANGER) or not listed(request.remote_addr, readers):
            raise NotForThisAddress("Metrics are read from the addresses in CDS_METRICS_FROM only.")
        return Response(metrics.exposition(), content_type=_TEXT_FORMAT)

    return routes


def _count(metrics: Metrics, status: int) -> None:
    """Feedback names a service too, but is no call of its hook."""
    named = (request.view_args or {}).get("service_id", "")
    service = SERVICES.get(named) if request.endpoint == _CALL else None
    metrics.requests.labels(service.id if service else request.endpoint or OTHER, status).inc()
    if service is not None:
        metrics.seconds.labels(service.hook).observe(time.perf_counter() - g.started)
    decision = g.get("decision")
    if decision is not None:
        _count_decision(metrics, decision)
    error = g.get("refusal")
    if isinstance(error, DataUnavailable):
        metrics.refused_data.labels(_missing(error.where or "")).inc()


def _missing(where: str) -> str:
    """The prefetch key, or part of the context, that was missing: one of a fixed list."""
    if where == "prefetch":
        return "medications"  # none of the four keys came
    if where.startswith("context.draftOrders"):
        return "draftOrders"
    key = where.removeprefix("prefetch.")
    return key if key in NAMES else OTHER


def _count_decision(metrics: Metrics, decision: Decision) -> None:
    for finding, outcome in (
        (decision.primary, "card"),
        (decision.accompanying, "beside"),
        (decision.silence, "silence"),
        *((finding, "shadow") for finding in decision.shadow),
    ):
        if finding is not None:
            metrics.situations.labels(finding.slug, outcome).inc()
