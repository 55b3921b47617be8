"""A timeline as a Plotly figure: ALP above, what may explain it below, on one axis of time.

Colours are names of the style sheet (`var(--…)`), put in by the page, so that one figure serves light,
dark and print. Nothing is told by colour alone: every kind has its own shape or hatching.
"""

from datetime import date, timedelta
from typing import Any

from cds_service.timeline import Timeline
from cds_service.web.pages.traces import height_of, traces

Json = dict[str, Any]
_ROW_PIXELS = 34
_ALP_PIXELS = 290
_AROUND_PIXELS = 130
_MANY_TIMES = 12
"""From this ratio between the largest and the smallest number on, the axis is logarithmic."""


def drawable(t: Timeline) -> bool:
    """Whether there is anything to draw."""
    return bool(
        t.bars
        or t.spans
        or any(m.day for m in t.marks)
        or any(height_of(p) is not None for p in t.points)
        or t.first_dose
    )


def figure(t: Timeline) -> Json:
    """Traces and layout; `height` is what the rows below the curve need."""
    first, last = _edges(t)
    drawn = list(traces(t, first, last))
    rows = list(dict.fromkeys(row for trace in drawn for row in trace.get("y", ()) if _is_row(row)))
    height = _ALP_PIXELS + _AROUND_PIXELS + _ROW_PIXELS * len(rows)
    return {
        "data": drawn,
        "layout": _layout(t, rows, (first, last), height),
        "height": height,
    }


def _is_row(value: object) -> bool:
    return isinstance(value, str)


def _edges(t: Timeline) -> tuple[date, date]:
    """First and last day drawn, with room at both ends."""
    days = [p.day.first for p in t.points] + [m.day.first for m in t.marks if m.day]
    days += [s.start for s in t.spans] + [b.start for b in t.bars if b.start]
    days += [b.last for b in t.bars if b.last]
    begun = min([*days, t.as_of - timedelta(days=365)])
    room = max(timedelta(days=30), (t.as_of - begun) / 20)
    ends = [b.residual_end for b in t.bars if b.residual_end] + [s.end for s in t.spans]
    latest = max([t.as_of, *(e for e in ends if e <= t.as_of + timedelta(days=366))])
    return begun - room, latest + room


def _layout(t: Timeline, rows: list[str], edges: tuple[date, date], height: int) -> Json:
    numbers = [float(n) for p in t.points for n in (p.u_per_l, p.limit_u_per_l) if n]
    below = _ROW_PIXELS * len(rows) / (height - _AROUND_PIXELS / 2)
    grid = {"gridcolor": "var(--chart-grid)", "linecolor": "var(--chart-grid)", "zeroline": False}
    layout: Json = {
        "xaxis": {
            "type": "date",
            "range": [edges[0].isoformat(), edges[1].isoformat()],
            "anchor": "free",
            **grid,
        }
        | {"position": 0, "fixedrange": True, "hoverformat": "%-d %b %Y"},
        "yaxis": {"title": {"text": "ALP (U/L)"}, "domain": [below + 0.06 if rows else 0, 1]}
        | {"fixedrange": True, **grid, **_scale(numbers)},
        "showlegend": False,
        "hovermode": "closest",
        "barmode": "overlay",
        "margin": {"l": 8, "r": 12, "t": 34, "b": 36},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "var(--text)", "family": "system-ui, sans-serif", "size": 13},
        "hoverlabel": {"bgcolor": "var(--surface)", "bordercolor": "var(--text)", "align": "left"}
        | {"font": {"color": "var(--text)"}},
        "shapes": [_upright(t.as_of, "solid")],
        "annotations": [_flag(t.as_of, "today", edges)],
    }
    layout["yaxis"]["automargin"] = True
    if rows:
        layout["yaxis2"] = {"type": "category", "domain": [0, below], "automargin": True} | {
            "categoryorder": "array",
            "categoryarray": rows[::-1],
            "fixedrange": True,
            "range": [-0.5, len(rows) - 0.5],
            **grid,
        }
    if t.first_dose:
        layout["shapes"].append(_upright(t.first_dose, "dot"))
        layout["annotations"].append(_flag(t.first_dose, "first dose", edges))
    return layout


def _scale(numbers: list[float]) -> Json:
    if not numbers:
        return {"range": [0, 100], "showticklabels": False}
    if max(numbers) > _MANY_TIMES * min(numbers):
        return {"type": "log", "dtick": 1, "title": {"text": "ALP (U/L), logarithmic"}}
    return {"range": [0, max(numbers) * 1.2]}


def _upright(day: date, dash: str) -> Json:
    line = {"color": "var(--chart-limit)", "width": 1.5, "dash": dash}
    return {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": day.isoformat(),
        "x1": day.isoformat(),
    } | {
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "line": line,
    }


def _flag(day: date, text: str, edges: tuple[date, date]) -> Json:
    past_middle = day - edges[0] > (edges[1] - edges[0]) / 2
    return {"x": day.isoformat(), "y": 1, "xref": "x", "yref": "paper", "text": text} | {
        "showarrow": False,
        "yanchor": "bottom",
        "xanchor": "right" if past_middle else "left",
    }
