"""What is written down of a call, by pseudonyms: cards that went out, and those withheld in shadow."""

from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.metadata import version
from uuid import uuid4

import msgspec

from cds_service.database.cards import IssuedCard, IssuedSuggestion
from cds_service.database.shadow_findings import ShadowFinding
from cds_service.decision import Decision
from cds_service.hooks.card import Card
from cds_service.hooks.request import HookRequest
from cds_service.policy import Policy
from cds_service.pseudonym import mark, patient_key, pseudonym, user_pseudonym


class Versions(msgspec.Struct, frozen=True):
    """By which rules the cards are made, and in whose words they are set aside."""

    knowledge: str
    order_system: str
    override_system: str


class Scribe:
    """Puts calls into rows. Safe to share between threads."""

    def __init__(
        self, key: bytes, policy: Policy, versions: Versions, now: Callable[[], datetime]
    ) -> None:
        """`key` is the secret of the pseudonyms and marks."""
        self._key = key
        self._policy = policy
        self._versions = versions
        self._program = version("low-alp-cds")
        self._now = now

    def cards(
        self, client: str, request: HookRequest, cards: Sequence[Card], decision: Decision
    ) -> list[IssuedCard]:
        """The cards of a call by that client; with the user where it matters who has seen them."""
        patient = pseudonym(self._key, client, request.patient_id)
        key = patient_key(self._key, patient)
        a = decision.assessment
        seen_matters = self._policy.snooze.already_seen_days > 0
        return [
            IssuedCard(
                card=card.uuid,
                situation=card.situation,
                hook=request.hook,
                client=client,
                patient=patient,
                user=user_pseudonym(self._key, client, request.user) if seen_matters else None,
                issued_at=self._now(),
                as_of=a.as_of,
                marks=frozenset(mark(key, item.key) for item in a.evidence),
                knowledge_version=self._versions.knowledge,
                policy_version=self._policy.version,
                program_version=self._program,
                suggestions=tuple(
                    IssuedSuggestion(s.uuid, s.order_code(self._versions.order_system))
                    for s in card.suggestions or ()
                ),
            )
            for card in cards
        ]

    def findings(
        self, client: str, request: HookRequest, decision: Decision
    ) -> list[ShadowFinding]:
        """The findings in shadow that would have been cards of a call."""
        patient = pseudonym(self._key, client, request.patient_id)
        return [
            ShadowFinding(
                finding=str(uuid4()),
                situation=finding.slug,
                hook=request.hook,
                client=client,
                patient=patient,
                found_at=self._now(),
                as_of=decision.assessment.as_of,
                knowledge_version=self._versions.knowledge,
                policy_version=self._policy.version,
                program_version=self._program,
            )
            for finding in decision.withheld
        ]
