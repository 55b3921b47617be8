"""`GET /cds-services` and `POST /cds-services/{id}`."""

import logging
import time
from collections.abc import Callable
from datetime import date

import msgspec
from flask import Blueprint, Response, request

from cds_service.clients import Client
from cds_service.guidance import Advisor, Answer
from cds_service.hooks import card
from cds_service.hooks.request import decode
from cds_service.offered_services import discovery
from cds_service.web import measuring
from cds_service.web.audit import trail
from cds_service.web.body import json_body, offered

_log = logging.getLogger("cds_service")


def blueprint(
    advisor: Advisor,
    authenticate: Callable[[], Client],
    today: Callable[[], date],
    max_bytes: int,
    max_entries: int,
) -> Blueprint:
    """The routes of the CDS services. `authenticate` says who calls, or refuses."""
    routes = Blueprint("services", __name__)
    terminology = advisor.rulebook.terminology
    documents = {s: msgspec.json.encode(discovery(terminology, strict=s)) for s in (False, True)}

    @routes.get("/cds-services", strict_slashes=False)
    def discover() -> Response:
        document = documents[authenticate().strict_discovery]
        response = Response(document, content_type="application/json")
        response.headers["Cache-Control"] = "private, no-cache"
        response.add_etag()
        return response.make_conditional(request)  # type: ignore[return-value]

    # Clients that were given the address with a trailing slash call `/cds-services//{id}`.
    @routes.post("/cds-services//<service_id>")
    @routes.post("/cds-services/<service_id>")
    def call(service_id: str) -> Response:
        started = time.perf_counter()
        client = authenticate()
        service = offered(service_id)
        hook_request = decode(json_body(max_bytes, max_entries), (service.hook,))
        trail().asked(hook_request, client)
        answer = advisor.answer(hook_request, today(), client=client)
        trail().decided(answer)
        measuring.decided(answer.decision)
        _note(service.id, answer, started)
        return Response(card.encode(answer.response), content_type="application/json")

    return routes


def _note(service_id: str, answer: Answer, started: float) -> None:
    """One line a call: what was decided and how long it took, nothing about whom."""
    decision = answer.decision
    situation = decision.primary or decision.silence
    beside = decision.accompanying
    _log.info(
        "answered service=%s situation=%s level=%s quiet=%s cards=%d beside=%s shadow=%s"
        " unknown=%d unread=%d ms=%.1f",
        service_id,
        situation.slug if situation else "-",
        situation.level if situation else "-",
        f"{decision.quiet.situation}/{decision.quiet.cause}" if decision.quiet else "-",
        len(answer.response.cards),
        beside.slug if beside else "-",
        ",".join(f.slug for f in decision.shadow) or "-",
        len(decision.assessment.record.unknown),
        len(decision.assessment.record.unread),
        (time.perf_counter() - started) * 1000,
    )
