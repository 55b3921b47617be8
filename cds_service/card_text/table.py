"""The values that a card rests on, as a small table."""

from cds_service import words
from cds_service.assessment import Assessment, baseline, low_off_treatment, pre_treatment
from cds_service.assessment.judging import AlpValue
from cds_service.phrases.series import earlier_lows, limit, limit_source, value
from cds_service.phrases.specimen import same_sample, urgent_beside
from cds_service.phrases.workup import pth, substrate_limit, variant
from cds_service.record import LabResult

_LATEST_ROWS = 4
_SAME_SAMPLE = {
    "potassium": "Potassium",
    "calcium-total": "Calcium (total)",
    "magnesium": "Magnesium",
    "zinc": "Zinc",
}


def values_table(a: Assessment, speaks_of: frozenset[str]) -> list[str]:
    """ALP values and the other results that the card speaks of, oldest first."""
    rows = [_alp_row(v, a) for v in _values_shown(a, speaks_of)]
    rows += _other_rows(a, speaks_of)
    if not rows:
        return ["No value that can be used."]
    return ["| Date | Test | Value | Limit | Remark |", "|---|---|---|---|---|", *rows]


def _values_shown(a: Assessment, spoken: frozenset[str]) -> list[AlpValue]:
    """The latest values, what came before treatment, and the first low; oldest first."""
    wanted = list(a.alp.counted[-_LATEST_ROWS:])
    wanted += [*a.alp.lows[:1], *a.alp.lows[-2:]]
    wanted += earlier_lows(a) if "earlier_lows" in spoken else ()
    wanted += [v for v in (baseline(a.alp, a.exposure, a.policy),) if v]
    wanted += [v for v in (low_off_treatment(a.alp, a.exposure, a.policy),) if v]
    wanted += [v for v in pre_treatment(a.alp, a.exposure) if v.low][-2:]
    wanted += [v for v in a.alp.values if v.low and v.exclusion is not None][-2:]
    shown = {id(v) for v in wanted}
    return [v for v in a.alp.values if id(v) in shown]


def _alp_row(found: AlpValue, a: Assessment) -> str:
    verdict = "low" if found.low else "not low"
    if found.exclusion is not None:
        verdict = f"not counted: {found.exclusion}"
    bound, remark = _limit_shown(found, a)
    remarks = f"{verdict}; {remark}" if remark else verdict
    return _row(words.dated(found.day), "ALP", value(found) or "", bound, remarks)


def _limit_shown(found: AlpValue, a: Assessment) -> tuple[str, str]:
    """The limit that a value was judged by, as its laboratory printed it, and where it comes from."""
    if found.limit is None:
        return "", ""
    printed = found.result.low
    if found.limit.origin == "laboratory" and printed is not None:
        return f"≥ {words.alp(printed)}", "laboratory limit"
    return f"≥ {limit(found)}", limit_source(found, a)


def _other_rows(a: Assessment, spoken: frozenset[str]) -> list[str]:
    """Other results that this situation speaks of."""
    rows: list[str] = []
    for name, found in (("PLP", a.workup.plp), ("Urine PEA", a.workup.pea)):
        if found is not None and found.result.quantity is not None:
            remark = "drawn on vitamin B6" if found.supplement else ""
            if found.built_in_limit:
                remark = "; ".join(
                    filter(None, [remark, "built-in limit: the laboratory gave none"])
                )
            bound = substrate_limit(found)
            rows.append(
                _row(
                    words.dated(found.day),
                    name,
                    words.amount(found.result.quantity),
                    f"≤ {bound}" if bound else "none known",
                    remark,
                )
            )
    if a.workup.alpl is not None:
        rows.append(
            _row(words.dated(a.workup.alpl.reported), "ALPL", variant(a.workup.alpl), "", "")
        )
    if "liver" in spoken:
        rows += [_result_row(name, r) for name, r in a.context.liver_results]
    if "urgent" in spoken:
        rows += _specimen_rows(a)
    else:
        rows += [
            _result_row(_SAME_SAMPLE[name], r, "same sample as ALP")
            for _, name, r in urgent_beside(a)
        ]
    if {"pth", "pth_date"} & spoken and (found_pth := pth(a)) is not None:
        rows.append(_result_row("PTH", found_pth))
    shown = [r for _, r in same_sample(a)] if "urgent" in spoken else []
    found_causes = [c for c in a.context.causes if c.result and c.result not in shown]
    return rows + [_result_row(_cause_test(c.name), c.result) for c in found_causes if c.result]


def _cause_test(name: str) -> str:
    test = name.removeprefix("low ").removeprefix("raised ")
    return test[:1].upper() + test[1:]


def _specimen_rows(a: Assessment) -> list[str]:
    return [_result_row(_SAME_SAMPLE[name], r, "same sample as ALP") for name, r in same_sample(a)]


def _result_row(name: str, found: LabResult, remark: str = "") -> str:
    bounds = [f"≥ {words.amount(found.low)}"] if found.low else []
    bounds += [f"≤ {words.amount(found.high)}"] if found.high else []
    shown = words.amount(found.quantity) if found.quantity else ""
    return _row(words.dated(found.taken), name, shown, ", ".join(bounds), remark)


def _row(*cells: str) -> str:
    """A table row: units may come from the record, so markup and pipes in them are defused."""
    row = " | ".join(c.replace("|", "\\|") for c in cells)
    return f"| {row} |".replace("<", "&lt;").replace(">", "&gt;")
