"""How the numbers of a part of the report are said and drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

from cds_service.screen.plan import Plan


def said(number: float | None, plan: Plan) -> str:
    """A number in a sentence."""
    return f"Fewer than {plan.suppress_below}" if number is None else f"{number:,}"


def figure(
    bars: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """The bars, if there is anything to see."""
    drawn = any(v for bar in bars for axis in "xy" for v in bar[axis] if isinstance(v, int | float))
    return {"data": list(bars), "layout": layout} if drawn else None
