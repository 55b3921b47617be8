"""Every way the service can refuse, with the HTTP status and the OperationOutcome it becomes.

There are three gates: the request (4xx), the data that should have come with it (412), and our own
knowledge (the program refuses to start). No refusal is ever turned into an empty list of cards.

    ServiceError
    ├── RequestError            400  the call cannot be understood
    │   ├── Unauthorized        401
    │   ├── NotForThisAddress   403
    │   ├── UnknownService      404
    │   ├── MethodNotAllowed    405
    │   ├── LaunchRefused       403  a SMART launch that is not allowed, or not the one that was begun
    │   ├── BodyTooLarge        413
    │   ├── UnsupportedMedia    415
    │   └── TooManyCalls        429
    ├── DataUnavailable         412  required data neither came nor can be had
    ├── EhrUnavailable          502  the record system did not answer, or not as it has to
    ├── Unavailable             503  cannot be answered now; the same call may go through later
    │   └── MemoryUnavailable        feedback cannot be kept just now
    └── InternalFailure         500  our own fault; says nothing of its cause
    KnowledgeError                   words, codes or policy are wrong: refuse to start
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any


class ServiceError(Exception):
    """A refusal that a caller sees. Its text never holds a patient's details or a token."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    issue_code = "exception"

    def __init__(self, diagnostics: str, *, where: str | None = None) -> None:
        """`diagnostics` says what was wrong and what would be right; `where` names the element."""
        super().__init__(diagnostics)
        self.diagnostics = diagnostics
        self.where = where

    @property
    def headers(self) -> Mapping[str, str]:
        """HTTP headers that the status calls for."""
        return {}


class RequestError(ServiceError):
    """The request is not a CDS Hooks call that this service can answer."""

    status = HTTPStatus.BAD_REQUEST
    issue_code = "invalid"


class Unauthorized(RequestError):
    """Nobody that this service trusts. The caller is not told why; `reason` is for the log."""

    status = HTTPStatus.UNAUTHORIZED
    issue_code = "login"

    def __init__(self, reason: str) -> None:
        super().__init__("A CDS Hooks client token that this service accepts is needed.")
        self.reason = reason

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 9110 asks for `WWW-Authenticate` with every 401; it says nothing of the reason."""
        return {"WWW-Authenticate": "Bearer"}


class NotForThisAddress(RequestError):
    """What is asked for is there, but not for callers from that network address."""

    status = HTTPStatus.FORBIDDEN
    issue_code = "forbidden"


class UnknownService(RequestError):
    """No service of that id is offered."""

    status = HTTPStatus.NOT_FOUND
    issue_code = "not-found"


class MethodNotAllowed(RequestError):
    """The address exists, the method does not."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    issue_code = "not-supported"

    def __init__(self, diagnostics: str, *, allowed: str) -> None:
        super().__init__(diagnostics)
        self.allowed = allowed

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 9110 asks for `Allow` with every 405."""
        return {"Allow": self.allowed}


class BodyTooLarge(RequestError):
    """The body is longer than `CDS_MAX_BODY_BYTES`."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    issue_code = "too-long"


class UnsupportedMedia(RequestError):
    """The body is not declared as JSON."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    issue_code = "not-supported"


class TooManyCalls(RequestError):
    """The client has used up its calls of this minute."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    issue_code = "throttled"

    def __init__(self, diagnostics: str, *, retry_seconds: int) -> None:
        super().__init__(diagnostics)
        self.retry_seconds = retry_seconds

    @property
    def headers(self) -> Mapping[str, str]:
        """When to come again."""
        return {"Retry-After": str(self.retry_seconds)}


class DataUnavailable(ServiceError):
    """Required data did not come with the call and cannot be had: 412, never an empty answer."""

    status = HTTPStatus.PRECONDITION_FAILED
    issue_code = "processing"


class LaunchRefused(RequestError):
    """A SMART launch from nobody we know, by nobody it is for, or not begun in this browser."""

    status = HTTPStatus.FORBIDDEN
    issue_code = "forbidden"


class EhrUnavailable(ServiceError):
    """The record system's authorization or FHIR server failed us; what it said is not passed on."""

    status = HTTPStatus.BAD_GATEWAY
    issue_code = "transient"


class Unavailable(ServiceError):
    """What is needed to answer is not there at the moment: a free place, the database, a key server."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    issue_code = "transient"

    def __init__(self, diagnostics: str, *, retry_seconds: int = 5) -> None:
        super().__init__(diagnostics)
        self.retry_seconds = retry_seconds

    @property
    def headers(self) -> Mapping[str, str]:
        """When to come again."""
        return {"Retry-After": str(self.retry_seconds)}


class MemoryUnavailable(Unavailable):
    """The database did not take the feedback: nothing of the call was promised; send it again."""

    def __init__(self, diagnostics: str) -> None:
        super().__init__(diagnostics, retry_seconds=30)


class InternalFailure(ServiceError):
    """A fault of ours. The cause is in the log, under the same request id, and nowhere else."""


class KnowledgeError(Exception):
    """Words, codes, orders or policy contradict each other; the text names file and key."""


def operation_outcome(error: ServiceError) -> dict[str, Any]:
    """The FHIR OperationOutcome for an error (CDS Hooks 3.0: for troubleshooting, not end users)."""
    issue: dict[str, Any] = {
        "severity": "error",
        "code": error.issue_code,
        "diagnostics": error.diagnostics,
    }
    if error.where:
        issue["expression"] = [error.where]
    return {"resourceType": "OperationOutcome", "issue": [issue]}
