"""What was left out, could not be had, and is never looked at."""

from cds_service import words
from cds_service.assessment import Assessment
from cds_service.phrases.treatment import exposure_lines

_EXCLUDED = {
    "acute illness": "taken in or soon after acute illness or a hospital stay",
    "asfotase alfa": "taken on asfotase alfa",
}
_MOST_NAMED = 3
_NEVER_READ = (
    "symptoms, DXA, dental or family history that is not coded, and results from elsewhere"
)


def left_out(a: Assessment) -> list[str]:
    """Treatment on record, and the ALP results that were left out, by reason."""
    reasons: dict[str, int] = {}
    for found in a.alp.values:
        if found.exclusion is not None and found.exclusion != "suspect specimen":
            reason = _EXCLUDED[found.exclusion]
        elif found.problem is not None:
            reason = words.escaped(found.problem)
        else:
            continue
        reasons[reason] = reasons.get(reason, 0) + 1
    if a.alp.undated:
        reasons["it has no date"] = reasons.get("it has no date", 0) + a.alp.undated
    lines = [f"Antiresorptives on record: {'; '.join(exposure_lines(a)) or 'none'}."]
    if reasons:
        parts = [f"{words.counted(n, 'ALP value')} ({reason})" for reason, n in reasons.items()]
        lines.append(f"Not counted: {'; '.join(parts)}.")
    return lines


def unknown(a: Assessment) -> list[str]:
    """What could not be had or read, and what is never looked at."""
    lines: list[str] = []
    if a.record.unknown:
        missing = words.listed(a.record.unknown)
        lines.append(f"- Not available in this call: {words.escaped(missing)}.")
    reasons: dict[str, list[str]] = {}
    for unread in a.record.unread:
        known = unread.reason.startswith("it ")
        reasons.setdefault(unread.reason if known else "it could not be read", []).append(
            unread.where
        )
    for reason, places in sorted(reasons.items()):
        entries = "1 entry" if len(places) == 1 else f"{len(places)} entries"
        named = words.escaped(", ".join(places[:_MOST_NAMED]))
        more = " and others" if len(places) > _MOST_NAMED else ""
        lines.append(f"- Not used: {entries} ({reason}): {named}{more}.")
    if a.record.patient.sex is None:
        lines.append("- Sex is not recorded as female or male: the lower fallback limit was used.")
    if a.age is None:
        lines.append("- No date of birth is recorded: built-in limits could not be applied.")
    by_name = {a.drugs[u.drug].label for u in a.record.drugs if u.text_only}
    if by_name:
        lines.append(f"- Recognised by name only, without a code: {words.listed(sorted(by_name))}.")
    return [*lines, f"- Never read by this tool: {_NEVER_READ}."]
