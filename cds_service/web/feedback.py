"""`POST /cds-services/{id}/feedback`: what clinicians made of the cards."""

import logging
from collections.abc import Callable

import msgspec
from flask import Blueprint, Response

from cds_service.clients import Client
from cds_service.feedback_store import FeedbackStore
from cds_service.hooks.feedback import decode
from cds_service.web.body import json_body, offered

_log = logging.getLogger("cds_service")


def blueprint(
    store: FeedbackStore, authenticate: Callable[[], Client], max_bytes: int, max_entries: int
) -> Blueprint:
    """The feedback address of each service. `authenticate` says who calls, or refuses."""
    routes = Blueprint("feedback", __name__)

    # Clients that were given the address with a trailing slash call `/cds-services//{id}`.
    @routes.post("/cds-services//<service_id>/feedback")
    @routes.post("/cds-services/<service_id>/feedback")
    def receive(service_id: str) -> Response:
        client = authenticate()
        service = offered(service_id)
        receipt = store.keep(client.name, service.id, decode(json_body(max_bytes, max_entries)))
        _log.info(
            "feedback service=%s entries=%d unknown=%d",
            service.id,
            receipt.received,
            receipt.unknown_cards,
        )
        return Response(msgspec.json.encode(receipt), content_type="application/json")

    return routes
