"""One part of the report, and how its numbers are said."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cds_service.screen.plan import Plan

Cell = str | int | float | None


class Section(msgspec.Struct, frozen=True):
    """One part of the report."""

    title: str
    text: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    """None stands for a count that is not shown."""
    figure: Mapping[str, Any] | None = None
    """A plotly figure; None where there is nothing to see."""


def said(number: float | None, plan: Plan) -> str:
    """A number in a sentence."""
    return f"Fewer than {plan.suppress_below}" if number is None else f"{number:,}"


def figure(
    bars: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """The bars, if there is anything to see."""
    drawn = any(v for bar in bars for axis in "xy" for v in bar[axis] if isinstance(v, int | float))
    return {"data": list(bars), "layout": layout} if drawn else None
