"""The text of a card: five blocks of GitHub-flavoured markdown, read in ten seconds.

Why this fired, values used, not known to this tool, options to consider, sources and version. Text
that comes from the record is escaped; everything else is ours.
"""

from collections.abc import Iterable, Sequence

import msgspec

from cds_service import words
from cds_service.assessment import Assessment, baseline, pre_treatment
from cds_service.assessment.alp import AlpValue
from cds_service.phrases import FLAGS, PHRASES
from cds_service.phrases.flags import WARNING
from cds_service.phrases.policy import numbers
from cds_service.phrases.series import limit, limit_source, value
from cds_service.phrases.treatment import exposure_lines
from cds_service.phrases.workup import alpl, pth, substrate_limit
from cds_service.record import LabResult
from cds_service.rulebook import Rulebook
from cds_service.rulebook.situation import Line, Situation

_LATEST_ROWS = 4
_MOST_NAMED = 3
_NEVER_READ = (
    "symptoms, DXA, dental or family history that is not coded, and results from elsewhere"
)


class FixedText(msgspec.Struct, frozen=True):
    """What a situation's card says whoever the patient is: put together once, at start."""

    rule: str
    closing: str
    """When doing nothing is reasonable, and what would change the advice."""
    sources: str
    version: str
    speaks_of: frozenset[str]


def fixed_text(situation: Situation, rulebook: Rulebook) -> FixedText:
    """The rule in words, the sources, and the version line up to the date."""
    about = rulebook.about
    in_force = numbers(rulebook.policy)
    return FixedText(
        rule=f"*Rule:* {situation.criterion.format_map(in_force)}",
        closing=f"{situation.no_action} {situation.would_change}".format_map(in_force),
        sources="\n".join(_sources(situation, rulebook)),
        version=(
            f"Rule `{situation.slug}`, knowledge {about.version}, policy {rulebook.policy.version}."
            f" Last clinical review: {about.last_clinical_review}."
            f" For {about.intended_user}; advisory, does not replace judgement. Data as of"
        ),
        speaks_of=situation.speaks_of,
    )


def detail(
    situation: Situation, fixed: FixedText, speaker: "Speaker", a: Assessment, notes: Sequence[str]
) -> str:
    """The whole text. `notes` say which orders were left out, and why."""
    return "\n\n".join(
        (
            _block("Why this fired", speaker.bullets(situation.why), [fixed.rule]),
            _block(
                "Values used",
                _table(a, fixed.speaks_of),
                _ignored(a),
                ["*Background:*", "", *speaker.bullets(situation.explain)],
            ),
            _block("Not known to this tool", _gaps(a)),
            _block(
                "Options to consider",
                [*speaker.bullets(situation.options), *(f"- {n}" for n in notes)],
                [fixed.closing],
            ),
            _block(
                "Sources and rule version",
                [fixed.sources],
                [f"{fixed.version} {words.on(a.as_of)}."],
            ),
        )
    )


class Speaker:
    """Says the lines that are true of one patient, and leaves out the others."""

    def __init__(self, a: Assessment, *, raised: bool) -> None:
        self._a = a
        self._known: dict[str, bool] = {WARNING: raised}
        self._said: dict[str, str | None] = {}

    def holds(self, when: Iterable[str]) -> bool:
        """Whether every condition holds; `!name` holds when the condition does not."""
        return all(self._flag(c) for c in when)

    def say(self, line: Line) -> str | None:
        """The text with its placeholders filled; None when one of them has nothing to say."""
        said: dict[str, str] = {}
        for name in line.names:
            phrase = self._phrase(name)
            if phrase is None:
                return None
            said[name] = phrase
        return line.text.format_map(said) if said else line.text

    def first(self, lines: Iterable[Line]) -> str | None:
        """The first line that holds and can be said."""
        said = (self.say(line) for line in lines if self.holds(line.when))
        return next((text for text in said if text is not None), None)

    def bullets(self, lines: Iterable[Line]) -> list[str]:
        """The lines that hold, as a list."""
        said = (self.say(line) for line in lines if self.holds(line.when))
        return [f"- {text}" for text in said if text is not None]

    def _phrase(self, name: str) -> str | None:
        if name not in self._said:
            self._said[name] = PHRASES[name].bounded(self._a)
        return self._said[name]

    def _flag(self, condition: str) -> bool:
        name = condition.removeprefix("!")
        if name not in self._known:
            self._known[name] = FLAGS[name](self._a)
        return self._known[name] != condition.startswith("!")


def _block(title: str, *parts: Sequence[str]) -> str:
    return f"**{title}**\n\n" + "\n\n".join("\n".join(p) for p in parts if p)


def _table(a: Assessment, speaks_of: frozenset[str]) -> list[str]:
    rows = [_alp_row(v, a) for v in _values_shown(a)]
    rows += _other_rows(a, speaks_of)
    return ["| Date | Test | Value | Limit | Remark |", "|---|---|---|---|---|", *rows]


def _values_shown(a: Assessment) -> list[AlpValue]:
    """The latest values, what came before treatment, and the first low; oldest first."""
    wanted = list(a.alp.counted[-_LATEST_ROWS:])
    wanted += [*a.alp.lows[:1], *a.alp.lows[-2:]]
    wanted += [v for v in (baseline(a.alp, a.exposure, a.policy),) if v]
    wanted += [v for v in pre_treatment(a.alp, a.exposure) if v.low][-2:]
    wanted += [v for v in a.alp.values if v.low and v.exclusion is not None][-2:]
    return [v for v in a.alp.values if any(v is w for w in wanted)]


def _alp_row(found: AlpValue, a: Assessment) -> str:
    source = limit_source(found, a) if found.limit else ""
    remark = "laboratory limit" if found.limit and found.limit.origin == "laboratory" else source
    verdict = "low" if found.low else "not low"
    if found.exclusion is not None:
        verdict = f"not counted: {found.exclusion}"
    remarks = "; ".join(r for r in (verdict, remark) if r)
    printed = found.result.low
    low = limit(found) or ""
    if printed is not None and found.limit and found.limit.origin == "laboratory":
        low = words.alp(printed)
    return _row(words.dated(found.day), "ALP", value(found) or "", low and f"≥ {low}", remarks)


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
        rows.append(_row(words.dated(a.workup.alpl.reported), "ALPL", alpl(a) or "", "", ""))
    if "liver" in spoken:
        rows += [_result_row(name, r) for name, r in a.context.liver_results]
    if {"potassium", "calcium"} & spoken:
        rows += _specimen_rows(a)
    if {"pth", "pth_date"} & spoken and (found_pth := pth(a)) is not None:
        rows.append(_result_row("PTH", found_pth))
    rows += [_result_row(_cause_test(c.name), c.result) for c in a.context.causes if c.result]
    return rows


def _cause_test(name: str) -> str:
    test = name.removeprefix("low ").removeprefix("raised ")
    return test[:1].upper() + test[1:]


def _specimen_rows(a: Assessment) -> list[str]:
    suspects = a.alp.excluded_lows("suspect specimen")
    suspicion = suspects[-1].suspicion if suspects else None
    if suspicion is None:
        return []
    found = (("Potassium", suspicion.potassium), ("Calcium (total)", suspicion.calcium))
    return [_result_row(name, r, "same sample as ALP") for name, r in found if r is not None]


def _result_row(name: str, found: LabResult, remark: str = "") -> str:
    bounds = [f"≥ {words.amount(found.low)}"] if found.low else []
    bounds += [f"≤ {words.amount(found.high)}"] if found.high else []
    shown = words.amount(found.quantity) if found.quantity else ""
    return _row(words.dated(found.taken), name, shown, ", ".join(bounds), remark)


def _row(*cells: str) -> str:
    return "| " + " | ".join(escaped_cell(c) for c in cells) + " |"


def escaped_cell(text: str) -> str:
    """A table cell: units may come from the record, so markup and pipes in them are defused."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


def _ignored(a: Assessment) -> list[str]:
    """Treatment on record, and the ALP results that were left out, by reason."""
    reasons: dict[str, int] = {}
    for found in a.alp.values:
        if found.exclusion is not None and found.exclusion != "suspect specimen":
            reason = {
                "acute illness": "taken in or soon after acute illness or a hospital stay",
                "asfotase alfa": "taken on asfotase alfa",
            }[found.exclusion]
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


def _gaps(a: Assessment) -> list[str]:
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


def _sources(situation: Situation, rulebook: Rulebook) -> list[str]:
    lines = []
    for key in situation.citations:
        source = rulebook.citations[key]
        label = f"[{source.label}]({source.url})" if source.url else source.label
        lines.append(f"- {label}: {source.evidence}")
    return lines
