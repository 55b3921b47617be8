"""One FHIR value decoded: whole when it is well formed, entry by entry when something in it is not.

A single bad entry must not cost the good ones, and must not vanish either: it is named.
"""

from collections.abc import Iterator

import msgspec

from cds_service.fhir.references import FHIR_ID
from cds_service.fhir.resources import (
    READ_TYPES,
    AnyResource,
    Bundle,
    Entry,
    FhirValue,
    Link,
    Medication,
    Named,
    OperationOutcome,
    RawBundle,
    RawEntry,
    Specimen,
)
from cds_service.record import Unread

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_whole = msgspec.json.Decoder(AnyResource | Bundle)
_resource = msgspec.json.Decoder(AnyResource)
_raw_bundle = msgspec.json.Decoder(RawBundle)
_raw_entry = msgspec.json.Decoder(RawEntry)
_named = msgspec.json.Decoder(Named)
_contained = msgspec.json.Decoder(Medication | Specimen)

_NO_RESULT = frozenset({OperationOutcome, type(None)})


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """What one prefetch value or Bundle held."""

    entries: tuple[Entry, ...] = ()
    """Entries that hold a resource; OperationOutcomes are left out."""
    unread: tuple[Unread, ...] = ()
    next_page: str | None = None
    """URL of the next page: there is more than what came."""
    outcome: bool = False
    """The server said, beside or instead of results, that something went wrong."""
    useless: int = 0
    """Entries without a resource, or with one of a type that no rule reads."""
    hollow: int = 0
    """Those of them without a resource."""
    total: int = 0
    """Number of results that the server says there are."""


class NotFhir(ValueError):
    """The value is not a FHIR resource at all."""


def decode(value: FhirValue, key: str) -> Decoded:
    """Read a resource or a Bundle. `key` says where it stood, for naming what could not be read.

    Raises NotFhir when not even the outer object is FHIR JSON.
    """
    if not isinstance(value, msgspec.Raw):
        return _well_formed(value)
    try:
        return _well_formed(_whole.decode(value))
    except UNREADABLE:
        return _entry_by_entry(value, key)


def _well_formed(value: AnyResource | Bundle | None) -> Decoded:
    if isinstance(value, Bundle):
        return _bundle(value.entry or (), value.link or (), (), total=value.total)
    if isinstance(value, OperationOutcome):
        return Decoded(outcome=True)  # instead of results it means failure, however mildly put
    return _bundle((Entry(resource=value),), (), ())


def contained(raws: tuple[msgspec.Raw, ...] | None) -> Iterator[Medication | Specimen]:
    """The contained Medications and Specimens; anything else is of no use here."""
    for raw in raws or ():
        try:
            yield _contained.decode(raw)
        except UNREADABLE:
            continue  # an unreadable container is met by the reader as an unresolved reference


def _bundle(
    entries: tuple[Entry, ...],
    links: tuple[Link, ...],
    unread: tuple[Unread, ...],
    useless: int = 0,
    total: int | None = None,
) -> Decoded:
    next_page = _next_page(links) if links else None
    useful = [e for e in entries if type(e.resource) not in _NO_RESULT]
    if len(useful) == len(entries):
        return Decoded(entries, unread, next_page, useless=useless, total=total or 0)
    outcomes = [e.resource for e in entries if isinstance(e.resource, OperationOutcome)]
    hollow = sum(e.resource is None for e in entries)
    return Decoded(
        entries=tuple(useful),
        unread=unread,
        next_page=next_page,
        outcome=any(_is_failure(o, alone=not useful) for o in outcomes),
        useless=useless + hollow,
        hollow=hollow,
        total=total or 0,
    )


def _next_page(links: tuple[Link, ...]) -> str | None:
    return next((link.url for link in links if link.relation == "next"), None)


def _is_failure(outcome: OperationOutcome, *, alone: bool) -> bool:
    """Whether something went wrong. Instead of results a warning is failure too, such as `suppressed`."""
    severities = {i.severity for i in outcome.issue or ()}
    failing = {"fatal", "error", None} | ({"warning"} if alone else set())
    return not severities or bool(severities & failing)


def _entry_by_entry(raw: bytes | msgspec.Raw, key: str) -> Decoded:
    try:
        kind = _named.decode(raw).resourceType
    except UNREADABLE as error:
        raise NotFhir("the value is not a JSON object") from error
    if kind is None:
        raise NotFhir("the object has no resourceType")
    if kind != "Bundle":
        return _one(raw, key)
    try:
        bundle = _raw_bundle.decode(raw)
    except UNREADABLE as error:
        raise NotFhir("the Bundle's entries are not a list") from error
    entries: list[Entry] = []
    unread: list[Unread] = []
    useless = 0
    for index, raw_entry in enumerate(bundle.entry or ()):
        try:
            outer = _raw_entry.decode(raw_entry)
        except UNREADABLE:
            unread.append(Unread(f"{key}[{index}]", "the entry is not an object"))
            continue
        read, problem = _resource_of(outer.resource, f"{key}[{index}]")
        if problem is not None:
            unread.append(problem)
        elif read is not None:
            entries.append(Entry(outer.fullUrl, read))
        else:
            useless += 1
    return _bundle(tuple(entries), bundle.link or (), tuple(unread), useless, bundle.total)


def _one(raw: bytes | msgspec.Raw, key: str) -> Decoded:
    read, problem = _resource_of(raw, key)
    if problem is not None:
        return Decoded(unread=(problem,))
    return _well_formed(read) if read is not None else Decoded(useless=1)


def _resource_of(raw: bytes | msgspec.Raw, where: str) -> tuple[AnyResource | None, Unread | None]:
    """The resource, or why it could not be read. Both None: a type that no rule reads."""
    try:
        return _resource.decode(raw), None
    except UNREADABLE as error:
        reason = _reason(error)
    if bytes(raw) == b"null":
        return None, None
    try:
        named = _named.decode(raw)
    except UNREADABLE:
        return None, Unread(where, reason)
    if named.resourceType not in READ_TYPES:
        if named.resourceType is None:
            return None, Unread(where, "it has no resourceType")
        return None, None
    shown = named.id and FHIR_ID.fullmatch(named.id)
    identity = f"{named.resourceType}/{named.id}" if shown else named.resourceType
    return None, Unread(f"{where} {identity}", reason)


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, msgspec.ValidationError):
        return str(error)  # names types and the path, never a value
    return "not valid JSON"
