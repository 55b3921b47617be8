"""The cards of a decision: words, draft orders and sources put together, and nothing decided."""

from uuid import uuid4

import msgspec

from cds_service.assessment import Assessment
from cds_service.card_text import detail, fixed_text
from cds_service.card_text.speaker import Speaker
from cds_service.decision import Decision, Finding
from cds_service.hooks.card import (
    EXTENSION,
    Action,
    Card,
    Coding,
    Link,
    Source,
    Suggestion,
)
from cds_service.orders import DraftOrders
from cds_service.rulebook import Rulebook
from cds_service.rulebook.situation import Situation, conditions


class Cards:
    """Writes the cards of one rulebook. Built once; safe to share between threads."""

    def __init__(self, rulebook: Rulebook) -> None:
        self.drafts = DraftOrders(rulebook)
        self._rulebook = rulebook
        self._fixed = {
            slug: fixed_text(situation, rulebook)
            for slug, situation in rulebook.situations.items()
            if situation.kind != "silence"
        }

    def of(self, decision: Decision, encounter_id: str | None) -> tuple[Card, ...]:
        """The words and orders of a decision; none when it is silence."""
        offered: set[str] = set()
        findings = (decision.primary, decision.accompanying)
        return tuple(
            self._card(finding, decision.assessment, encounter_id, offered)
            for finding in findings
            if finding is not None
        )

    def _card(
        self, finding: Finding, a: Assessment, encounter_id: str | None, offered: set[str]
    ) -> Card:
        """One card. `offered` holds the orders of earlier cards: none is offered twice."""
        situation = self._rulebook.situations[finding.slug]
        speaker = Speaker(a, raised=finding.level == "raised")
        suggestions, notes = self._suggestions(situation, speaker, a, encounter_id, offered)
        summary = speaker.first(situation.headlines)
        if summary is None:
            raise LookupError(f"the summary of {finding.slug} speaks of something not on record")
        rulebook = self._rulebook
        primary = rulebook.citations[situation.sources[0]]
        return Card(
            uuid=str(uuid4()),
            summary=summary,
            detail=detail(situation, self._fixed[finding.slug], speaker, a, notes),
            indicator=situation.level_indicator(finding.level),
            source=Source(
                primary.label,
                primary.url,
                Coding(rulebook.situation_system, finding.slug, situation.title),
            ),
            suggestions=suggestions or None,
            selectionBehavior="any" if suggestions else None,
            overrideReasons=tuple(
                Coding(rulebook.override_system, code, rulebook.override_reasons[code].display)
                for code in situation.override_reasons
            ),
            extension={
                f"{EXTENSION}situation": finding.slug,
                f"{EXTENSION}knowledge-version": rulebook.about.version,
            },
        )

    def _suggestions(
        self,
        situation: Situation,
        speaker: Speaker,
        a: Assessment,
        encounter_id: str | None,
        offered: set[str],
    ) -> tuple[tuple[Suggestion, ...], list[str]]:
        """The orders worth offering, and a note for each that was left out."""
        suggestions: list[Suggestion] = []
        notes: dict[str, str] = {}
        on_first_card = frozenset(offered)
        for offer in situation.orders:
            if not speaker.holds(conditions(offer.when)):
                continue
            order = self.drafts[offer.code]
            if offer.code in on_first_card:
                notes[offer.code] = f"Offered on the first card: {order.label}."
            if offer.code in offered:
                continue
            needless = self.drafts.needless(offer.code, a)
            if needless is not None:
                notes[offer.code] = f"Not offered, {needless}: {order.label}."
                continue
            offered.add(offer.code)
            draft = self.drafts.draft(offer.code, a, encounter_id=encounter_id)
            suggestions.append(
                Suggestion(
                    label=order.label,
                    uuid=str(uuid4()),
                    actions=(Action(f"Create a draft order: {order.text}", draft),),
                    isRecommended=True if offer.recommended and not suggestions else None,
                )
            )
        return tuple(suggestions), list(notes.values())


def linked(card: Card, hook: str, launch_url: str) -> Card:
    """The card with the link that opens the timeline; it says from where, and nothing of the patient."""
    assert card.extension is not None  # noqa: S101  (every card of ours names its situation)
    came_from = {"hook": hook, "situation": card.extension[f"{EXTENSION}situation"]}
    link = Link(
        label="ALP over time, with what may explain it",
        url=launch_url,
        type="smart",
        appContext=msgspec.json.encode(came_from).decode(),
    )
    return msgspec.structs.replace(card, links=(link,))
