"""The address without a path: a browser is led to the rules, anybody else is told where to go."""

from flask import Blueprint, Response

from cds_service.web.pages.security import protect

_TOLD = (
    "Low ALP CDS, a CDS Hooks service. Discovery is at /cds-services, the rules in plain words at"
    " /knowledge, the description for programs at /openapi.json.\n"
)


def blueprint() -> Blueprint:
    """One address. The demonstration has its sandbox there instead."""
    routes = Blueprint("front", __name__)
    protect(routes)

    @routes.get("/")
    def door() -> Response:
        # Relative, so that it holds behind a proxy that serves below a path.
        return Response(
            _TOLD,
            status=302,
            headers={"Location": "knowledge"},
            content_type="text/plain; charset=utf-8",
        )

    return routes
