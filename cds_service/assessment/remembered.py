"""What is remembered of a patient at one client, as facts for a decision. No clinical values."""

from datetime import date

import msgspec

from cds_service.assessment.evidence import Marks


class Snooze(msgspec.Struct, frozen=True):
    """A card that a clinician set aside for a reason of our list."""

    situation: str
    reason: str
    """Code of the override reason."""
    since: date
    """The day on which it was set aside: its time runs from here."""
    marks: Marks
    """What was on record when the card was made."""


class Shown(msgspec.Struct, frozen=True):
    """The last time that this user was shown the card of a situation."""

    situation: str
    day: date
    marks: Marks
