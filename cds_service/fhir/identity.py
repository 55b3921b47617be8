"""Which resources are about this patient, and which copy of a resource counts."""

from collections.abc import Iterable, Sequence

import msgspec

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
NOBODY = "it names no patient"


class Subject:
    """The patient of the call, under every name that a reference may use."""

    def __init__(self, patient_id: str, entries: Iterable[Entry]) -> None:
        self._relative = f"Patient/{patient_id}"
        self._names = {self._relative}
        for entry in entries:
            resource = entry.resource
            if isinstance(resource, Patient) and resource.id == patient_id and entry.fullUrl:
                self._names.add(entry.fullUrl)

    def problem(self, resource: AboutPatient) -> str | None:
        """None when a resource is about this patient, else why it may not be used."""
        about = resource.subject
        target = about.reference if about is not None else None
        if target in self._names:
            return None
        if not target:
            return NOBODY
        target = target.split("/_history/", 1)[0]
        if target in self._names or target.endswith("/" + self._relative):
            return None
        return FOREIGN


def newest_copies(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Each resource once. Of several copies with one id, the one updated last counts.

    Copies can differ when one key was fetched later than another; equal dates are settled by
    content, so that the order of entries never matters.
    """
    names = {(type(e.resource), e.resource.id) for e in entries if e.resource}
    if len(names) == len(entries):
        return entries
    kept: dict[tuple[type, str], Entry] = {}
    without_id: list[Entry] = []
    for entry in entries:
        resource = entry.resource
        if resource is None or resource.id is None:
            without_id.append(entry)
            continue
        key = (type(resource), resource.id)
        other = kept.setdefault(key, entry)
        if other is not entry and _rank(entry) > _rank(other):
            kept[key] = entry
    return [*kept.values(), *without_id]


def _rank(entry: Entry) -> tuple[bool, str, str]:
    resource = entry.resource
    assert resource is not None  # noqa: S101  (the caller has seen its id)
    try:
        updated = msgspec.json.decode(resource.meta, type=Meta | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        updated = None
    when = updated.lastUpdated or "" if updated else ""
    return (_readable(resource), when, repr(resource))


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
    return Unread(f"{kind}/{resource.id}" if resource.id else kind, reason)
