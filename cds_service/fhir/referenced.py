"""Medications and Specimens that are only referred to: neither contained nor among the entries."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from cds_service.bases import Base
from cds_service.fhir import resources as r
from cds_service.fhir.bundles import Decoded
from cds_service.fhir.medications import drug_of
from cds_service.fhir.references import FHIR_ID, without_version

_MOST = 400
_AT_ONCE = 50
"""Ids in one search, so that its address stays short."""
_GAPS = {
    "Medication": "drugs that are only referred to",
    "Specimen": "details of the specimens",
}


class References(msgspec.Struct, frozen=True):
    """Ids to be fetched, by resource type."""

    ids: Mapping[str, Sequence[str]]

    def batches(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Types with as many ids as go into one search."""
        for kind, ids in self.ids.items():
            for start in range(0, len(ids), _AT_ONCE):
                yield kind, ids[start : start + _AT_ONCE]


class Referenced(msgspec.Struct, frozen=True):
    """What the references led to, and what could not be had."""

    entries: tuple[r.Entry, ...] = ()
    gaps: tuple[str, ...] = ()


NO_REFERENCES = References({})


def references(
    entries: Iterable[r.Entry], base: Base | None, *, known: Iterable[r.Entry] = ()
) -> References:
    """The references in these entries to resources of `base` that are not among `known` either."""
    everything = list(entries)
    here = {
        (type(e.resource).__name__, e.resource.id)
        for e in (*everything, *known)
        if isinstance(e.resource, r.Medication | r.Specimen)
    }
    wanted: dict[str, dict[str, None]] = {}
    for entry in everything:
        kind, reference = _reference(entry.resource)
        identity = _id(reference, kind, base)
        if identity is not None and (kind, identity) not in here:
            wanted.setdefault(kind, {})[identity] = None
    return References({kind: list(ids)[:_MOST] for kind, ids in wanted.items()})


def resolved(found: Mapping[str, Any]) -> Referenced:
    """The results of searches by id, named by type and number; anything but a Decoded is a gap."""
    entries: list[r.Entry] = []
    gaps: dict[str, None] = {}
    for name, result in found.items():
        kind = name.partition(" ")[0]
        if isinstance(result, Decoded):
            entries.extend(
                e for e in result.entries if isinstance(e.resource, r.Medication | r.Specimen)
            )
        else:
            gaps[_GAPS[kind]] = None
    return Referenced(tuple(entries), tuple(gaps))


def _reference(resource: r.AnyResource | None) -> tuple[str, str]:
    """Type and text of the one reference of a resource that matters; empty when it has none."""
    if isinstance(resource, r.MedicationUse):
        _, reference = drug_of(resource)
        return "Medication", (reference.reference if reference else None) or ""
    if isinstance(resource, r.Observation) and resource.specimen is not None:
        return "Specimen", resource.specimen.reference or ""
    return "", ""


def _id(reference: str, kind: str, base: Base | None) -> str | None:
    """The id, when the reference means a resource of this type on the server at `base`."""
    target = without_version(reference)
    if "://" in target:
        if base is None or not base.holds(target):
            return None
        target = "/".join(target.rsplit("/", 2)[-2:])
    name, _, identity = target.partition("/")
    return identity if name == kind and FHIR_ID.fullmatch(identity) else None
