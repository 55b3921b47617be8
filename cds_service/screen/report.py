"""The report on a population: one HTML file."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from cds_service.html_report import Frame, Part, page, table
from cds_service.screen.plan import Plan

_AT = {
    "encounter": "the chart opened at the start of each encounter",
    "alp": "the chart opened when each ALP result came",
}
_CAUTION = (
    "Advisory, for licensed clinicians. No clinician has signed the model off. A card is no diagnosis,"
    " and silence is no reassurance."
)


def report(plan: Plan, parts: Sequence[Part], run: Mapping[str, Any]) -> Iterator[bytes]:
    """The file in pieces."""
    frame = Frame(_title(plan), (_question(plan),), _CAUTION, "not shown", _provenance(run))
    return page(frame, parts)


def _title(plan: Plan) -> str:
    first, last = plan.period
    when = f"{first} to {last}" if plan.replay else f"{last}"
    return f"Low ALP cards over a population, {when}"


def _question(plan: Plan) -> str:
    if plan.replay is None:
        return (
            f"Who would have had a card if every chart had been opened on {plan.last_day},"
            " with what was recorded by then."
        )
    first, last = plan.replay
    snooze = (
        f" A card shown is not shown again for the same situation within {plan.snooze_days} days."
        if plan.snooze_days
        else ""
    )
    return (
        f"What would have been shown from {first} to {last}: {_AT[plan.at]}, and every antiresorptive"
        " order signed, with only what was known then. A status that was set later cannot always be"
        f" told from today's record, and stays as it is today.{snooze}"
    )


def _provenance(run: Mapping[str, Any]) -> str:
    counts = run["counts"]
    rows = tuple(
        (i["file"], i["bytes"], i["kept"], i["rejected"], str(i["sha256"])[:16])
        for i in run["inputs"]
    )
    versions = "; ".join(
        f"policy {p['version']}{' (' + p['file'] + ')' if p['file'] else ''}"
        for p in run["policies"]
    )
    differs = "".join(
        f"<li>{escape(p['version'])}: {escape(line)}</li>"
        for p in run["policies"]
        for line in [*p["differs"], *(f"{s} is {w}" for s, w in p["switches"].items())]
    )
    return (
        "<section><h2>What was read</h2>"
        f"<p>Program {escape(run['program'])}, knowledge {escape(run['knowledge'])};"
        f" {escape(versions)}.</p>"
        + (f"<ul>{differs}</ul>" if differs else "")
        + f"<p>{counts['patients']:,} patients, {counts['resourcesKept']:,} resources that a rule could"
        f" use. Not usable: {counts['linesRejected']:,} lines, {counts['entriesUnread']:,} entries and"
        f" {counts['momentsRefused']:,} moments; {counts['patientsMissing']:,} ids without a"
        " Patient that can be read. rejects.ndjson holds them with their reasons.</p>"
        + table(
            "Files read",
            ("File", "Bytes", "Kept", "Rejected", "SHA-256 (start)"),
            rows,
        )
        + "</section>"
    )
