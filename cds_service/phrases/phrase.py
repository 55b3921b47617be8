"""The shape of one phrase."""

from collections.abc import Callable

import msgspec

from cds_service.assessment import Assessment

UNBOUNDED = 10_000
"""Length of a phrase that may not stand in a summary."""


class Phrase(msgspec.Struct, frozen=True):
    """Words about one patient."""

    say: Callable[[Assessment], str | None]
    longest: int = UNBOUNDED
    """No rendering is longer than this; enforced by cutting, see `bounded`."""

    def bounded(self, a: Assessment) -> str | None:
        """The words, cut with an ellipsis where they would be longer than promised."""
        words = self.say(a)
        if words is not None and len(words) > self.longest:
            return words[: self.longest - 1].rstrip() + "…"
        return words
