"""What memory holds of a period, counted in the way of a forecast. Pure."""

from collections import Counter
from collections.abc import Mapping
from datetime import date

import msgspec

from cds_service.database.history import History
from cds_service.report.forecast import ASKED, Key


class Site(msgspec.Struct, frozen=True):
    """What the site counted in the measured period; None is not known."""

    patients: int | None = None
    encounters: int | None = None


class Measured(msgspec.Struct, frozen=True):
    """The cards that went out."""

    days: int
    cards: Mapping[Key, int]
    patients_with_card: int
    """At a moment that a forecast asks about."""

    @property
    def total(self) -> int:
        """Cards at moments that a forecast asks about."""
        return sum(n for (_, hook), n in self.cards.items() if hook in ASKED)

    @property
    def elsewhere(self) -> int:
        """Cards at other moments: a replay cannot know what was only selected."""
        return sum(self.cards.values()) - self.total


def measured(found: History, first: date, last: date) -> Measured:
    """The cards from the first day to the last."""
    return Measured(
        days=(last - first).days + 1,
        cards=Counter((c.situation, c.hook) for c in found.cards),
        # A patient of two clients has two pseudonyms, and counts twice.
        patients_with_card=len({(c.client, c.patient) for c in found.cards if c.hook in ASKED}),
    )
