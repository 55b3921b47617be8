"""The report: one HTML file that needs nothing else, with a plain table under each plot."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

from cds_service.screen.plan import Plan
from cds_service.screen.section import Cell, Section

_AT = {
    "encounter": "the chart opened at the start of each encounter",
    "alp": "the chart opened when each ALP result came",
}


def report(plan: Plan, parts: Sequence[Section], run: Mapping[str, Any]) -> Iterator[bytes]:
    """The file in pieces: the plotting library alone is some megabytes."""
    page = Template((resources.files("cds_service.screen") / "report.html").read_text("utf-8"))
    figures = {f"plot-{n}": p.figure for n, p in enumerate(parts) if p.figure is not None}
    before, after = page.safe_substitute(
        title=escape(_title(plan)),
        question=escape(_question(plan)),
        sections="\n".join(_section(n, part) for n, part in enumerate(parts)),
        provenance=_provenance(run),
        # Within a script element only `<` could end the text early.
        figures=json.dumps(figures).replace("<", "\\u003c"),
    ).split("$plotly")
    yield before.encode()
    yield from _plotly()
    yield after.encode()


def _plotly() -> Iterator[bytes]:
    # Only the script that the package carries is used: importing plotly itself would cost memory.
    library = resources.files("plotly") / "package_data" / "plotly.min.js"
    with library.open("rb") as lines:
        for line in lines:
            yield line.replace(b"</script", b"<\\/script")


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


def _section(number: int, part: Section) -> str:
    plot = ""
    if part.figure is not None:
        label = escape(
            f"{part.title}: bar chart; the table below holds the same numbers", quote=True
        )
        plot = f'<div class="plot" id="plot-{number}" role="img" aria-label="{label}"></div>'
    return (
        f'<section aria-labelledby="part-{number}">'
        f'<h2 id="part-{number}">{escape(part.title)}</h2><p>{escape(part.text)}</p>{plot}'
        f"{_table(part.title, part.head, part.rows)}</section>"
    )


def _table(caption: str, head: Sequence[str], rows: Sequence[tuple[Cell, ...]]) -> str:
    if not rows:
        return '<p class="note">Nothing to count.</p>'
    numeric = [any(isinstance(r[n], int | float) for r in rows) for n in range(len(head))]
    heads = "".join(
        f'<th scope="col"{" class=n" if n else ""}>{escape(h)}</th>'
        for h, n in zip(head, numeric, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=n' if n else ''}>{_cell(c)}</td>"
            for c, n in zip(row, numeric, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(cell: Cell) -> str:
    if cell is None:
        return "not shown"
    if isinstance(cell, float):
        return f"{cell:,.2f}"
    return f"{cell:,}" if isinstance(cell, int) else escape(cell)


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
        f"<p>Program {escape(run['program'])}, knowledge {escape(run['knowledge'])};"
        f" {escape(versions)}.</p>"
        + (f"<ul>{differs}</ul>" if differs else "")
        + f"<p>{counts['patients']:,} patients, {counts['resourcesKept']:,} resources that a rule could"
        f" use. Not usable: {counts['linesRejected']:,} lines, {counts['entriesUnread']:,} entries and"
        f" {counts['momentsRefused']:,} moments; {counts['patientsMissing']:,} ids whose Patient did not"
        " come. rejects.ndjson holds them with their reasons.</p>"
        + _table(
            "Files read",
            ("File", "Bytes", "Kept", "Rejected", "SHA-256 (start)"),
            rows,
        )
    )
