"""`GET /openapi.json`: the service described for machines, the same for everybody."""

from importlib import resources

from flask import Blueprint, Response


def blueprint() -> Blueprint:
    """The route of the OpenAPI document."""
    routes = Blueprint("description", __name__)
    document = (resources.files("cds_service.web") / "openapi.json").read_bytes()

    @routes.get("/openapi.json")
    def openapi() -> Response:
        return Response(document, content_type="application/json")

    return routes
