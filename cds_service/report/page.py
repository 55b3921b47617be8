"""The report as one HTML file."""

from collections.abc import Iterator
from html import escape
from textwrap import wrap
from typing import Any

from cds_service import html_report
from cds_service.html_report import Frame, Part
from cds_service.report import Plot, Report

_LABEL_CHARACTERS = 46
_BAR_PIXELS = 34
_AXIS_PIXELS = 90
_COLOURS = {"Taken": "taken", "Set aside": "aside", "Forecast": "one", "Measured": "taken"}


def page(report: Report) -> Iterator[bytes]:
    """The file in pieces."""
    parts = [
        Part(s.title, s.text, s.head, s.rows, _figure(s.plot) if s.plot else None, s.key)
        for s in report.to_read()
    ]
    frame = Frame(report.title, (report.period, report.summary), report.caution)
    return html_report.page(frame, parts)


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
            "meta": _COLOURS.get(name, "silent"),
            "textposition": "inside",
            "insidetextanchor": "middle",
            "hovertemplate": "%{label}: %{value:,}<extra>%{fullData.name}</extra>",
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
            "tickformat": ",d" if plot.stacked else ",",
        },
        "barmode": "stack" if plot.stacked else "group",
        "bargap": 0.25,
        "uniformtext": {"minsize": 10, "mode": "hide"},
        "height": 360 if plot.upright else _AXIS_PIXELS + _BAR_PIXELS * len(labels),
    }
    return {"data": traces, "layout": layout}


def _wrapped(label: str) -> str:
    """A label in lines. What looks like HTML is text: a client names its own reasons."""
    return "<br>".join(escape(line) for line in wrap(label, _LABEL_CHARACTERS))
