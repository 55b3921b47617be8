"""The one gate: every address asks who calls, but for the few that are listed here as public."""

from collections.abc import Callable, Mapping

from flask import Flask, g, request

from cds_service.clients import Client
from cds_service.errors import Unauthorized

PUBLIC: Mapping[str, str] = {
    "description.openapi": "describes the service; holds nothing of a site or a patient",
    "health.live": "probes carry no token; says nothing but that the process answers",
    "health.ready": "probes carry no token; says which part is not ready and no more",
    "metrics.read": "guarded by its own rule: only from the addresses in CDS_METRICS_FROM",
    "assets.static": "style sheet, script and icon of the pages",
    "assets.plotly": "the charting library",
    "front.door": "leads to the rules; holds nothing of a site or a patient",
    "knowledge.index": "the rules in words; no patient is in them",
    "knowledge.situation": "one rule in words",
    "knowledge.value_sets": "the codes that the rules look for",
    "knowledge.source_attributes": "what the service is for, made of and may do wrong",
    "knowledge.about": "the same as JSON",
    "terminology.value_set_": "a value set as FHIR",
    "terminology.code_system_": "a code system as FHIR",
}
"""Endpoints that answer anybody, and why they may. Whatever is in neither list needs a client's token."""

BY_SESSION: Mapping[str, str] = {
    "smart.launch": "only for the FHIR servers of trusted clients; shows nothing",
    "smart.callback": "only for a launch that was begun in this browser",
    "smart.show": "only for a session that the record system authorized",
}
"""Endpoints that browsers open, which cannot send a client's token: they ask for a session of their own."""


def install(app: Flask, authenticate: Callable[[], Client]) -> None:
    """Ask who calls before any address that is not public. `authenticate` says, or refuses."""

    @app.before_request
    def admit() -> None:
        # No endpoint: there is nothing at this address, and 404 or 405 says so to everybody.
        endpoint = request.endpoint
        if endpoint is not None and endpoint not in PUBLIC and endpoint not in BY_SESSION:
            g.client = authenticate()


def caller() -> Client:
    """The client that the gate let in."""
    client: Client | None = g.get("client")
    if client is None:
        raise Unauthorized("an address that is public asked who calls")
    return client
