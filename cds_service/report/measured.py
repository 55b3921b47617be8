"""What memory holds of a period, counted in the way of a forecast. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Literal

import msgspec

from cds_service.database.history import History
from cds_service.policy import Switch
from cds_service.report.forecast import ASKED, Key

Source = Literal["live", "shadow", "both"]
"""Where the number of a situation comes from: cards that went out, findings in shadow, or both."""


class Site(msgspec.Struct, frozen=True):
    """What the site counted in the measured period; None is not known."""

    patients: int | None = None
    encounters: int | None = None


class Measured(msgspec.Struct, frozen=True):
    """The cards that went out, and those that would have, were their situation not in shadow."""

    days: int
    cards: Mapping[Key, int]
    """Both together."""
    in_shadow: int
    """At moments that a forecast asks about."""
    patients_with_card: int
    """With a card or a finding in shadow at a moment that a forecast asks about."""
    sources: Mapping[str, Source]
    """Situations of which something is on record, or would be."""

    def number(self, key: Key) -> int | None:
        """Cards; None where the situation was neither on nor in shadow, as far as can be told."""
        return self.cards.get(key, 0) if key[0] in self.sources else None

    @property
    def total(self) -> int:
        """Cards at moments that a forecast asks about."""
        return sum(n for (_, hook), n in self.cards.items() if hook in ASKED)

    @property
    def elsewhere(self) -> int:
        """Cards at other moments: a replay cannot know what was only selected."""
        return sum(self.cards.values()) - self.total


def measured(
    found: History, switches: Mapping[str, Switch], slugs: Iterable[str], first: date, last: date
) -> Measured:
    """What is on record from the first day to the last.

    `switches` of the policy in force say of those `slugs` of which nothing is on record whether
    something would be.
    """
    both = found.cards_and_findings
    return Measured(
        days=(last - first).days + 1,
        cards=Counter((c.situation, c.hook) for c in both),
        in_shadow=sum(f.hook in ASKED for f in found.findings),
        # A patient of two clients has two pseudonyms, and counts twice.
        patients_with_card=len({(c.client, c.patient) for c in both if c.hook in ASKED}),
        sources=_sources(found, switches, slugs),
    )


def _sources(
    found: History, switches: Mapping[str, Switch], slugs: Iterable[str]
) -> Mapping[str, Source]:
    live = {c.situation for c in found.cards}
    shadow = {f.situation for f in found.findings}
    for slug in {*slugs} - live - shadow:
        switch = switches.get(slug, "on")
        if switch == "on":
            live.add(slug)
        elif switch == "shadow":
            shadow.add(slug)
    return {
        slug: "both" if slug in live & shadow else "live" if slug in live else "shadow"
        for slug in live | shadow
    }
