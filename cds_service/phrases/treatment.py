"""Phrases about antiresorptives and supplements."""

from collections.abc import Mapping, Sequence
from datetime import date

from cds_service import words
from cds_service.assessment import Assessment
from cds_service.assessment.calendar import months_between
from cds_service.assessment.specimen import low_calcium
from cds_service.assessment.workup import below, latest
from cds_service.phrases.phrase import Phrase
from cds_service.record import DrugUse
from cds_service.situations.denosumab import last_known, overdue

_MOST_PERIODS = 3


def relevant(a: Assessment) -> DrugUse | None:
    """The antiresorptive that matters: the one over the latest low value, else today's, else the last."""
    low = a.alp.latest_low
    window = (a.exposure.window(low.day) if low else None) or a.exposed_now
    if window is not None:
        return window.use
    return a.exposure.uses[-1] if a.exposure.uses else None


def span(use: DrugUse) -> str:
    """`since 3 Jan 2023`, `3 Jan 2014 to 5 Feb 2018`, `on 4 May 2026`."""
    if use.is_dose:
        return words.at(use.start)
    start = words.dated(use.start) if use.start else "a date not recorded"
    if use.ongoing:
        return f"since {start}"
    end = words.dated(use.end) if use.end else "a date not recorded"
    return f"{start} to {end}"


def _drug(a: Assessment) -> str | None:
    use = relevant(a)
    return a.drugs[use.drug].label if use else None


def _drug_since(a: Assessment) -> str | None:
    use = relevant(a)
    if use is None:
        return None
    doses = [u for u in a.exposure.uses if u.drug == use.drug and u.is_dose and u.start]
    if use.is_dose and len(doses) > 1:
        first, last = doses[0], doses[-1]
        return f"{len(doses)} doses from {words.dated(first.start)} to {words.dated(last.start)}"
    return span(use)


def _first_dose(a: Assessment) -> str | None:
    """As exactly as it is on record, and not at all when any start is not."""
    first = a.exposure.first_dose
    starts = [u.start for u in a.exposure.uses if u.start and u.start.first == first]
    return words.dated(min(starts)) if starts else None


def exposure_lines(a: Assessment) -> list[str]:
    """Each antiresorptive on record with its dates, oldest first."""
    return _lines(a, a.exposure.uses)


def _past_exposure(a: Assessment) -> str | None:
    """What was taken, and ended, before the latest low value."""
    low = a.alp.latest_low
    if low is None:
        return None
    past = [u for u in a.exposure.uses if not u.ongoing]
    past = [u for u in past if u.start is None or u.start.first < low.day.last]
    return "; ".join(_lines(a, past)) or None


def _not_known_to_follow(a: Assessment) -> str | None:
    """Other antiresorptives that are open since before the last denosumab dose, or that have no date."""
    last = last_known(a)
    uses = [
        u
        for u in a.exposure.uses
        if a.drugs[u.drug].action != "denosumab"
        and (u.ongoing if u.start else not (u.ongoing or u.end))
        and not (u.start and last and u.start.last > last)
    ]
    return "; ".join(_lines(a, uses)) or None


def _lines(a: Assessment, uses: Sequence[DrugUse]) -> list[str]:
    lines: list[str] = []
    for drug in dict.fromkeys(u.drug for u in uses):
        group = [u for u in uses if u.drug == drug]
        doses = [u for u in group if u.is_dose and u.start]
        parts: list[str] = []
        if len(doses) > 1:
            parts.append(
                f"{len(doses)} doses, {words.dated(doses[0].start)} to {words.dated(doses[-1].start)}"
            )
        elif doses:
            parts.append(f"dose {span(doses[0])}")
        parts += dict.fromkeys(span(u) for u in group if not (u.is_dose and u.start))
        note = " (recognised by name only)" if all(u.text_only for u in group) else ""
        earlier = f"{len(parts) - _MOST_PERIODS} earlier; " if len(parts) > _MOST_PERIODS else ""
        lines.append(f"{a.drugs[drug].label}: {earlier}{'; '.join(parts[-_MOST_PERIODS:])}{note}")
    return lines


def _denosumab(a: Assessment) -> str:
    """How a sentence on denosumab begins: the last dose, and whether the next one is late."""
    last = a.exposure.denosumab_last
    if last is None:
        return f"Denosumab is on record without the date of a dose{_low_calcium(a)}"
    late = ", now overdue" if overdue(a) else ""
    return f"Last denosumab {words.on(last)} ({_ago(last, a.as_of)} ago){late}{_low_calcium(a)}"


def _low_calcium(a: Assessment) -> str:
    """The calcium on file when it is low: the clinician weighs it, this tool has no rule for it."""
    found = latest(a.record.results, "calcium-total", a.as_of)
    if found is None or found.quantity is None:
        return ""
    if not (below(found) or low_calcium(found, a.policy)):
        return ""
    return f"; calcium on file is low ({words.amount(found.quantity)}, {words.dated(found.taken)})"


def _ago(then: date, today: date) -> str:
    """In days where no month has passed."""
    months = months_between(then, today)
    return words.counted(months, "month") if months else words.counted((today - then).days, "day")


def _denosumab_months(a: Assessment) -> str | None:
    last = a.exposure.denosumab_last
    return _ago(last, a.as_of) if last else None


def _supplement(a: Assessment) -> DrugUse | None:
    return a.workup.plp.supplement if a.workup.plp else None


def _ordered(a: Assessment) -> str | None:
    return words.listed(a.drugs[d].label for d in sorted(a.call.draft.ordered)) or None


TREATMENT: Mapping[str, Phrase] = {
    "drug": Phrase(_drug, 34),
    "ordered_drug": Phrase(_ordered, 34),
    "drug_since": Phrase(_drug_since),
    "first_dose": Phrase(_first_dose, 11),
    "exposure": Phrase(lambda a: "; ".join(exposure_lines(a)) or None),
    "past_exposure": Phrase(_past_exposure),
    "not_known_to_follow": Phrase(_not_known_to_follow),
    "denosumab": Phrase(_denosumab),
    "denosumab_last_dose": Phrase(
        lambda a: words.on(a.exposure.denosumab_last) if a.exposure.denosumab_last else None, 11
    ),
    "denosumab_months_ago": Phrase(_denosumab_months, 10),
    "b6": Phrase(lambda a: a.drugs[u.drug].label if (u := _supplement(a)) else None, 14),
    "b6_since": Phrase(lambda a: span(u) if (u := _supplement(a)) else None),
}
