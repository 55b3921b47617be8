"""What clinicians made of the cards, decoded and checked entry by entry (CDS Hooks, Feedback)."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

import msgspec

from cds_service.errors import RequestError

MOST_ENTRIES = 1000
"""Of one call; a longer backlog is sent in several."""
Outcome = Literal["accepted", "overridden"]

# RFC 3339, section 5.6. The specification asks for UTC; another offset says the same moment.
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Code = Annotated[str, msgspec.Meta(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Body(msgspec.Struct, frozen=True):
    feedback: list[msgspec.Raw]


class _Accepted(msgspec.Struct, frozen=True):
    id: _Id


class _Reason(msgspec.Struct, frozen=True):
    code: _Code | None = None
    system: _Code | None = None
    display: str | None = None


class _Override(msgspec.Struct, frozen=True):
    reason: _Reason | None = None
    userComment: str | None = None


class _Entry(msgspec.Struct, frozen=True):
    """One entry as it comes. Optional members may be null or empty."""

    card: _Id
    outcome: Outcome
    outcomeTimestamp: str
    acceptedSuggestions: list[_Accepted] | None = None
    overrideReason: _Override | None = None


class Feedback(msgspec.Struct, frozen=True):
    """What became of one card."""

    card: str
    outcome: Outcome
    outcome_at: datetime
    """UTC, as the client says."""
    suggestions: tuple[str, ...] = ()
    """Identifiers of the suggestions that were taken."""
    reason_system: str | None = None
    reason_code: str | None = None
    comment: str | None = None
    """Free text, which may hold a patient's details: kept, never logged."""


def decode(body: bytes) -> tuple[Feedback, ...]:
    """Every entry of a call. Raises RequestError naming the first that is wrong."""
    try:
        body.decode()
        entries = msgspec.json.decode(body, type=_Body).feedback
    except msgspec.ValidationError as error:
        raise RequestError(
            f"Not a feedback call: an object with an array 'feedback' is expected ({error}).",
            where="feedback",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("The body is not valid JSON (RFC 8259, UTF-8).") from error
    if len(entries) > MOST_ENTRIES:
        raise RequestError(
            f"At most {MOST_ENTRIES} entries are taken in one call; send the rest in another.",
            where="feedback",
        )
    return tuple(_feedback(raw, f"feedback[{number}]") for number, raw in enumerate(entries))


def _feedback(raw: msgspec.Raw, where: str) -> Feedback:
    try:
        entry = msgspec.json.decode(raw, type=_Entry)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        if path == ".outcome`":
            # What was sent there is not repeated: it may be anything.
            text = f"The outcome is to be {' or '.join(get_args(Outcome))}"
        raise RequestError(f"{text}.", where=where + path.rstrip("`")) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestError("The entry cannot be read.", where=where) from error
    moment = _moment(entry.outcomeTimestamp, f"{where}.outcomeTimestamp")
    if entry.outcome == "accepted":
        if not entry.acceptedSuggestions:
            raise RequestError(
                "The outcome accepted needs the identifiers of the suggestions that were taken.",
                where=f"{where}.acceptedSuggestions",
            )
        taken = tuple(dict.fromkeys(s.id for s in entry.acceptedSuggestions))
        return Feedback(entry.card, "accepted", moment, taken)
    override = entry.overrideReason or _Override()
    reason = override.reason or _Reason()
    if not reason.code and (reason.system or reason.display):
        raise RequestError(
            "A reason is a Coding with a code; leave the reason out if there is none.",
            where=f"{where}.overrideReason.reason.code",
        )
    return Feedback(
        card=entry.card,
        outcome="overridden",
        outcome_at=moment,
        reason_system=reason.system or None,
        reason_code=reason.code or None,
        # A null character is text to JSON, but no database takes it.
        comment=(override.userComment or "").replace("\x00", "").strip() or None,
    )


def _moment(text: str, where: str) -> datetime:
    found = _MOMENT.fullmatch(text)
    if found is not None:
        day, time, second, fraction, offset = found.groups()
        second = "59" if second == "60" else second  # a leap second, which Python does not know
        written = f"{day}T{time}:{second}.{(fraction or '0')[:6]:0<6}{offset.upper()}"
        try:
            return datetime.fromisoformat(written).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise RequestError(
        "outcomeTimestamp is to be a moment in UTC after RFC 3339, such as 2026-11-01T09:30:00Z.",
        where=where,
    )
