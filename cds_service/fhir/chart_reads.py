"""The chart of one patient read from the record system's FHIR server, by the prefetch templates.

The answer is what prefetch would have brought: one value a key, an OperationOutcome where the server
refused or failed. First pages only; a next page is named as a gap by whoever reads the values.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlencode

import msgspec

from cds_service.errors import EhrUnavailable, LaunchRefused
from cds_service.fhir import outward

_PARALLEL = 6
_PATIENT = "{{context.patientId}}"
_COULD_NOT_LOOK = msgspec.Raw(
    b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"processing"}]}'
)
_UNAUTHORIZED = 401


def read_chart(
    base: str, token: str, patient_id: str, templates: Mapping[str, str]
) -> dict[str, msgspec.Raw]:
    """Every key of the templates. Raises LaunchRefused when the token is not accepted any more."""

    def read(template: str) -> msgspec.Raw:
        return _read(f"{base}/{address(template, patient_id)}", token)

    with ThreadPoolExecutor(_PARALLEL) as pool:
        return dict(zip(templates, pool.map(read, templates.values()), strict=True))


def address(template: str, patient_id: str) -> str:
    """A template filled for a patient, percent-encoded: proxies mangle a bare vertical bar."""
    filled = template.replace(_PATIENT, quote(patient_id, safe=""))
    path, _, query = filled.partition("?")
    if not query:
        return path
    parts = (parameter.partition("=") for parameter in query.split("&"))
    return f"{path}?{urlencode([(name, value) for name, _, value in parts])}"


def _read(url: str, token: str) -> msgspec.Raw:
    try:
        return msgspec.Raw(
            outward.get(url, accept="application/fhir+json", token=token, what="chart")
        )
    except outward.Answered as error:
        if error.status == _UNAUTHORIZED:
            raise LaunchRefused(
                "The record system does not accept this session any more: open the page from there again."
            ) from error
        return _COULD_NOT_LOOK
    except EhrUnavailable:
        return _COULD_NOT_LOOK  # named on the page as not known, or 412 where it is required
