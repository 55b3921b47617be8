"""A page that cannot be shown says why, as a page: one plain sentence, no patient, no stack."""

import logging
from http import HTTPStatus

from flask import Blueprint, Response, render_template

from cds_service.errors import RequestError, ServiceError
from cds_service.web import problems

_log = logging.getLogger("cds_service")


class PageNotFound(RequestError):
    """There is no page at that address."""

    status = HTTPStatus.NOT_FOUND
    issue_code = "not-found"


def as_pages(routes: Blueprint) -> None:
    """Answer the refusals of these routes with a page."""
    routes.register_error_handler(ServiceError, _page)


def _page(error: ServiceError) -> Response:
    _log.info(
        "page refused status=%d code=%s where=%s", error.status, error.issue_code, error.where
    )
    problems.note(error)
    return Response(
        render_template("refusal.html", message=error.diagnostics, status=error.status),
        status=int(error.status),
        headers=dict(error.headers),
        content_type="text/html; charset=utf-8",
    )
