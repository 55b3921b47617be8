"""What was read, with what, and what came of it: the counts that a later comparison needs."""

from collections.abc import Sequence
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from cds_service.rulebook import Rulebook
from cds_service.rulebook.files import site_changes
from cds_service.screen.plan import Plan
from cds_service.screen.spans import Cards, by_span, is_month
from cds_service.screen.suppression import alone, per_thousand, shown
from cds_service.screen.tally import CardKey, PolicyTally, ShadowKey, Tally

FORMAT = 2
RUN_RECORD = "run.json"
_SIGN = "order-sign"


class Input(msgspec.Struct, frozen=True):
    """One source file and what it held."""

    file: str
    bytes: int | None
    sha256: str | None
    """None where an engine reads from a place that this program cannot hash."""
    kept: int
    rejected: int


def run_record(
    plan: Plan,
    books: Sequence[Rulebook],
    inputs: Sequence[Input],
    counts: Tally,
    missing_patients: int,
) -> dict[str, Any]:
    """The run as JSON. Nothing in it depends on the clock, the engine or an interruption."""
    first, last = plan.period
    return {
        "format": FORMAT,
        "program": version("low-alp-cds"),
        "knowledge": books[0].about.version,
        "question": {
            "kind": "replay" if plan.replay else "as-of",
            "from": first.isoformat(),
            "to": last.isoformat(),
            "at": plan.at if plan.replay else None,
            "snoozeDays": plan.snooze_days,
            "suppressBelow": plan.suppress_below,
        },
        "inputs": [msgspec.structs.asdict(i) for i in inputs],
        "counts": {
            "patients": counts.patients,
            "viewMoments": counts.views,
            "orderMoments": counts.signings,
            "resourcesKept": sum(i.kept for i in inputs),
            "linesRejected": sum(i.rejected for i in inputs),
            "patientsMissing": missing_patients,
            "entriesUnread": counts.unread,
            "momentsRefused": counts.refused,
        },
        "naive": _naive(counts, plan.suppress_below),
        "policies": [
            _policy(plan, book, policy, counts, path)
            for book, policy, path in zip(books, counts.policies, plan.policy_paths, strict=True)
        ],
    }


def _naive(counts: Tally, below: int) -> dict[str, Any]:
    alerts, patients = (alone(n, below) for n in (counts.naive_alerts, counts.naive_patients))
    return {
        "rule": "a result below the limit that the laboratory printed beside it",
        "alpResults": counts.alp,
        "alpResultsWithLimit": counts.alp_with_limit,
        "alerts": alerts,
        "patients": patients,
    }


def _policy(
    plan: Plan, book: Rulebook, policy: PolicyTally, counts: Tally, path: Path | None
) -> dict[str, Any]:
    return {
        "version": book.policy.version,
        "file": path.name if path else None,
        "differs": site_changes(path),
        "switches": {s: w for s, w in sorted(book.policy.situations.items()) if w != "on"},
        "patientsWithCard": alone(policy.patients_with_card, plan.suppress_below),
        "cards": card_rows(policy, counts, plan),
        "byMonth": month_rows(policy, counts, plan),
        "again": alone(policy.again, plan.suppress_below),
        "snoozed": alone(policy.snoozed, plan.suppress_below),
        "shadow": [
            {"hook": hook, "situation": situation, "findings": findings}
            for (hook, situation), findings in shadow_counts(policy, plan).items()
        ],
        "patientsWithCardOrFinding": _with_card_or_finding(policy, plan.suppress_below),
        "silences": silence_counts(policy, plan),
    }


def card_rows(policy: PolicyTally, counts: Tally, plan: Plan) -> list[dict[str, Any]]:
    """Cards by hook, situation and indicator, with their rates."""
    return [
        {
            **_key(key),
            "cards": cards,
            "patients": patients,
            "per1000Patients": per_thousand(patients, counts.patients),
            **_rate(key, cards, counts, plan),
        }
        for key, (cards, patients) in key_counts(policy, plan).items()
    ]


def key_counts(
    policy: PolicyTally, plan: Plan
) -> dict[CardKey, tuple[int, int] | tuple[None, None]]:
    """Cards and patients of each hook, situation and indicator: both are shown, or neither."""
    keys = sorted(policy.cards, key=lambda k: (k[0], -policy.cards[k], k))
    cards = shown([policy.cards[k] for k in keys], plan.suppress_below)
    patients = shown([policy.patients[k] for k in keys], plan.suppress_below)
    return {
        key: (None, None) if card is None or patient is None else (card, patient)
        for key, card, patient in zip(keys, cards, patients, strict=True)
    }


def cards_by_span(policy: PolicyTally, plan: Plan) -> Cards:
    """Cards in each month and year, by hook, situation and indicator."""
    totals = {key: cards for key, (cards, _) in key_counts(policy, plan).items()}
    return by_span(policy, totals, plan.suppress_below)


def silence_counts(policy: PolicyTally, plan: Plan) -> dict[str, int | None]:
    """How often each silence decided: with the moments that had a card they are all moments."""
    names = sorted(policy.silences)
    *times, _ = shown(
        [*(policy.silences[n] for n in names), policy.moments_with_card], plan.suppress_below
    )
    return dict(zip(names, times, strict=True))


def shadow_counts(policy: PolicyTally, plan: Plan) -> dict[ShadowKey, int | None]:
    """How often each situation in shadow would have given the card."""
    keys = sorted(policy.shadow)
    counts = shown([policy.shadow[k] for k in keys], plan.suppress_below)
    return dict(zip(keys, counts, strict=True))


def month_rows(policy: PolicyTally, counts: Tally, plan: Plan) -> list[dict[str, Any]]:
    """Cards by month; empty for a single day."""
    if plan.replay is None:
        return []
    return [
        {
            "month": span,
            **_key(key),
            "cards": cards,
            "per1000Patients": per_thousand(cards, counts.patients),
        }
        for (span, key), cards in sorted(cards_by_span(policy, plan).items(), key=itemgetter(0))
        if is_month(span)
    ]


def _with_card_or_finding(policy: PolicyTally, below: int) -> int | None:
    """None where few have a card, or few a finding alone: one could be worked out from the other."""
    total, card = policy.patients_with_card_or_finding, policy.patients_with_card
    hidden = any(alone(n, below) is None for n in (card, total - card))
    return None if hidden else total


def _key(key: CardKey) -> dict[str, str]:
    hook, situation, indicator = key
    return {"hook": hook, "situation": situation, "indicator": indicator}


def _rate(key: CardKey, cards: int | None, counts: Tally, plan: Plan) -> dict[str, float | None]:
    """Per 1,000 times that the hook would have fired; a single day has no such number."""
    if plan.replay is None:
        return {}
    if key[0] == _SIGN:
        return {"per1000Orders": per_thousand(cards, counts.signings)}
    return {
        "per1000Encounters" if plan.at == "encounter" else "per1000AlpMoments": per_thousand(
            cards, counts.views
        )
    }
