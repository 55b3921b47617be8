"""What is drawn of a timeline: one Plotly trace for each kind of thing, with the text that hovering tells."""

from collections.abc import Iterable, Iterator
from datetime import date
from html import escape
from typing import Any, NamedTuple

from cds_service import words
from cds_service.record import RecordedDate
from cds_service.timeline import Bar, Mark, Point, Span, Timeline

Json = dict[str, Any]


class _Look(NamedTuple):
    name: str
    symbol: str
    colour: str
    size: int


_LOOKS = {
    "low": _Look("Low", "triangle-down", "var(--chart-low)", 13),
    "not low": _Look("Not low", "circle", "var(--chart-normal)", 11),
    "not counted": _Look("Not counted", "x-thin-open", "var(--chart-excluded)", 11),
    "not used": _Look("Not used", "square-open", "var(--chart-excluded)", 10),
}
_MARKS = {
    "work-up": _Look("Work-up", "star-diamond", "var(--chart-workup)", 12),
    "fracture": _Look("Fractures", "cross", "var(--chart-low)", 12),
    "sign": _Look("On record", "hexagon", "var(--chart-workup)", 12),
}


def traces(t: Timeline, first: date, last: date) -> Iterator[Json]:
    """Every trace; bars without a known start or end reach to the edges `first` and `last`."""
    yield from _alp(t)
    yield from _bars(t, first, last)
    yield from _spans(t.spans)
    yield from _marks(t.marks)


def height_of(point: Point) -> float | None:
    """Where a value stands on the axis of U/L; None when it cannot stand there."""
    return None if point.u_per_l is None else float(point.u_per_l)


def _alp(t: Timeline) -> Iterator[Json]:
    limits = [p for p in t.points if p.limit_u_per_l is not None and p.u_per_l is not None]
    if limits:
        yield {
            "type": "scatter",
            "name": "Lower limit in force",
            "mode": "lines+markers",
            "x": [_middle(p.day) for p in limits],
            "y": [float(p.limit_u_per_l or 0) for p in limits],
            "line": {"color": "var(--chart-limit)", "dash": "dash", "width": 1.5, "shape": "hvh"},
            "marker": {
                "symbol": "line-ew-open",
                "size": 16,
                "color": "var(--chart-limit)",
                "line": {"width": 3, "color": "var(--chart-limit)"},
            },
            "text": [_plain(f"Limit {p.limit}: {p.limit_source}") for p in limits],
            "hovertemplate": "%{text}<extra></extra>",
        }
    for verdict, look in _LOOKS.items():
        found = [p for p in t.points if p.verdict == verdict and p.u_per_l is not None]
        if found:
            yield _scatter(look, [(_middle(p.day), height_of(p), _told(p)) for p in found])


def _told(p: Point) -> str:
    lines = [
        f"{words.dated(p.day)}: ALP {p.value}",
        f"{p.verdict}{f', limit {p.limit}' if p.limit else ''}",
    ]
    return "<br>".join(_plain(line) for line in [*lines, p.limit_source, p.reason] if line)


def _scatter(look: _Look, found: list[tuple[str, Any, str]], axis: str = "y") -> Json:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": look.name,
        "yaxis": axis,
        "x": [x for x, _, _ in found],
        "y": [y for _, y, _ in found],
        "text": [text for _, _, text in found],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "symbol": look.symbol,
            "size": look.size,
            "color": look.colour,
            "line": {"width": 2, "color": look.colour},
        },
    }


def _bars(t: Timeline, first: date, last: date) -> Iterator[Json]:
    """What may still act, hatched, and upon it what was taken, solid; doses as diamonds."""
    for drug in dict.fromkeys(b.drug for b in t.bars):
        group = [b for b in t.bars if b.drug == drug]
        row = _capital(drug)
        effect = [(b.start or first, b.residual_end or last) for b in group]
        yield _bar(row, "May still act", _merged(effect), "var(--chart-effect)", hatched=True)
        periods = [b for b in group if not b.is_dose]
        if periods:
            stretches = [(b.start or first, b.last or t.as_of) for b in periods]
            yield _bar(row, "Taken", stretches, "var(--chart-drug)", texts=map(_exposure, periods))
        doses = [b for b in group if b.is_dose and b.start]
        if doses:
            look = _Look("Dose", "diamond", "var(--chart-drug)", 12)
            yield _scatter(
                look, [(_iso(b.start), row, _exposure(b)) for b in doses if b.start], "y2"
            )


def _exposure(b: Bar) -> str:
    end = f"may act until {words.on(b.residual_end)}" if b.residual_end else "no end on record"
    return _plain(f"{_capital(b.drug)} {b.taken}; {end}")


def _bar(
    row: str,
    name: str,
    stretches: Iterable[tuple[date, date]],
    colour: str,
    *,
    texts: Iterable[str] = (),
    hatched: bool = False,
) -> Json:
    found = list(stretches)
    told = list(texts) or [_plain(f"{row}: {name.lower()}, {_between(a, b)}") for a, b in found]
    pattern = {"shape": "/", "fgcolor": colour, "bgcolor": "rgba(0,0,0,0)", "size": 7}
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "yaxis": "y2",
        "y": [row for _ in found],
        "base": [_iso(start) for start, _ in found],
        "x": [max(1, (end - start).days) * 86_400_000 for start, end in found],  # milliseconds
        "width": 0.6 if hatched else 0.4,
        "text": told,
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "color": colour,
            "line": {"width": 1, "color": colour},
            **({"pattern": pattern} if hatched else {}),
        },
    }


def _spans(spans: tuple[Span, ...]) -> Iterator[Json]:
    for kind, shape in (("pregnancy", "-"), ("acute illness", "x"), ("asfotase alfa", ".")):
        found = [s for s in spans if s.kind == kind]
        if found:
            trace = _bar(
                _capital(kind),
                _capital(kind),
                [(s.start, s.end) for s in found],
                "var(--chart-span)",
                texts=[_plain(f"{_between(s.start, s.end)}: {s.remark}") for s in found],
                hatched=True,
            )
            trace["marker"]["pattern"]["shape"] = shape
            yield trace


def _marks(marks: tuple[Mark, ...]) -> Iterator[Json]:
    for kind, look in _MARKS.items():
        found = [m for m in marks if m.kind == kind and m.day]
        if found:
            yield _scatter(
                look, [(_middle(m.day), look.name, _mark(m)) for m in found if m.day], "y2"
            )


def _mark(m: Mark) -> str:
    told = f"{words.dated(m.day)}: {m.name} {m.value}".rstrip()
    return "<br>".join(_plain(line) for line in (told, m.remark) if line)


def _merged(stretches: list[tuple[date, date]]) -> list[tuple[date, date]]:
    """Overlapping stretches put together, so that hatching does not lie over hatching."""
    found: list[tuple[date, date]] = []
    for start, end in sorted(stretches):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _between(start: date, end: date) -> str:
    return f"{words.on(start)} to {words.on(end)}"


def _middle(day: RecordedDate) -> str:
    """Where a result stands whose day may be any of a month or a year."""
    return _iso(day.first + (day.last - day.first) / 2)


def _iso(day: date | None) -> str:
    return day.isoformat() if day else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _plain(text: str) -> str:
    """Plotly reads a little HTML in its texts: what comes from a record is to be read as written."""
    return escape(text)
