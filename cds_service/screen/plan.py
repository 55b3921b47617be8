"""What is asked of a population: which moments, which policies, which assumptions."""

from datetime import date
from pathlib import Path
from typing import Literal

import msgspec

At = Literal["encounter", "alp"]


class ScreenError(Exception):
    """Screening cannot go on; the text is the one line that says why and what would be right."""


class Plan(msgspec.Struct, frozen=True):
    """Everything that decides the result, and nothing that does not."""

    as_of: date | None = None
    """Patient-view on this day; None in a replay."""
    replay: tuple[date, date] | None = None
    """First and last day of a replay."""
    at: At = "encounter"
    """When a replay opens the chart: at each encounter's start, or when each ALP came."""
    snooze_days: int = 0
    """So long a card is not shown again for the same situation; critical cards always are."""
    names: bool = False
    policies: tuple[str | None, ...] = (None,)
    """Site policy files; None is the built-in policy alone."""
    canonical: str = "https://low-alp-cds.example"
    suppress_below: int = 0
    """Counts of people or cards from 1 to below this are not shown."""

    @property
    def last_day(self) -> date:
        """The day up to which anything can be known."""
        day = self.replay[1] if self.replay else self.as_of
        assert day is not None  # noqa: S101  (a plan has one of the two)
        return day

    @property
    def period(self) -> tuple[date, date]:
        """First and last day asked about."""
        return self.replay or (self.last_day, self.last_day)

    @property
    def policy_paths(self) -> tuple[Path | None, ...]:
        """The policy files as paths."""
        return tuple(Path(p) if p else None for p in self.policies)
