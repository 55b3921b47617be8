"""A decision told as a colleague would: what is on record, then each row and why it holds or not."""

from collections.abc import Iterator

from cds_service import words
from cds_service.assessment import Assessment
from cds_service.assessment.judging import AlpValue
from cds_service.decision import Decision, Step
from cds_service.phrases.patient import cause_detail
from cds_service.phrases.series import limit, limit_source, value
from cds_service.phrases.treatment import exposure_lines
from cds_service.phrases.workup import alpl, substrate_limit
from cds_service.rulebook import Rulebook

_TIMING = {
    "pre-treatment": "ALP was low before the first antiresorptive dose, so treatment did not cause it.",
    "baseline normal": "ALP was normal before the first dose and low only within the effect window:"
    " treatment explains it.",
    "off treatment": "The latest low value lies outside every effect window: treatment does not explain"
    " it.",
    "baseline unknown": "The latest low value lies within an effect window and there is no baseline:"
    " drug effect and earlier low ALP cannot be told apart.",
}
_OUTCOME = {
    "card": "CARD",
    "shadow": "SHADOW",
    "silence": "SILENT",
    "snoozed": "SNOOZED",
    "outranked": "outranked",
    "not alone": "only beside a card",
    "off": "switched off",
    "does not hold": "no",
}


def facts(a: Assessment) -> Iterator[str]:
    """What the decision rests on, a line each."""
    patient = a.record.patient
    age = f"{a.age.years} years" if a.age else "age not recorded"
    yield f"Patient: {patient.sex or 'sex not recorded'}, {age}. As of {words.on(a.as_of)}, {a.call.hook}."
    yield from _order(a)
    if not a.alp.values:
        yield "ALP: none on file with a date."
    for found in a.alp.values:
        yield f"ALP {_alp_line(found, a)}"
    if a.alp.counted:
        persistent = "persistently low" if a.alp.persistent else "not persistently low"
        yield (
            f"Values that count: {len(a.alp.counted)}, low: {len(a.alp.lows)}"
            f" ({a.alp.low_episodes} of {words.counted(a.alp.episodes, 'episode')} in the last"
            f" {a.policy.look_back.majority_years} years): {persistent}."
        )
    if a.record.unusable_alp_like:
        yield f"Left out: {words.counted(a.record.unusable_alp_like, 'result')} of ALP fractions."
    lines = exposure_lines(a)
    yield f"Antiresorptives: {'; '.join(lines) if lines else 'none on record'}."
    if a.exposure.uses:
        first = a.exposure.first_dose
        yield f"First dose: {words.on(first) if first else 'day not known'}."
    if a.timing:
        yield f"Timing: {_TIMING[a.timing]}"
    yield from _workup(a)
    yield from _circumstances(a)


def rows(decision: Decision, rulebook: Rulebook) -> Iterator[tuple[str, str, str]]:
    """Outcome, title and reason of every row, in the order in which they were tried."""
    for step in decision.steps:
        if step.outcome == "outranked" and rulebook.situations[step.slug].silent:
            continue  # a silence beneath a card has nothing to tell
        title = f"{rulebook.situations[step.slug].title} [{step.slug}]"
        yield _OUTCOME[step.outcome], title, _reason(step)


def silence(decision: Decision) -> str | None:
    """Why nothing is said, in one sentence; None when there is a card.

    What is in shadow goes first: the silence of the rows below it says that none of them holds.
    """
    found = decision.silence
    if found is None or decision.primary is not None:
        return None
    if decision.withheld and decision.quiet is None:
        slugs = " and ".join(f.slug for f in decision.withheld)
        return f"No card, because {slugs} is in shadow: {decision.withheld[0].reason}."
    return f"No card, because {found.reason}."


def gaps(a: Assessment) -> Iterator[str]:
    """What could not be had or read."""
    for name in a.record.unknown:
        yield f"Not available: {name}."
    for unread in a.record.unread:
        yield f"Not used: {unread.where}: {unread.reason}."


def _reason(step: Step) -> str:
    reason = step.verdict.reason
    return reason[:1].upper() + reason[1:] + "." if reason else ""


def _alp_line(found: AlpValue, a: Assessment) -> str:
    shown = f"{words.dated(found.day)}: {value(found) or 'no number'}"
    if found.problem is not None:
        return f"{shown}, not used: {found.problem}."
    verdict = (
        f"{'low' if found.low else 'not low'} against {limit(found)} ({limit_source(found, a)})"
    )
    if found.exclusion is not None:
        return f"{shown}, {verdict}; does not count: {found.exclusion}."
    window = a.exposure.window(found.day)
    under = f"; within the effect window of {a.drugs[window.use.drug].label}" if window else ""
    return f"{shown}, {verdict}{under}."


def _order(a: Assessment) -> Iterator[str]:
    draft = a.call.draft
    if not a.is_order:
        return
    ordered = words.listed(a.drugs[d].label for d in draft.ordered)
    ended = words.listed(a.drugs[d].label for d in draft.ended)
    if ordered:
        yield f"Being ordered: {ordered}{' (recognised by name only)' if draft.text_only else ''}."
    if ended:
        yield f"Being ended: {ended}."
    if not ordered and not ended:
        yield "No antiresorptive is among the orders."
    if a.oncology:
        yield "Oncology: malignancy in bone is on record, or the dose is the one used for it."


def _workup(a: Assessment) -> Iterator[str]:
    for name, found in (("PLP", a.workup.plp), ("Urine PEA", a.workup.pea)):
        if found is not None and found.result.quantity is not None:
            bound = substrate_limit(found) or "no limit known"
            on_b6 = ", drawn on vitamin B6" if found.supplement else ""
            amount = words.amount(found.result.quantity)
            yield f"{name} {words.dated(found.day)}: {amount}, {found.level} (limit {bound}){on_b6}."
    if a.workup.alpl is not None:
        yield f"ALPL: {alpl(a)}."
    pending = {
        "a repeat ALP": a.repeat_pending,
        "PLP": a.plp_pending,
        "an ALPL test": a.alpl_pending,
    }
    waiting = [name for name, is_pending in pending.items() if is_pending]
    if waiting:
        yield f"Pending: {words.listed(waiting)}."


def _circumstances(a: Assessment) -> Iterator[str]:
    context = a.context
    found = [*context.hypophosphatasia, *context.features.femur, *context.features.metatarsal]
    found += [*context.features.teeth, *context.features.rickets, *context.malignancy]
    for diagnosis in found:
        yield f"On record: {diagnosis.name} ({words.dated(diagnosis.onset)})."
    if context.asfotase:
        yield "On record: asfotase alfa."
    if context.kidney:
        yield f"On record: {words.listed(context.kidney)}."
    for cause in context.causes:
        yield f"Possible reversible cause: {cause_detail(cause)}."
    if a.pregnancy is not None:
        due = a.pregnancy.due
        yield f"Pregnant, due date {words.on(due) if due else 'not recorded'}."
    if context.palliative:
        yield "On record: palliative or hospice care."
