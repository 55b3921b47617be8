"""Phrases about diagnoses and circumstances."""

from collections.abc import Mapping, Sequence

from cds_service import words
from cds_service.assessment import Assessment
from cds_service.assessment.calendar import months_between
from cds_service.assessment.context import Cause
from cds_service.phrases.phrase import Phrase
from cds_service.phrases.treatment import span
from cds_service.record import Diagnosis, age_at

_UNVERIFIED = frozenset({"coeliac-disease", "cushing-syndrome", "wilson-disease"})


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _entries(found: Sequence[Diagnosis]) -> list[str]:
    return [f"{_lower(d.name)} ({words.dated(d.onset)})" for d in found]


def _hpp_basis(a: Assessment) -> str | None:
    parts = [
        f"{_lower(d.name)} (recorded {words.dated(d.onset)})"
        for d in a.context.hypophosphatasia[:1]
    ]
    gene = a.workup.alpl
    if gene is not None and a.workup.carrier:
        zygosity = f", {gene.zygosity}" if gene.zygosity else ""
        reported = words.dated(gene.reported)
        parts.append(f"{gene.classification} ALPL variant{zygosity} (reported {reported})")
    if a.context.asfotase:
        parts.append("asfotase alfa on record")
    return words.listed(parts) or None


def _hpp_short(a: Assessment) -> str | None:
    """The strongest entry that makes hypophosphatasia known: diagnosis, variant, then its treatment."""
    if a.context.hypophosphatasia:
        return "Hypophosphatasia"
    gene = a.workup.alpl
    if gene is not None and a.workup.carrier:
        return f"{gene.classification.capitalize()} ALPL variant"
    return "Asfotase alfa (hypophosphatasia)" if a.context.asfotase else None


def _fracture(a: Assessment) -> str | None:
    features = a.context.features
    found = _entries([*features.femur, *features.metatarsal][:4])
    if features.metatarsal_count > len(features.metatarsal):
        found.append("recorded as recurrent")
    return words.listed(found) or None


def _fracture_short(a: Assessment) -> str | None:
    features = a.context.features
    if features.femur:
        return "Atypical femoral fracture"
    return "Metatarsal stress fractures" if features.metatarsal else None


def _dental(a: Assessment) -> str | None:
    features = a.context.features
    return words.listed(_entries([*features.teeth, *features.rickets])) or None


def _features(a: Assessment) -> str | None:
    """Fractures and dental signs on record, with their dates."""
    return words.listed(p for p in (_fracture(a), _dental(a)) if p) or None


def cause_detail(cause: Cause) -> str:
    """A reversible cause with the date or value that says so."""
    if cause.result is not None:
        return f"{cause.name}: {words.result(cause.result)}"
    if cause.diagnosis is not None:
        return f"{cause.name} ({words.dated(cause.diagnosis.onset)})"
    return f"{cause.name} ({span(cause.drug)})" if cause.drug else cause.name


def _unverified(a: Assessment) -> str | None:
    """Recorded causes whose link with low ALP rests on listings only."""
    names = [c.name for c in a.context.causes if c.diagnosis and c.diagnosis.concept in _UNVERIFIED]
    return words.listed(names) or None


def _age(a: Assessment) -> str | None:
    """On the day of the latest ALP that counts, whose limit it decides."""
    latest = a.alp.latest
    then = age_at(a.record.patient.born, latest.day.last) if latest else None
    born = a.record.patient.born
    if then is None or latest is None or born is None:
        return None
    if then.years:
        return f"{then.years} y"
    return words.counted(months_between(born.first, latest.day.last), "month")


def _trimester(a: Assessment) -> str | None:
    latest = a.alp.latest
    limit = latest.limit if latest else None
    if limit is None or not limit.origin.startswith("trimester"):
        return None
    return f"{limit.trimester}-trimester" if limit.trimester else "first-trimester"


def _trimester_limit(a: Assessment) -> str | None:
    latest = a.alp.latest
    if latest is None or latest.limit is None or _trimester(a) is None:
        return None
    return f"{words.tenth(latest.limit.value)} U/L"


PATIENT: Mapping[str, Phrase] = {
    "hpp_basis": Phrase(_hpp_basis),
    "hpp_short": Phrase(_hpp_short, 32),
    "fracture": Phrase(_fracture),
    "fracture_short": Phrase(_fracture_short, 30),
    "dental": Phrase(_dental),
    "features": Phrase(_features),
    "causes": Phrase(lambda a: ", ".join(c.name for c in a.context.causes) or None),
    "cause_short": Phrase(lambda a: a.context.causes[0].name if a.context.causes else None, 28),
    "causes_detail": Phrase(lambda a: "; ".join(map(cause_detail, a.context.causes)) or None),
    "unverified_causes": Phrase(_unverified),
    "kidney": Phrase(lambda a: words.listed(a.context.kidney) or None, 54),
    "age": Phrase(_age, 9),
    "trimester": Phrase(_trimester, 16),
    "trimester_limit": Phrase(_trimester_limit, 7),
}
