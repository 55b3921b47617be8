"""One patient's ALP beside what may explain it, as one value: the table and the chart show the same."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from cds_service import words
from cds_service.assessment import Assessment
from cds_service.assessment.exposure import Window, spans
from cds_service.assessment.judging import AlpValue, acute_periods
from cds_service.phrases.series import limit, limit_source, value
from cds_service.phrases.treatment import exposure_lines, span
from cds_service.phrases.workup import alpl, pth, substrate_limit
from cds_service.record import Diagnosis, LabResult, RecordedDate

Verdict = Literal["low", "not low", "not counted", "not used"]


class Point(msgspec.Struct, frozen=True):
    """One ALP result."""

    day: RecordedDate
    value: str
    """As reported, with its unit; `no number` when it has none."""
    u_per_l: Decimal | None
    """None when no number in U/L can be given: such a result stands in the table only."""
    limit: str
    limit_u_per_l: Decimal | None
    limit_source: str
    verdict: Verdict
    reason: str
    """Why it is not counted or not used; else the drug in whose window it lies, if any."""


class Bar(msgspec.Struct, frozen=True):
    """One antiresorptive over the days on which it was taken and those on which it may still act."""

    drug: str
    taken: str
    start: date | None
    """None: not recorded."""
    last: date | None
    """Last day on which it is known to have been taken; None while it goes on or when not recorded."""
    residual_end: date | None
    """Last day on which it may still lower ALP; None while it goes on or when that cannot be told."""
    is_dose: bool


class Mark(msgspec.Struct, frozen=True):
    """Something that is known of one day: a result of the work-up, a fracture, a sign."""

    kind: Literal["work-up", "fracture", "sign"]
    day: RecordedDate | None
    name: str
    value: str = ""
    remark: str = ""


class Span(msgspec.Struct, frozen=True):
    """A stretch of time in which ALP is read differently or not at all."""

    kind: Literal["pregnancy", "acute illness", "asfotase alfa"]
    start: date
    end: date
    remark: str


class Timeline(msgspec.Struct, frozen=True):
    """Everything that the page about one patient draws and lists, oldest first."""

    as_of: date
    sentence: str
    """What the chart shows, for those who do not see it."""
    points: tuple[Point, ...]
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    spans: tuple[Span, ...]
    first_dose: date | None
    undated: int
    """ALP results without any date: they stand nowhere on a line of time."""


def timeline(a: Assessment) -> Timeline:
    """The timeline of an assessed record."""
    return Timeline(
        as_of=a.as_of,
        sentence=" ".join(_sentences(a)),
        points=tuple(_point(found, a) for found in a.alp.values),
        bars=tuple(_bar(window, a) for window in a.exposure.windows),
        marks=tuple(sorted(_marks(a), key=lambda m: m.day.last if m.day else date.min)),
        spans=tuple(sorted(_spans(a), key=lambda s: (s.start, s.kind))),
        first_dose=a.exposure.first_dose,
        undated=a.alp.undated,
    )


def _sentences(a: Assessment) -> Iterator[str]:
    counted, lows = len(a.alp.counted), len(a.alp.lows)
    left_out = len(a.alp.values) - counted
    latest = a.alp.latest
    if latest is None:
        yield "No ALP result that counts is on file."
    else:
        that = "that counts" if counted == 1 else "that count"
        low = f"{lows or 'none'} {'is' if lows < 2 else 'are'} low"
        below = "below" if latest.low else "not below"
        yield (
            f"Of {words.counted(counted, 'ALP value')} {that}, {low}; the latest, {latest.shown},"
            f" is {below} its limit of {limit(latest)}."
        )
    if left_out:
        are = "is" if left_out == 1 else "are"
        yield f"{words.counted(left_out, 'further value')} {are} on file but not counted."
    lines = exposure_lines(a)
    yield f"Antiresorptives: {'; '.join(lines) if lines else 'none on record'}."


def _point(found: AlpValue, a: Assessment) -> Point:
    quantity = found.result.quantity
    comparable = quantity is not None and quantity.canonical is not None
    in_units = found.limit is not None and found.limit.origin != "as printed"
    verdict, reason = _verdict(found, a)
    return Point(
        day=found.day,
        value=value(found) or "no number",
        u_per_l=found.u_per_l if comparable else None,
        limit=limit(found) or "",
        limit_u_per_l=found.limit.value if found.limit and in_units else None,
        limit_source=limit_source(found, a),
        verdict=verdict,
        reason=reason,
    )


def _verdict(found: AlpValue, a: Assessment) -> tuple[Verdict, str]:
    if found.problem is not None:
        return "not used", found.problem
    judged = "low" if found.low else "not low"
    if found.exclusion is not None:
        return "not counted", f"{judged}, but {_EXCLUSIONS[found.exclusion]}"
    window = a.exposure.window(found.day)
    under = f"within the effect window of {a.drugs[window.use.drug].label}" if window else ""
    return "low" if found.low else "not low", under


_EXCLUSIONS = {
    "acute illness": "taken in or soon after acute illness or a hospital stay",
    "suspect specimen": "the specimen is suspect",
    "asfotase alfa": "taken on asfotase alfa",
}


def _bar(window: Window, a: Assessment) -> Bar:
    use = window.use
    last = None if use.ongoing else use.end or use.start
    return Bar(
        drug=a.drugs[use.drug].label,
        taken=span(use),
        start=window.start,
        last=last.last if last else None,
        residual_end=window.end,
        is_dose=use.is_dose,
    )


def _marks(a: Assessment) -> Iterator[Mark]:
    yield from _workup(a)
    features = a.context.features
    for found in (*features.femur, *features.metatarsal):
        yield _diagnosis("fracture", found)
    for found in (*features.teeth, *features.rickets, *a.context.hypophosphatasia):
        yield _diagnosis("sign", found)


def _workup(a: Assessment) -> Iterator[Mark]:
    for name, found in (("PLP", a.workup.plp), ("Urine PEA", a.workup.pea)):
        if found is None or found.result.quantity is None:
            continue
        bound = substrate_limit(found)
        remark = f"{found.level}, limit {bound}" if bound else "no limit known"
        if found.supplement:
            remark += "; drawn on vitamin B6"
        yield Mark("work-up", found.day, name, words.amount(found.result.quantity), remark)
    gene = a.workup.alpl
    if gene is not None:
        yield Mark("work-up", gene.reported, "ALPL", alpl(a) or "")
    results = [("PTH", pth(a)), *a.context.liver_results]
    results += [(c.name, c.result) for c in a.context.causes if c.result]
    for name, result in results:
        if result is not None and result.quantity is not None:
            yield Mark("work-up", result.taken, name, words.amount(result.quantity), _range(result))


def _range(result: LabResult) -> str:
    bounds = [f"at least {words.amount(result.low)}"] if result.low else []
    bounds += [f"at most {words.amount(result.high)}"] if result.high else []
    return f"range: {words.listed(bounds)}" if bounds else ""


def _diagnosis(kind: Literal["fracture", "sign"], found: Diagnosis) -> Mark:
    return Mark(kind, found.onset, found.name, remark="recurrent" if found.recurrent else "")


def _spans(a: Assessment) -> Iterator[Span]:
    for pregnancy in a.pregnancies:
        due = f"due {words.on(pregnancy.due)}" if pregnancy.due else "due date not recorded"
        yield Span("pregnancy", pregnancy.start, pregnancy.end, f"{due}; trimester limits apply")
    after = a.policy.residual.asfotase_days
    for window in spans(a.record.drugs, a.drugs, "asfotase", after):
        remark = f"{span(window.use)}, with the {after} days after it; ALP is not counted"
        begun = window.start or min((v.day.first for v in a.alp.values), default=a.as_of)
        yield Span("asfotase alfa", begun, window.end or a.as_of, remark)
    days = a.policy.acute.days_after_stay
    for begun, ended in acute_periods(a.record, a.policy, a.as_of):
        remark = f"stay or operation with the {days} days after it; low ALP is not counted"
        yield Span("acute illness", begun, ended, remark)
