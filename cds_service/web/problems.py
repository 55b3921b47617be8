"""Every refusal as JSON: status, OperationOutcome, and nothing that leaks."""

import logging
import traceback
from uuid import uuid4

import msgspec
from flask import Flask, Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from cds_service import errors
from cds_service.web import audit, measuring

_log = logging.getLogger("cds_service")


def install(app: Flask) -> None:
    """Answer every error of this app with an OperationOutcome."""
    app.register_error_handler(errors.ServiceError, refuse)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def refuse(error: errors.ServiceError) -> Response:
    """The HTTP answer for one of our own errors."""
    note(error)
    return Response(
        msgspec.json.encode(errors.operation_outcome(error)),
        status=int(error.status),
        headers=dict(error.headers),
        content_type="application/json",
    )


def note(error: errors.ServiceError) -> None:
    """Take down, for metrics and audit trail, why this request is refused."""
    measuring.refused(error)
    reason = error.reason if isinstance(error, errors.Unauthorized) else error.issue_code
    audit.trail().note(reason=reason, **({"where": error.where} if error.where else {}))


def _http(error: HTTPException) -> Response:
    if isinstance(error, RequestEntityTooLarge):
        return refuse(errors.BodyTooLarge("The body is larger than this service accepts."))
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return refuse(
            errors.MethodNotAllowed(f"This address answers {allowed} only.", allowed=allowed)
        )
    if error.code == 404:
        return refuse(
            errors.UnknownService("There is nothing here; services are listed at /cds-services.")
        )
    if error.code is not None and error.code < 500:
        return refuse(errors.RequestError("The request cannot be read."))
    return _unexpected(error)


def _unexpected(error: Exception) -> Response:
    """A fault of ours. The log gets type and place, not the message: it may quote patient data."""
    reference = uuid4().hex[:12]
    frames = "".join(traceback.format_tb(error.__traceback__))
    _log.error("fault=%s type=%s\n%s", reference, type(error).__name__, frames)
    return refuse(
        errors.InternalFailure(
            f"The service failed; no advice was given. Quote {reference} to its operators."
        )
    )
