"""The one gate: every address asks who calls, but for the few that are listed here as public."""

from collections.abc import Callable, Mapping

from flask import Flask, g, request

from cds_service.clients import Client
from cds_service.errors import Unauthorized

PUBLIC: Mapping[str, str] = {
    "description.openapi": "describes the service; holds nothing of a site or a patient",
}
"""Endpoints that answer anybody, and why they may. Whatever is not here needs a client's token."""


def install(app: Flask, authenticate: Callable[[], Client]) -> None:
    """Ask who calls before any address that is not public. `authenticate` says, or refuses."""

    @app.before_request
    def admit() -> None:
        # No endpoint: there is nothing at this address, and 404 or 405 says so to everybody.
        if request.endpoint is not None and request.endpoint not in PUBLIC:
            g.client = authenticate()


def caller() -> Client:
    """The client that the gate let in."""
    client: Client | None = g.get("client")
    if client is None:
        raise Unauthorized("an address that is public asked who calls")
    return client
