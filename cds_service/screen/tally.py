"""Counts over a population: cards, people, repeats, silences, and what a naive rule would have done."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from cds_service.screen.results import Answer, PatientResult, Told

CardKey = tuple[str, str, str]
"""Hook, situation, indicator."""
ShadowKey = tuple[str, str]
"""Hook and situation."""
_AGE_BANDS = ((0, "0-17"), (18, "18-39"), (40, "40-59"), (60, "60-79"), (80, "80 and over"))
UNKNOWN = "not recorded"
_MOST_REPEATS = 5


@dataclass
class PolicyTally:
    """What one policy did."""

    cards: Counter[CardKey] = field(default_factory=Counter)
    patients: Counter[CardKey] = field(default_factory=Counter)
    by_month: Counter[tuple[str, CardKey]] = field(default_factory=Counter)
    moments_with_card: int = 0
    """Shown or snoozed: all other moments ended in a silence."""
    patients_with_card: int = 0
    patients_by_group: Counter[tuple[str, str]] = field(default_factory=Counter)
    cards_a_patient: Counter[int] = field(default_factory=Counter)
    again: int = 0
    """Cards whose situation the same patient's clinicians had seen before."""
    snoozed: int = 0
    shadow: Counter[ShadowKey] = field(default_factory=Counter)
    """Cards that would have been shown, were their situations on: as memory keeps them."""
    patients_with_card_or_finding: int = 0
    """A card shown, or a finding in shadow."""
    silences: Counter[str] = field(default_factory=Counter)

    @property
    def all_cards(self) -> int:
        """Cards shown, second cards included."""
        return sum(self.cards.values())

    def add(self, result: PatientResult, number: int) -> None:
        """Count one patient under the policy of that number."""
        seen: set[CardKey] = set()
        situations: set[str] = set()
        for told in result.told:
            answer = told.answers[number]
            self.shadow.update((told.hook, slug) for slug in answer.withheld)
            self.snoozed += answer.snoozed
            self.moments_with_card += answer.indicator is not None
            if not answer.shown:
                continue
            for key in _cards(told, answer):
                self.cards[key] += 1
                self.by_month[f"{told.day:%Y-%m}", key] += 1
                self.again += key[1] in situations
                situations.add(key[1])
                seen.add(key)
        self.patients.update(seen)
        self.silences.update(result.silences[number] if result.silences else {})
        self.patients_with_card_or_finding += any(
            t.answers[number].shown or t.answers[number].withheld for t in result.told
        )
        shown = len(result.shown(number))
        self.cards_a_patient[min(shown, _MOST_REPEATS)] += 1
        if shown:
            self.patients_with_card += 1
            self.patients_by_group[group(result)] += 1


@dataclass
class Tally:
    """Everything that is counted."""

    policies: list[PolicyTally]
    patients: int = 0
    by_group: Counter[tuple[str, str]] = field(default_factory=Counter)
    views: int = 0
    signings: int = 0
    alp: int = 0
    alp_with_limit: int = 0
    naive_alerts: int = 0
    naive_patients: int = 0
    unread: int = 0
    refused: int = 0
    changes: Counter[tuple[str, str | None, str | None]] = field(default_factory=Counter)
    """With two policies: what changes, and the deciding row under each."""

    def add(self, result: PatientResult) -> None:
        """Count one patient."""
        self.patients += 1
        self.by_group[group(result)] += 1
        self.views += result.views
        self.signings += result.signings
        self.alp += result.alp
        self.alp_with_limit += result.alp_with_limit
        self.naive_alerts += result.below_printed_limit
        self.naive_patients += result.below_printed_limit > 0
        self.unread += result.unread
        self.refused += len(result.refused)
        for number, policy in enumerate(self.policies):
            policy.add(result, number)
        if len(self.policies) == 2 and (told := representative(result)) is not None:
            before, after = told.answers
            self.changes[change(result), before.situation, after.situation] += 1


def tally(results: Iterable[PatientResult], policies: int) -> Tally:
    """The counts over all patients."""
    found = Tally([PolicyTally() for _ in range(policies)])
    for result in results:
        found.add(result)
    return found


def representative(result: PatientResult) -> Told | None:
    """The moment that stands for a patient: the most urgent card, of equals the latest.

    Where the first policy shows none, the second one's.
    """
    for number in range(len(result.told[0].answers) if result.told else 0):
        shown = result.shown(number)
        if shown:
            return max(shown, key=lambda t: (-urgency(t.answers[number].indicator), t.day))
    return None


def urgency(indicator: str | None) -> int:
    """0 is the most urgent; 3 is no card."""
    return {"critical": 0, "warning": 1, "info": 2}.get(indicator or "", 3)


def change(result: PatientResult) -> str:
    """What the second policy changes for a patient who has a card under one of the two."""
    before, after = (bool(result.shown(n)) for n in (0, 1))
    if before and after:
        told = representative(result)
        answers = told.answers if told else ()
        same = len({(a.situation, a.indicator) for a in answers}) == 1
        return "same card" if same else "other card"
    return "loses" if before else "gains"


def group(result: PatientResult) -> tuple[str, str]:
    """Sex and age band."""
    age = result.age_years
    band = UNKNOWN
    if age is not None:
        band = [name for begins, name in _AGE_BANDS if age >= begins][-1]
    return result.sex or UNKNOWN, band


def age_bands() -> tuple[str, ...]:
    """The age bands in order."""
    return (*(name for _, name in _AGE_BANDS), UNKNOWN)


def _cards(told: Told, answer: Answer) -> Iterable[CardKey]:
    yield told.hook, answer.situation or "", answer.indicator or ""
    if answer.beside:
        yield told.hook, answer.beside, answer.beside_indicator or ""
