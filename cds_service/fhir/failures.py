"""Why a FHIR server gave no answer, in words fit for a log, and when to ask it again."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests

from cds_service.fhir.budget import Limits
from cds_service.fhir.servers import AddressRefused

_WAIT_SECONDS = 0.25
"""Before asking a busy server again that did not say how long."""


def retry_after(text: str | None) -> float:
    """Seconds that a server asks to wait: given as a number, or as a date."""
    if text is None:
        return _WAIT_SECONDS
    if text.strip().isascii() and text.strip().isdigit():
        return float(text.strip()[:9])
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return _WAIT_SECONDS
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def words(error: BaseException, limits: Limits) -> str:
    """Why there was no answer. The texts of the libraries name addresses and are left aside."""
    root = root_cause(error)
    if timed_out(error):
        return f"the FHIR server gave no whole answer within {limits.call_seconds:g} s"
    if isinstance(root, AddressRefused):
        return "the name of the FHIR server leads to an address that may not be called"
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate of the FHIR server is not trusted"
    if isinstance(error, requests.ConnectionError):
        return "there is no connection to the FHIR server"
    return "the answer of the FHIR server broke off or was not HTTP"


def timed_out(error: BaseException) -> bool:
    """Whether there was no answer in time."""
    return isinstance(error, requests.Timeout) or isinstance(root_cause(error), TimeoutError)


def root_cause(error: BaseException) -> BaseException:
    """The first cause, dug out of what the libraries wrap around it."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = getattr(error, "reason", None) or error.__cause__
        if not isinstance(inner, BaseException):
            inner = next((a for a in reversed(error.args) if isinstance(a, BaseException)), None)
        if inner is None:
            return error
        error = inner
    return error
