"""What a replay of `cds-service screen` said would happen, read from its run record."""

from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec

from cds_service.hooks.request import ORDER_SIGN, PATIENT_VIEW
from cds_service.screen.run_record import FORMAT, RUN_RECORD

ASKED = frozenset({PATIENT_VIEW, ORDER_SIGN})
"""The hooks that a replay fires."""
Key = tuple[str, str]
"""Situation and hook."""


class Forecast(msgspec.Struct, frozen=True):
    """One policy over one population, as forecast."""

    first: date
    last: date
    patients: int
    encounters: int | None
    """None when the chart was opened at ALP results instead."""
    orders: int
    """Days on which a patient's antiresorptive orders were signed."""
    snooze_days: int
    hidden_below: int
    knowledge: str
    policy: str
    patients_with_card: int | None
    cards: Mapping[Key, int | None]
    """None: at least one count was too small to be shown."""

    def expected(self, key: Key) -> int | None:
        """Cards; None when hidden, or at a hook at which a replay does not ask."""
        return self.cards.get(key, 0 if key[1] in ASKED else None)

    @property
    def days(self) -> int:
        """Length of the period."""
        return (self.last - self.first).days + 1

    @property
    def total(self) -> int | None:
        """All cards; None when counts are hidden."""
        known = [n for n in self.cards.values() if n is not None]
        return sum(known) if len(known) == len(self.cards) else None


def read_forecast(path: Path, policy_version: str) -> Forecast:
    """The forecast for that policy, or for the only one.

    Raises ValueError saying what is wrong with the run; OSError where it cannot be read.
    """
    file = path / RUN_RECORD if path.is_dir() else path
    try:
        run = msgspec.json.decode(file.read_bytes(), type=_Run)
    except msgspec.DecodeError as error:
        raise ValueError(f"is not a run record of cds-service screen ({error})") from error
    if run.format != FORMAT:
        raise ValueError(f"has format {run.format}, and this version reads {FORMAT}: screen again")
    if run.question.kind != "replay":
        raise ValueError(
            "was asked about one day, which has no rate: screen with --replay FROM..TO"
        )
    policy = _policy(run, policy_version)
    return Forecast(
        first=run.question.from_,
        last=run.question.to,
        patients=run.counts.patients,
        encounters=run.counts.viewMoments if run.question.at == "encounter" else None,
        orders=run.counts.orderMoments,
        snooze_days=run.question.snoozeDays,
        hidden_below=run.question.suppressBelow,
        knowledge=run.knowledge,
        policy=policy.version,
        patients_with_card=policy.patientsWithCard,
        cards=_cards(policy),
    )


def _policy(run: "_Run", version: str) -> "_Policy":
    matching = [p for p in run.policies if p.version == version]
    if len(run.policies) == 1 or len(matching) == 1:
        return (matching or run.policies)[0]
    raise ValueError(
        f"compares policies {' and '.join(p.version for p in run.policies)}, and which of them is in"
        f" force ({version}) cannot be told: screen with that one alone"
    )


def _cards(policy: "_Policy") -> Mapping[Key, int | None]:
    found: Counter[Key] = Counter()
    hidden = set()
    for row in policy.cards:
        key = row.situation, row.hook
        found[key] += row.cards or 0
        if row.cards is None:
            hidden.add(key)
    return {key: None if key in hidden else cards for key, cards in found.items()}


class _Row(msgspec.Struct, frozen=True):
    hook: str
    situation: str
    cards: int | None


class _Policy(msgspec.Struct, frozen=True):
    version: str
    cards: tuple[_Row, ...]
    patientsWithCard: int | None


class _Question(msgspec.Struct, frozen=True):
    kind: Literal["replay", "as-of"]
    to: date
    snoozeDays: int
    suppressBelow: int
    at: str | None
    from_: date = msgspec.field(name="from")


class _Counts(msgspec.Struct, frozen=True):
    patients: int
    viewMoments: int
    orderMoments: int


class _Run(msgspec.Struct, frozen=True):
    format: int
    knowledge: str
    question: _Question
    counts: _Counts
    policies: tuple[_Policy, ...]
