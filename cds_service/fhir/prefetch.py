"""What came of everything asked of the EHR: prefetched, fetched in its place, or missing.

A key has four states when a call comes in: satisfied; null (looked, none there); an
OperationOutcome (could not look); omitted. Only what was omitted may be fetched, and a key that no
row needs for this patient becomes needless. Required are the patient, total ALP, and at least one
source of medications. Everything else degrades, and the card says what was not known.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from cds_service.errors import DataUnavailable
from cds_service.fhir import resources as r
from cds_service.fhir.bundles import Decoded, NotFhir, decode
from cds_service.fhir.identity import Subject
from cds_service.fhir.templates import ALP, MEDICATIONS, NAMES, PATIENT, TYPES
from cds_service.record import Unread

State = Literal["satisfied", "none", "failed", "omitted", "needless"]


class Prefetched(msgspec.Struct, frozen=True, gc=False):
    """The data of one call, and what was missing from it."""

    patient: r.Patient
    entries: tuple[r.Entry, ...]
    unread: tuple[Unread, ...]
    unknown: tuple[str, ...]
    alp: tuple[r.Entry, ...] = ()
    """What the EHR sent under the ALP key; our own search is known to have asked for ALP."""

    @property
    def alp_entries(self) -> int:
        """Results that the EHR sent under the ALP key."""
        return len(self.alp)


class Value(msgspec.Struct, frozen=True, gc=False):
    """What is known under one key."""

    state: State
    decoded: Decoded = Decoded()
    cause: str = ""
    """Why there is nothing, as a clause that follows `Prefetch key '…'`."""
    fetched: bool = False
    cut: str = ""
    """Why there is more than what came; empty when there is not, or when nobody tried."""


Values = Mapping[str, Value]
_NONE = Value("none")
_EMPTY = Value("satisfied")


def prefetched(prefetch: Mapping[str, r.FhirValue]) -> dict[str, Value]:
    """The state of every key in the prefetch of a call."""
    return {key: _value(key, prefetch) for key in NAMES}


def judged(decoded: Decoded, key: str) -> Value:
    """The state of a key under which something came."""
    if decoded.outcome and not decoded.entries:
        return Value("failed", decoded, "is an OperationOutcome: the EHR could not look")
    if not decoded.entries and (decoded.next_page or decoded.total):
        return Value("failed", decoded, "says that there are results, but holds none")
    asked_for = TYPES[key]
    for entry in decoded.entries:
        if type(entry.resource) is asked_for:
            return Value("satisfied", decoded)
    if decoded.entries or decoded.unread or decoded.useless:
        return Value("failed", decoded, "holds entries, but none that could be read as asked for")
    return Value("satisfied", decoded)


def collect(
    values: Values,
    patient_id: str,
    fhir_server: str | None = None,
    *,
    also: Iterable[r.Entry] = (),
    gaps: Iterable[str] = (),
) -> Prefetched:
    """Sort what came of every key into data and gaps. `also` and `gaps` come from elsewhere.

    Raises DataUnavailable (412) naming the key when required data did not come.
    """
    missing = list(_missing(values, patient_id, fhir_server))
    if missing:
        keys, causes = zip(*missing, strict=True)
        where = f"prefetch.{keys[0]}" if keys[0] else "prefetch"
        raise DataUnavailable(" ".join(causes), where=where)
    entries: list[r.Entry] = []
    unread: list[Unread] = []
    unknown: list[str] = []
    for key, value in values.items():
        entries.extend(value.decoded.entries)
        unread.extend(value.decoded.unread)
        gap = _gap(key, value)
        if gap:
            unknown.append(gap)
    alp = values[ALP]
    return Prefetched(
        patient=_patient(values[PATIENT], patient_id),
        entries=(*entries, *also),
        unread=tuple(unread),
        unknown=(*unknown, *gaps),
        alp=() if alp.fetched else tuple(alp.decoded.entries),
    )


def _patient(value: Value, patient_id: str) -> r.Patient:
    for entry in value.decoded.entries:
        if isinstance(entry.resource, r.Patient):
            return entry.resource
    return r.Patient(id=patient_id)  # needless: no row looks at anything of this call


def _value(key: str, prefetch: Mapping[str, r.FhirValue]) -> Value:
    if key not in prefetch:
        return Value("omitted", cause="was not sent")
    value = prefetch[key]
    if value is None or (isinstance(value, msgspec.Raw) and bytes(value) == b"null"):
        return _NONE
    if isinstance(value, r.Bundle) and not (value.entry or value.link or value.total):
        return _EMPTY
    try:
        return judged(decode(value, key), key)
    except NotFhir as error:
        return Value("failed", cause=f"is not FHIR JSON ({error})")


def _missing(values: Values, patient_id: str, fhir_server: str | None) -> Iterator[tuple[str, str]]:
    """Each required key that did not come, with what is wrong and what would be right."""
    cause = _no_patient(values[PATIENT], patient_id)
    if cause:
        yield PATIENT, cause
    alp = values[ALP]
    addressed = [e for e in values[PATIENT].decoded.entries if e.fullUrl]
    subject = Subject(patient_id, addressed, fhir_server)
    if alp.state in ("omitted", "failed"):
        yield (
            ALP,
            f"Prefetch key '{ALP}' {alp.cause}. It is required: send the result of its template"
            " (null or an empty Bundle where there is none).",
        )
    elif not _own(ALP, alp, subject):
        yield ALP, f"Prefetch key '{ALP}' holds only entries that are not about context.patientId."
    if not any(_medications_known(values[key], key, subject) for key in MEDICATIONS):
        tried = dict.fromkeys(v.cause for k in MEDICATIONS if (v := values[k]).fetched and v.cause)
        yield (
            "",
            f"None of the prefetch keys {', '.join(MEDICATIONS)} was sent as data of this patient."
            " At least one is required: treatment cannot be told from disease without it."
            + "".join(f" Each of them {cause}." for cause in list(tried)[:1]),
        )


def _no_patient(value: Value, patient_id: str) -> str | None:
    if value.state == "needless":
        return None
    found = [e.resource for e in value.decoded.entries if isinstance(e.resource, r.Patient)]
    if value.state != "satisfied" or len(found) != 1:
        cause = value.cause or "holds no readable Patient"
        return f"Prefetch key '{PATIENT}' {cause}. It is required: send the one Patient."
    if found[0].id != patient_id:
        return f"Prefetch key '{PATIENT}' does not hold the Patient of context.patientId."
    return None


def _medications_known(value: Value, key: str, subject: Subject) -> bool:
    return value.state in ("satisfied", "none", "needless") and _own(key, value, subject)


def _own(key: str, value: Value, subject: Subject) -> bool:
    """Whether a key holds anything of this patient, or says that there is nothing.

    Results of somebody else, or of nobody, are a fault of the call: not a patient without results.
    """
    empty = True
    for entry in value.decoded.entries:
        if type(entry.resource) is TYPES[key]:
            about: r.AboutPatient = entry.resource  # type: ignore[assignment]
            if subject.problem(about) is None:
                return True
            empty = False
    return empty


def _gap(key: str, value: Value) -> str | None:
    name = NAMES[key]
    if value.state in ("omitted", "failed"):
        return name
    if value.cut:
        return f"{name} beyond what could be fetched"
    if value.decoded.next_page:
        return f"{name} beyond the first page"
    if value.decoded.outcome:
        return f"{name} that the record system could not retrieve"
    return None
