"""What is new since the card was set aside, or since this user was last shown it."""

from collections.abc import Iterator, Sequence

from cds_service import words
from cds_service.assessment import Assessment
from cds_service.assessment.evidence import Evidence
from cds_service.assessment.snoozing import new_since, woken

_MOST_NAMED = 4


def since(a: Assessment, situation: str) -> Iterator[str]:
    """A bullet each; none when it was neither set aside nor shown."""
    awake = woken(a, situation)
    if awake is not None:
        snooze, news = awake
        reason = snooze.reason.replace("-", " ")
        when = words.on(snooze.since)
        yield f"- Set aside on {when} ({reason}). Shown again, because new since: {_named(news)}."
    for shown in a.call.shown:
        if shown.situation == situation:
            news = new_since(a, shown.marks)
            told = f"New since: {_named(news)}" if news else "Nothing is new since"
            yield f"- Last shown to you on {words.on(shown.day)}. {told}."


def _named(news: Sequence[Evidence]) -> str:
    named = [item.said for item in news[:_MOST_NAMED]]
    more = len(news) - len(named)
    return "; ".join([*named, *([f"and {more} more"] if more else [])])
