"""Which resources are about this patient, and which copy of a resource counts."""

import re
from collections.abc import Iterable, Sequence

import msgspec

from cds_service.fhir.references import FHIR_ID, without_version
from cds_service.fhir.resources import (
    AboutPatient,
    AnyResource,
    Entry,
    Meta,
    Observation,
    Patient,
    Quantity,
    ReferenceRange,
)
from cds_service.record import Unread

FOREIGN = "it belongs to another patient"
_SERVER = re.compile(r"https?://[^?#]+")
NOBODY = "it names no patient"
FOCUS = "it is about somebody or something else than the patient"


_Rank = tuple[bool, str, bytes]
"""Of a copy: whether it can be read, when it was updated last, and its content."""


class Subject:
    """The patient of the call, under every name that a reference may use."""

    def __init__(
        self, patient_id: str, entries: Iterable[Entry], fhir_server: str | None = None
    ) -> None:
        """`fhir_server` is the base of absolute references, where it is known."""
        self.patient_id = patient_id
        self._relative = f"Patient/{patient_id}"
        addresses = {
            e.fullUrl
            for e in entries
            if type(e.resource) is Patient and e.resource.id == patient_id and e.fullUrl
        }
        if fhir_server:
            addresses.add(f"{fhir_server.rstrip('/')}/{self._relative}")
        self._names = {self._relative, *addresses}
        self._addressed = bool(addresses)

    def problem(self, resource: AboutPatient) -> str | None:
        """None when a resource is about this patient, else why it may not be used."""
        about = resource.subject
        target = about.reference if about is not None else None
        if type(resource) is Observation and resource.focus:
            return FOCUS
        if target in self._names:
            return None
        if not target:
            return NOBODY
        target = without_version(target)
        if target in self._names or self._on_an_unknown_server(target):
            return None
        return FOREIGN

    def _on_an_unknown_server(self, target: str) -> bool:
        """Whether this is the patient's absolute address, where no call or entry says whose server."""
        here = f"/{self._relative}"
        if self._addressed or not target.endswith(here):
            return False
        return _SERVER.fullmatch(target.removesuffix(here)) is not None


def newest_copies(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Each resource once. Of several copies with one id, the one updated last counts.

    Copies can differ when one key was fetched later than another; equal dates are settled by
    content, so that the order of entries never matters.
    """
    if len({e.resource.id for e in entries if e.resource}) == len(entries):
        return entries
    kept: dict[tuple[type, str, str | None], tuple[_Rank | None, Entry]] = {}
    without_id: list[Entry] = []
    for entry in entries:
        resource = entry.resource
        if resource is None or resource.id is None:
            without_id.append(entry)
            continue
        key = (type(resource), resource.id, entry.fullUrl)
        if key not in kept:
            kept[key] = (None, entry)
            continue
        known, other = kept[key]
        rank, other_rank = _rank(entry), known or _rank(other)
        kept[key] = (rank, entry) if rank > other_rank else (other_rank, other)
    return [*(entry for _, entry in kept.values()), *without_id]


def _rank(entry: Entry) -> _Rank:
    resource = entry.resource
    assert resource is not None  # noqa: S101  (the caller has seen its id)
    try:
        updated = msgspec.json.decode(resource.meta, type=Meta | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        updated = None
    when = updated.lastUpdated or "" if updated else ""
    return (_readable(resource), when, msgspec.json.encode(resource))


def _readable(resource: AnyResource) -> bool:
    """Whether value and range of a result can be read: a broken copy must not displace a whole one."""
    if not isinstance(resource, Observation):
        return True
    try:
        msgspec.json.decode(resource.valueQuantity, type=Quantity | None)
        msgspec.json.decode(resource.referenceRange, type=tuple[ReferenceRange, ...] | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def unread(resource: AnyResource, reason: str) -> Unread:
    """Names a resource that may not be used."""
    kind = type(resource).__name__
    if reason != NOBODY or not resource.id or not FHIR_ID.fullmatch(resource.id):
        return Unread(kind, reason)  # ids of somebody else's records stay where they are
    return Unread(f"{kind}/{resource.id}", reason)
