"""Potassium and calcium of the sample that would come before ALP, should they be real."""

from collections.abc import Iterator

from cds_service import words
from cds_service.assessment import Assessment
from cds_service.phrases.specimen import urgent_beside

_BOUND = {"potassium": "high", "calcium-total": "low"}
_NAMES = {"potassium": "potassium", "calcium-total": "total calcium"}


def beside(a: Assessment) -> Iterator[str]:
    """A bullet for the latest sample, and one for a suspect sample that was left out."""
    said: dict[str, list[str]] = {}
    for found, concept, result in urgent_beside(a):
        limit = getattr(result, _BOUND[concept])
        if result.quantity is None:
            continue
        bound = f" (limit {words.amount(limit)})" if limit else ""
        where = f"Sample of {words.dated(found.day)}"
        if found.exclusion is not None:
            where += f", whose ALP is not counted ({found.exclusion})"
        said.setdefault(where, []).append(
            f"{_NAMES[concept]} {words.amount(result.quantity)}{bound}"
        )
    for where, values in said.items():
        yield f"- {where}: {words.listed(values)}: if real, this comes before ALP."
