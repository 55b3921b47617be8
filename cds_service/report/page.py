"""The report as one HTML file that needs nothing else, with a plain table under each plot."""

import json
from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources
from string import Template
from textwrap import wrap
from typing import Any

from cds_service.report import Cell, Plot, Report, Section

_LABEL_CHARACTERS = 46
_BAR_PIXELS = 34
_AXIS_PIXELS = 90


def page(report: Report) -> Iterator[bytes]:
    """The file in pieces: the plotting library alone is some megabytes."""
    frame = Template((resources.files("cds_service.report") / "page.html").read_text("utf-8"))
    figures = {s.key: _figure(s.plot) for s in report.sections if s.plot is not None}
    before, after = frame.safe_substitute(
        title=escape(report.title),
        period=escape(report.period),
        summary=escape(report.summary),
        sections="\n".join(_section(s) for s in report.sections),
        # Within a script element only `<` could end the text early.
        figures=json.dumps(figures).replace("<", "\\u003c"),
    ).split("$plotly")
    yield before.encode()
    yield from _plotly()
    yield after.encode()


def _plotly() -> Iterator[bytes]:
    # Only the script that the package carries is used; importing the package would take long.
    library = resources.files("plotly") / "package_data" / "plotly.min.js"
    with library.open("rb") as lines:
        for line in lines:
            yield line.replace(b"</script", b"<\\/script")


def _section(section: Section) -> str:
    plot = ""
    if section.plot is not None:
        label = escape(
            f"{section.title}: bar chart; the table below holds the same numbers", quote=True
        )
        plot = f'<div class="plot" id="{section.key}" role="img" aria-label="{label}"></div>'
    return (
        f'<section aria-labelledby="{section.key}-title"><h2 id="{section.key}-title">'
        f"{escape(section.title)}</h2><p>{escape(section.text)}</p>{plot}{_table(section)}</section>"
    )


def _table(section: Section) -> str:
    if not section.rows:
        return '<p class="note">Nothing to count.</p>'
    numbers = [isinstance(cell, int) for cell in section.rows[0]]
    head = "".join(
        f'<th scope="col"{_class(n)}>{escape(h)}</th>'
        for h, n in zip(section.head, numbers, strict=True)
    )
    body = "".join(f"<tr>{_cells(row, numbers)}</tr>" for row in section.rows)
    return (
        f'<div class="wide"><table><caption>{escape(section.title)}, in numbers</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(row: Sequence[Cell], numbers: Sequence[bool]) -> str:
    first, *others = zip(row, numbers, strict=True)
    cells = "".join(f"<td{_class(n)}>{_cell(c)}</td>" for c, n in others)
    return f'<th scope="row"{_class(first[1])}>{_cell(first[0])}</th>{cells}'


def _class(number: bool) -> str:
    return ' class="n"' if number else ""


def _cell(cell: Cell) -> str:
    if cell is None:
        return "–"
    return f"{cell:,}" if isinstance(cell, int) else escape(cell)


def _figure(plot: Plot) -> dict[str, Any]:
    """What plotly draws; colours come from the page."""
    labels = [_wrapped(label) for label in plot.labels]
    along, across = ("x", "y") if plot.upright else ("y", "x")
    traces = [
        {
            "type": "bar",
            "name": name,
            "orientation": "v" if plot.upright else "h",
            along: labels,
            across: list(numbers),
        }
        for name, numbers in plot.series
    ]
    labelled: dict[str, Any] = {"type": "category"}
    if not plot.upright:
        labelled["autorange"] = "reversed"  # the first row of the table is the uppermost bar
    layout = {
        f"{along}axis": labelled,
        f"{across}axis": {
            "title": {"text": plot.counts},
            "rangemode": "tozero",
            "tickformat": ",d",
        },
        "barmode": "stack",
        "height": 360 if plot.upright else _AXIS_PIXELS + _BAR_PIXELS * len(labels),
    }
    return {"data": traces, "layout": layout}


def _wrapped(label: str) -> str:
    """A label in lines. What looks like HTML is text: a client names its own reasons."""
    return "<br>".join(escape(line) for line in wrap(label, _LABEL_CHARACTERS))
