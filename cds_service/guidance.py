"""From a call to its answer: the only place where reading, deciding and wording meet."""

from datetime import date
from uuid import uuid4

import msgspec

from cds_service.assessment import Assessment, Call
from cds_service.card_text import detail, fixed_text
from cds_service.card_text.speaker import Speaker
from cds_service.clients import OPEN, Client
from cds_service.decision import Decision, Finding, decide
from cds_service.errors import DataUnavailable
from cds_service.feedback_store import FeedbackStore, Versions, open_store
from cds_service.fhir.access import FhirAccess
from cds_service.fhir.budget import Limits
from cds_service.fhir.drafts import read_drafts
from cds_service.fhir.reader import ReadingAids, read_record
from cds_service.fhir.unknown_alp import observe_alp
from cds_service.gathering import Gathering
from cds_service.hooks.card import (
    EXTENSION,
    Action,
    Card,
    Coding,
    Link,
    Response,
    Source,
    Suggestion,
)
from cds_service.hooks.request import ORDER_HOOKS, HookRequest
from cds_service.observer import NOBODY, Observer
from cds_service.orders import DraftOrders
from cds_service.record import PatientRecord
from cds_service.rulebook import Rulebook, load
from cds_service.rulebook.situation import Situation, conditions
from cds_service.settings import Settings


class Answer(msgspec.Struct, frozen=True):
    """What goes out, and the decision behind it."""

    response: Response
    decision: Decision


def start(settings: Settings, observer: Observer = NOBODY) -> "Advisor":
    """An advisor for these settings, its knowledge loaded and its draft orders checked.

    Raises KnowledgeError when knowledge, site policy or a draft order is wrong.
    """
    fhir = FhirAccess(Limits(settings.fhir_timeout, settings.fhir_budget), observer)
    book = load(settings.canonical_url, settings.policy)
    advisor = Advisor(book, fhir=fhir, observer=observer, base_url=settings.base_url)
    advisor.drafts.check()
    return advisor


def start_with_memory(
    settings: Settings, key: bytes, *, read_only: bool = False, observer: Observer = NOBODY
) -> tuple["Advisor", FeedbackStore]:
    """The same with its memory. `key` is the secret of the pseudonyms; read only, it learns nothing.

    Raises KnowledgeError as `start` does, and when the schema is not that of this version.
    """
    advisor = start(settings, observer)
    book = advisor.rulebook
    store = open_store(
        settings.database_url,
        key,
        book.policy,
        versions(book),
        read_only=read_only,
        observer=observer,
    )
    remembering = Advisor(
        book, fhir=advisor.fhir, store=store, observer=observer, base_url=settings.base_url
    )
    return remembering, store


def versions(rulebook: Rulebook) -> Versions:
    """What memory has to know of the rules."""
    return Versions(rulebook.about.version, rulebook.order_system, rulebook.override_system)


class Advisor:
    """Answers calls with one rulebook. Built once; safe to share between threads."""

    def __init__(
        self,
        rulebook: Rulebook,
        *,
        fhir: FhirAccess | None = None,
        store: FeedbackStore | None = None,
        observer: Observer = NOBODY,
        base_url: str | None = None,
    ) -> None:
        """`fhir` is how FHIR servers are reached; without a `store` nothing is remembered.

        `base_url`: where this service is reached; needed for clients with SMART links only.
        """
        self.rulebook = rulebook
        self.fhir = fhir or FhirAccess()
        self._store = store
        self._observer = observer
        self._launch_url = f"{base_url}/smart/launch" if base_url else None
        self.drafts = DraftOrders(rulebook)
        self._fixed = {
            slug: fixed_text(situation, rulebook)
            for slug, situation in rulebook.situations.items()
            if situation.kind != "silence"
        }
        self.aids = ReadingAids(
            rulebook.terminology, rulebook.units, rulebook.drug_list, rulebook.order_system
        )
        self._gathering = Gathering(rulebook, self.aids, self.fhir)

    def close(self) -> None:
        """Let go of the database."""
        if self._store is not None:
            self._store.close()

    def answer(
        self,
        request: HookRequest,
        as_of: date,
        *,
        client: Client = OPEN,
        explain: bool = False,
        everything: bool = False,
    ) -> Answer:
        """The cards for one call by `client`; `everything` fetches also what no card needs.

        Raises DataUnavailable when required data neither came with it nor can be had.
        """
        data = self._gathering.gathered(request, as_of, client, everything=everything)
        record = read_record(
            data.patient,
            data.entries,
            self.aids,
            unread=data.unread,
            unknown=data.unknown,
            fhir_server=request.fhir_server,
        )
        observe_alp(data, record, self.aids.terminology, self._observer)
        _require_readable_alp(record, data.alp_entries)
        call = Call(request.hook, as_of, request.lay_user)
        if request.hook in ORDER_HOOKS:
            drafts = read_drafts(
                request.draft_orders,
                request.selections,
                request.patient_id,
                data.entries,
                self.aids,
                request.fhir_server,
            )
            record = msgspec.structs.replace(record, orders=(*record.orders, *drafts.tests))
            call = msgspec.structs.replace(call, draft=drafts.draft)
        decision = self._decide(record, call, explain)
        if self._store is None or decision.primary is None:
            cards = self.cards(decision, request.encounter_id)
            return Answer(Response(self._linked(cards, request.hook, client)), decision)
        # Asked only when there is a card: most calls never wait for memory.
        snoozes, shown = self._store.recall(client.name, request)
        if snoozes or shown:
            call = msgspec.structs.replace(call, snoozes=snoozes, shown=shown)
            decision = self._decide(record, call, explain)
        cards = self.cards(decision, request.encounter_id)
        if cards:
            self._store.remember(client.name, request, cards, decision.assessment)
        return Answer(Response(self._linked(cards, request.hook, client)), decision)

    def _linked(self, cards: tuple[Card, ...], hook: str, client: Client) -> tuple[Card, ...]:
        """The cards with the link that opens the timeline, for a client that launches it."""
        if not client.smart_links or self._launch_url is None:
            return cards
        return tuple(_linked(card, hook, self._launch_url) for card in cards)

    def _decide(self, record: PatientRecord, call: Call, explain: bool) -> Decision:
        return decide(
            record,
            call,
            rows=self.rulebook.rows,
            drugs=self.rulebook.drugs,
            policy=self.rulebook.policy,
            explain=explain,
        )

    def cards(self, decision: Decision, encounter_id: str | None) -> tuple[Card, ...]:
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
        situation = self.rulebook.situations[finding.slug]
        speaker = Speaker(a, raised=finding.level == "raised")
        suggestions, notes = self._suggestions(situation, speaker, a, encounter_id, offered)
        summary = speaker.first(situation.headlines)
        if summary is None:
            raise LookupError(f"the summary of {finding.slug} speaks of something not on record")
        rulebook = self.rulebook
        primary = rulebook.citations[situation.citations[0]]
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
        for offer in situation.orders:
            if offer.code in offered or not speaker.holds(conditions(offer.when)):
                continue
            order = self.drafts[offer.code]
            needless = self.drafts.needless(offer.code, a)
            if needless is not None:
                notes[offer.code] = f"Not offered: {order.label} ({needless})."
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


def _linked(card: Card, hook: str, launch_url: str) -> Card:
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


def _require_readable_alp(record: PatientRecord, sent: int) -> None:
    """ALP results of which none could be read are results that did not come."""
    broken = [u for u in record.unread if u.where.startswith("alp")]
    if broken and not record.alp:
        raise DataUnavailable(
            f"Prefetch key 'alp' holds results, but none that could be read: {broken[0].where}:"
            f" {broken[0].reason}.",
            where="prefetch.alp",
        )
    if sent and not record.alp_seen and not broken:
        raise DataUnavailable(
            "Prefetch key 'alp' holds results, but none with a code of its template: send what the"
            " template asks for, or add the laboratory's own code to the site policy.",
            where="prefetch.alp",
        )
