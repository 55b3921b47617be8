"""CDS Hooks cards as they go out: the members of the 3.0 ballot that older clients accept too.

`None` members are left out of the JSON: the specification allows neither null nor empty ones.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Indicator = Literal["info", "warning", "critical"]
EXTENSION = "org.low-alp-cds."
SUMMARY_LIMIT = 140
"""A summary has fewer characters than this."""


class Coding(msgspec.Struct, frozen=True, omit_defaults=True):
    """A code of a system."""

    system: str
    code: str
    display: str | None = None


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """The primary guidance behind a card."""

    label: str
    url: str | None = None
    topic: Coding | None = None


class Action(msgspec.Struct, frozen=True):
    """A resource to create. This service never updates or deletes anything."""

    description: str
    resource: Mapping[str, Any]
    type: Literal["create"] = "create"


class Suggestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """One button: an order that the clinician may add."""

    label: str
    uuid: str
    actions: tuple[Action, ...]
    isRecommended: bool | None = None

    def order_code(self, system: str) -> str:
        """Our own code of the order that it adds."""
        codings = self.actions[0].resource["code"]["coding"]
        return next(str(c["code"]) for c in codings if c.get("system") == system)


class Link(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A way on from a card; ours opens the timeline as a SMART app."""

    label: str
    url: str
    type: Literal["absolute", "smart"]
    appContext: str | None = None

    def __post_init__(self) -> None:
        """`appContext` goes with SMART links only (INV cds-resp-3)."""
        if self.appContext is not None and self.type != "smart":
            raise ValueError("appContext on a link that is no SMART link")


class Card(msgspec.Struct, frozen=True, omit_defaults=True):
    """One piece of advice."""

    uuid: str
    summary: str
    detail: str
    indicator: Indicator
    source: Source
    suggestions: tuple[Suggestion, ...] | None = None
    selectionBehavior: Literal["any"] | None = None
    overrideReasons: tuple[Coding, ...] | None = None
    links: tuple[Link, ...] | None = None
    extension: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """A card that breaks the specification is our own fault and goes nowhere."""
        if not 0 < len(self.summary) < SUMMARY_LIMIT:
            raise ValueError(f"a summary of {len(self.summary)} characters")
        if (self.suggestions is None) != (self.selectionBehavior is None):
            raise ValueError("suggestions and selectionBehavior go together")

    @property
    def situation(self) -> str:
        """Which row of the decision table it speaks for."""
        return str((self.extension or {})[f"{EXTENSION}situation"])


class Response(msgspec.Struct, frozen=True):
    """The answer to a call. An empty list of cards means: checked, nothing to say."""

    cards: tuple[Card, ...]


_encoder = msgspec.json.Encoder()


def encode(response: Response) -> bytes:
    """The JSON of an answer."""
    return _encoder.encode(response)
