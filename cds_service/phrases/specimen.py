"""Phrases about a suspect specimen, and what else was measured in the same sample."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

from cds_service import words
from cds_service.assessment import Assessment
from cds_service.assessment.judging import AlpValue
from cds_service.assessment.same_sample import SameSample
from cds_service.assessment.specimen import high_potassium, low_calcium
from cds_service.phrases.phrase import Phrase
from cds_service.phrases.series import suspect, value
from cds_service.policy import Policy
from cds_service.record import LabResult

_DAY = timedelta(days=1)
"""A sample taken at night is of two days, as zones have it."""
_SAME_SAMPLE = ("potassium", "calcium-total", "magnesium", "zinc")
_URGENT: Mapping[str, Callable[[LabResult, Policy], bool]] = {
    "potassium": high_potassium,
    "calcium-total": low_calcium,
}


def same_sample(a: Assessment) -> Iterator[tuple[str, LabResult]]:
    """Concept and result of what else was measured in the suspect specimen, where it can be read."""
    found = suspect(a)
    return _beside(found, a) if found is not None else iter(())


def urgent_beside(a: Assessment) -> Iterator[tuple[AlpValue, str, LabResult]]:
    """Each potassium or calcium that, if real, comes before ALP: of the latest sample, and of a suspect one.

    What was measured again later and was not so is left out.
    """
    shown = {id(v): v for v in (a.alp.latest, suspect(a)) if v is not None}
    minutes = a.policy.specimen.same_sample_minutes
    for found in shown.values():
        for concept, is_urgent in _URGENT.items():
            urgent = [r for r in _not_long_before(found, concept, a) if is_urgent(r, a.policy)]
            result = SameSample(urgent, minutes).find(found.result) if urgent else None
            if result is not None and not _settled(result, concept, a):
                yield found, concept, result


def _not_long_before(found: AlpValue, concept: str, a: Assessment) -> Iterator[LabResult]:
    """Results of the day of a value and later: older ones are of another sample, and not even read."""
    since = found.day.first - _DAY
    for result in a.record.results.newest_first(concept):
        if result.taken is None or result.taken.last < since:
            return
        yield result


def _settled(result: LabResult, concept: str, a: Assessment) -> bool:
    """Whether the newest such result is from a later day and within bounds."""
    readable = (r for r in a.record.results.newest_first(concept) if r.problem is None)
    newest = next(readable, None)
    if newest is None or newest.taken is None or result.taken is None:
        return False
    return newest.taken.first > result.taken.last and not _URGENT[concept](newest, a.policy)


def _beside(found: AlpValue, a: Assessment) -> Iterator[tuple[str, LabResult]]:
    """What else was measured in the sample of an ALP value."""
    minutes = a.policy.specimen.same_sample_minutes
    for concept in _SAME_SAMPLE:
        readable = (r for r in a.record.results.newest_first(concept) if r.problem is None)
        result = SameSample(readable, minutes).find(found.result)
        if result is not None and result.quantity is not None:
            yield concept, result


def _measured(a: Assessment, concept: str) -> str | None:
    result = dict(same_sample(a)).get(concept)
    return words.amount(result.quantity) if result and result.quantity else None


def _urgent(a: Assessment) -> str | None:
    """The potassium and calcium of the sample that are to be acted on, should they be real."""
    found = dict(same_sample(a))
    potassium, calcium = found.get("potassium"), found.get("calcium-total")
    parts = []
    if potassium and potassium.quantity and high_potassium(potassium, a.policy):
        parts.append(f"potassium {words.amount(potassium.quantity)}")
    if calcium and calcium.quantity and low_calcium(calcium, a.policy):
        parts.append(f"total calcium {words.amount(calcium.quantity)}")
    return words.listed(parts) or None


def _tube(a: Assessment) -> str | None:
    found = suspect(a)
    return found.suspicion.tube if found and found.suspicion else None


SPECIMEN: Mapping[str, Phrase] = {
    "artefact_value": Phrase(lambda a: value(suspect(a)), 18),
    "artefact_date": Phrase(lambda a: words.dated(v.day) if (v := suspect(a)) else None, 11),
    "potassium": Phrase(lambda a: _measured(a, "potassium"), 14),
    "calcium": Phrase(lambda a: _measured(a, "calcium-total"), 14),
    "urgent": Phrase(_urgent),
    "tube": Phrase(_tube, 8),
}
