"""What a replay of `cds-service screen` said would happen, read from its run record."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec

from cds_service.hooks.request import ORDER_SIGN, PATIENT_VIEW
from cds_service.policy import Switch
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
    """With a card, or with a finding in shadow."""
    cards: Mapping[Key, int | None]
    """Of situations in shadow what would have been cards. None: a count was too small to be shown."""
    switches: Mapping[str, Switch]
    """How the policy of the forecast sets its situations, where not on."""

    def expected(self, key: Key) -> int | None:
        """Cards; None when hidden, not asked for at this hook, or of a situation that was off."""
        asked = key[1] in ASKED and self.switches.get(key[0]) != "off"
        return self.cards.get(key, 0 if asked else None)

    @property
    def days(self) -> int:
        """Length of the period."""
        return (self.last - self.first).days + 1

    @property
    def total(self) -> int | None:
        """All cards, those in shadow included; None when counts are hidden."""
        return _sum(self.cards.values())

    @property
    def in_shadow(self) -> int | None:
        """Those of them that are of situations in shadow."""
        return _sum(n for key, n in self.cards.items() if self.switches.get(key[0]) == "shadow")


def read_forecast(path: Path, policy_version: str) -> Forecast:
    """The forecast for that policy, or for the only one.

    Raises ValueError saying what is wrong with the run; OSError where it cannot be read.
    """
    file = path / RUN_RECORD if path.is_dir() else path
    run = _run(file.read_bytes())
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
        patients_with_card=policy.patientsWithCardOrFinding,
        cards={**_cards(policy), **{(r.situation, r.hook): r.findings for r in policy.shadow}},
        switches=policy.switches,
    )


def _run(written: bytes) -> "_Run":
    try:
        # Another format may hold the same names with other contents.
        told = msgspec.json.decode(written, type=_Format).format
        if told != FORMAT:
            raise ValueError(f"has format {told}, and this version reads {FORMAT}: screen again")
        return msgspec.json.decode(written, type=_Run)
    except msgspec.DecodeError as error:
        raise ValueError(f"is not a run record of cds-service screen ({error})") from error


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


def _sum(counts: Iterable[int | None]) -> int | None:
    """None where one is hidden."""
    found = list(counts)
    known = [n for n in found if n is not None]
    return sum(known) if len(known) == len(found) else None


class _Row(msgspec.Struct, frozen=True):
    hook: str
    situation: str
    cards: int | None


class _ShadowRow(msgspec.Struct, frozen=True):
    hook: str
    situation: str
    findings: int | None


class _Policy(msgspec.Struct, frozen=True):
    version: str
    switches: dict[str, Switch]
    cards: tuple[_Row, ...]
    shadow: tuple[_ShadowRow, ...]
    patientsWithCardOrFinding: int | None


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


class _Format(msgspec.Struct, frozen=True):
    format: int


class _Run(msgspec.Struct, frozen=True):
    knowledge: str
    question: _Question
    counts: _Counts
    policies: tuple[_Policy, ...]
