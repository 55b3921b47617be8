"""Whether a card was set aside or shown lately, and what has come up since. Pure."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import msgspec

from cds_service import words
from cds_service.assessment import Assessment
from cds_service.assessment.calendar import months_after
from cds_service.assessment.evidence import Evidence, Marks
from cds_service.assessment.remembered import Snooze
from cds_service.policy import Policy


class Quiet(msgspec.Struct, frozen=True):
    """Why a card that would be given is not shown this time."""

    situation: str
    cause: str
    """The code of the override reason, or `already-seen`."""
    said: str
    """The same as a clause, for giving reasons."""


def quiet(a: Assessment, situation: str) -> Quiet | None:
    """Why this situation stays quiet at this call; None when its card is shown.

    At an order nothing is snoozed: the draft is itself a new order.
    """
    if a.is_order:
        return None
    for snooze in _snoozes(a, situation):
        if not waking(a, snooze):
            return Quiet(situation, snooze.reason, _set_aside(a, snooze))
    for shown in a.call.shown:
        if shown.situation != situation or new_since(a, shown.marks):
            continue
        if a.as_of - shown.day < timedelta(days=a.policy.snooze.already_seen_days):
            said = (
                f"{situation} was shown to this user on {words.on(shown.day)}; nothing is new since"
            )
            return Quiet(situation, "already-seen", said)
    return None


def woken(a: Assessment, situation: str) -> tuple[Snooze, tuple[Evidence, ...]] | None:
    """The last snooze that new evidence ended before its time, with that evidence."""
    if a.is_order:
        return None
    found = sorted(_snoozes(a, situation), key=lambda s: s.since)
    return (found[-1], waking(a, found[-1])) if found else None


def waking(a: Assessment, snooze: Snooze) -> tuple[Evidence, ...]:
    """What ends a snooze before its time."""
    kinds = a.policy.snooze.wakes
    return tuple(item for item in new_since(a, snooze.marks) if item.kind in kinds)


def new_since(a: Assessment, marks: Marks) -> tuple[Evidence, ...]:
    """What is on record today and was not then."""
    return tuple(item for item in a.evidence if not marks.hold(item))


def ends(snooze: Snooze, policy: Policy) -> date | None:
    """The day from which the card is shown again; None: never. On its first day when it never slept."""
    lifetime = policy.snooze.months.get(snooze.reason, 0)
    return None if lifetime == "for ever" else months_after(snooze.since, lifetime)


def snoozing_since(policy: Policy, now: datetime) -> Mapping[str, datetime]:
    """For each reason that snoozes, how old an override may be and still be in force."""
    found = {}
    for reason, lifetime in policy.snooze.months.items():
        if lifetime == "for ever":
            found[reason] = datetime.min.replace(tzinfo=UTC)
        elif lifetime:
            # A day more than the months: no day's end is the same everywhere.
            day = months_after(now.date(), -lifetime) - timedelta(days=1)
            found[reason] = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return found


def _snoozes(a: Assessment, situation: str) -> list[Snooze]:
    """Those of this situation whose time is not over."""
    return [
        s
        for s in a.call.snoozes
        if s.situation == situation and ((end := ends(s, a.policy)) is None or a.as_of < end)
    ]


def _set_aside(a: Assessment, snooze: Snooze) -> str:
    end = ends(snooze, a.policy)
    until = f"until {words.on(end)}" if end else "for good"
    reason = snooze.reason.replace("-", " ")
    return (
        f"{snooze.situation} was set aside on {words.on(snooze.since)} ({reason}) {until},"
        " and no new evidence has come up"
    )
