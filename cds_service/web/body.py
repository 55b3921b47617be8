"""What every POST of a CDS client has in common: a service that is offered, and a JSON body.

The body is read whole, and only if it is no longer and no fuller than is accepted.
"""

from flask import request

from cds_service.errors import BodyTooLarge, RequestError, UnknownService, UnsupportedMedia
from cds_service.offered_services import SERVICES, Service

_VALUES_AN_ENTRY = 50
_SMALL_BYTES = 256 * 1024


def offered(service_id: str) -> Service:
    """The service of that id. Raises UnknownService."""
    service = SERVICES.get(service_id)
    if service is None:
        raise UnknownService(
            f"No such service; offered are {', '.join(SERVICES)} (see /cds-services)."
        )
    return service


def json_body(max_bytes: int, max_entries: int) -> bytes:
    """The bytes of a JSON body. Raises RequestError saying what would be accepted."""
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
    _check_fullness(body, max_entries)
    return body


def _check_fullness(body: bytes, max_entries: int) -> None:
    """Counted in the bytes, before anything is built of them: `{},{},…` needs many times its length.

    What is counted may also stand within texts; the limits are far above what a record holds.
    """
    if len(body) <= _SMALL_BYTES:
        return
    if body.count(b'"resource"') > max_entries:
        raise BodyTooLarge(f"The call holds more than the {max_entries} resources accepted here.")
    most_values = max_entries * _VALUES_AN_ENTRY
    if body.count(b",") > most_values:
        raise BodyTooLarge(f"The call holds more than the {most_values} values accepted here.")
