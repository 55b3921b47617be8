"""What every POST of a CDS client has in common: a service that is offered, and a body of JSON."""

from flask import request

from cds_service.errors import BodyTooLarge, RequestError, UnknownService, UnsupportedMedia
from cds_service.offered_services import SERVICES, Service


def offered(service_id: str) -> Service:
    """The service of that id. Raises UnknownService."""
    service = SERVICES.get(service_id)
    if service is None:
        raise UnknownService(
            f"No such service; offered are {', '.join(SERVICES)} (see /cds-services)."
        )
    return service


def json_body(max_bytes: int) -> bytes:
    """The body of the call. Raises RequestError when it is too large, broken or not JSON by its type."""
    if request.mimetype != "application/json":
        raise UnsupportedMedia("Send the call as Content-Type application/json.")
    if request.content_encoding:
        raise RequestError("Send the body without Content-Encoding.")
    try:
        body = request.get_data(cache=False)
    except OSError as error:  # how the server reports a broken chunk or a client that left
        raise RequestError("The body cannot be read to its end.") from error
    if len(body) > max_bytes:
        raise BodyTooLarge(f"The body is larger than the {max_bytes} bytes accepted here.")
    return body
