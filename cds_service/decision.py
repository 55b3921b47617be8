"""Record, moment and policy in; one decision out. Pure: the one entry to the clinical model.

Hooks, command line, pages and population screening all ask here.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Literal

import msgspec

from cds_service.assessment import Assessment, Call
from cds_service.assessment.snoozing import Quiet, quiet
from cds_service.drugs import Drug
from cds_service.policy import Policy, Switch
from cds_service.record import PatientRecord
from cds_service.situations.verdict import Level, Verdict

Outcome = Literal[
    "card", "shadow", "silence", "snoozed", "outranked", "not alone", "off", "does not hold"
]
SNOOZED = "workup-in-progress"
"""The silence of a card that was set aside, or seen already."""
Kind = Literal["card", "accompanying", "silence"]


class Row(msgspec.Struct, frozen=True):
    """One row of the decision table."""

    slug: str
    priority: int
    hooks: frozenset[str]
    kind: Kind
    holds: Callable[[Assessment], Verdict]
    of_a_recent_low: bool = False
    """It cannot hold without one."""


class Finding(msgspec.Struct, frozen=True):
    """A situation that holds."""

    slug: str
    level: Level
    reason: str


class Step(msgspec.Struct, frozen=True):
    """What became of one row, for explaining."""

    slug: str
    switch: Switch
    verdict: Verdict
    outcome: Outcome


class Decision(msgspec.Struct, frozen=True):
    """At most one primary finding with at most one beside it, or the name of the silence."""

    assessment: Assessment
    primary: Finding | None = None
    accompanying: Finding | None = None
    silence: Finding | None = None
    quiet: Quiet | None = None
    """Why the card that would be given was not, when it was set aside or seen already."""
    shadow: Sequence[Finding] = ()
    """Situations switched to shadow that hold and that no card or silence outranked, in order."""
    withheld: Sequence[Finding] = ()
    """Of these the cards that would have gone out, were their situations on: the first, which has the
    best priority and would have outranked the others, and the one that would have stood beside a card."""
    steps: Sequence[Step] = ()
    """Every row of this hook with its verdict; empty unless an explanation was asked for."""


def decide(
    record: PatientRecord,
    call: Call,
    *,
    rows: Sequence[Row],
    drugs: Mapping[str, Drug],
    policy: Policy,
    explain: bool = False,
) -> Decision:
    """The first row, by priority, that holds for this patient at this hook."""
    assessment = Assessment(record, call, policy, drugs)
    outcome = _Outcome(assessment, explain)
    mine = [row for row in rows if call.hook in row.hooks]
    if assessment.recent_low is None and not explain:
        mine = [row for row in mine if not row.of_a_recent_low]
    for row in mine:
        switch = policy.situations.get(row.slug, "on")
        if switch == "off" and not explain:
            continue
        verdict = row.holds(assessment)
        if verdict.holds or explain:
            outcome.consider(row, switch, verdict)
            if outcome.settled and not explain:
                break
    if outcome.has_card or outcome.has_card_in_shadow or explain:
        for row in mine:
            if row.kind == "accompanying":
                outcome.consider_beside(row, policy.situations.get(row.slug, "on"))
    return outcome.decision()


class _Outcome:
    """Rows tried so far, and what they gave."""

    def __init__(self, assessment: Assessment, explain: bool) -> None:
        self._assessment = assessment
        self._explain = explain
        self.primary: Finding | None = None
        self._beside: Finding | None = None
        self._silence: Finding | None = None
        self._quiet: Quiet | None = None
        self._shadow: list[Finding] = []
        self._shadow_beside: list[Finding] = []
        self._led: set[str] = set()
        self._steps: list[tuple[int, Step]] = []

    @property
    def settled(self) -> bool:
        """A card or a silence was found: what follows is outranked."""
        return self.primary is not None or self._silence is not None

    @property
    def has_card(self) -> bool:
        """There is a card, or one that keeps quiet: another may accompany it."""
        return self.primary is not None or self._quiet is not None

    @property
    def has_card_in_shadow(self) -> bool:
        """There would be a card: another in shadow would accompany it."""
        return bool(self._shadow)

    def consider(self, row: Row, switch: Switch, verdict: Verdict) -> None:
        """What a row gives: a card or a silence of its own, or nothing."""
        if row.kind == "accompanying":
            outranked = self.settled or (switch == "shadow" and self.has_card_in_shadow)
            if outranked or not verdict.leads:
                return  # it may yet stand beside
            self._led.add(row.slug)
        if not verdict.holds:
            self._note(row, switch, verdict, "does not hold")
            return
        finding = Finding(row.slug, verdict.level, verdict.reason)
        if switch == "off":
            self._note(row, switch, verdict, "off")
        elif self.settled:
            self._note(row, switch, verdict, "outranked")
        elif switch == "shadow":
            self._shadow.append(finding)
            self._note(row, switch, verdict, "shadow")
        elif row.kind == "silence":
            self._silence = finding
            self._note(row, switch, verdict, "silence")
        elif not self._keep_quiet(row, switch):
            self.primary = finding
            self._note(row, switch, verdict, "card")

    def consider_beside(self, row: Row, switch: Switch) -> None:
        """Try a row that may only stand beside a card."""
        if switch == "off" and not self._explain:
            return
        verdict = row.holds(self._assessment)
        if row.slug in self._led:
            return  # considered already, as a card of its own
        if not verdict.holds:
            self._note(row, switch, verdict, "does not hold")
        elif switch == "off":
            self._note(row, switch, verdict, "off")
        elif not self.has_card and not (switch == "shadow" and self.has_card_in_shadow):
            self._note(row, switch, verdict, "not alone")
        elif switch == "shadow":
            self._shadow_beside.append(Finding(row.slug, verdict.level, verdict.reason))
            self._note(row, switch, verdict, "shadow")
        elif not self._keep_quiet(row, switch):
            self._stand(Finding(row.slug, verdict.level, verdict.reason))
            self._note(row, switch, verdict, "card")

    def decision(self) -> Decision:
        return Decision(
            assessment=self._assessment,
            primary=self.primary,
            accompanying=self._beside,
            silence=self._silence,
            quiet=self._quiet,
            shadow=(*self._shadow, *self._shadow_beside),
            withheld=(*self._shadow[:1], *self._shadow_beside[:1]),
            steps=tuple(step for _, step in sorted(self._steps, key=itemgetter(0))),
        )

    def _keep_quiet(self, row: Row, switch: Switch) -> bool:
        """Whether the card was set aside or seen already. What it outranks stays outranked."""
        found = quiet(self._assessment, row.slug)
        if found is None:
            return False
        self._note(row, switch, Verdict(True, found.said), "snoozed")
        if not self.settled:
            self._quiet = found
            self._silence = Finding(SNOOZED, "usual", found.said)
        return True

    def _stand(self, finding: Finding) -> None:
        """Beside the card; where that one is quiet, in its place: this one was not set aside."""
        if self.primary is None:
            self.primary, self._silence = finding, None
        else:
            self._beside = finding

    def _note(self, row: Row, switch: Switch, verdict: Verdict, outcome: Outcome) -> None:
        if self._explain:
            self._steps.append((row.priority, Step(row.slug, switch, verdict, outcome)))
