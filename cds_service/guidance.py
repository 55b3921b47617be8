"""From a call to its answer: the only place where reading, deciding, remembering and wording meet."""

from datetime import date

import msgspec

from cds_service.assessment import Call
from cds_service.cards import Cards, linked
from cds_service.clients import OPEN, Client
from cds_service.decision import Decision, decide
from cds_service.errors import DataUnavailable
from cds_service.feedback_store import FeedbackStore, open_store
from cds_service.fhir.access import FhirAccess
from cds_service.fhir.budget import Limits
from cds_service.fhir.drafts import read_drafts
from cds_service.fhir.reader import ReadingAids, read_record
from cds_service.fhir.unknown_alp import observe_alp
from cds_service.gathering import Gathering
from cds_service.hooks.card import Card, Response
from cds_service.hooks.request import ORDER_HOOKS, HookRequest
from cds_service.observer import NOBODY, Observer
from cds_service.record import PatientRecord
from cds_service.rulebook import Rulebook, load
from cds_service.settings import Settings
from cds_service.written import Versions


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
    advisor.cards.drafts.check()
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
        self.cards = Cards(rulebook)
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
        if self._store is not None and decision.primary is not None:
            # Asked only when there is a card: most calls never wait for memory.
            snoozes, shown = self._store.recall(client.name, request)
            if snoozes or shown:
                call = msgspec.structs.replace(call, snoozes=snoozes, shown=shown)
                decision = self._decide(record, call, explain)
        cards = self.cards.of(decision, request.encounter_id)
        if self._store is not None:
            self._store.remember(client.name, request, cards, decision)
        return self._answer(cards, request.hook, client, decision)

    def _answer(
        self, cards: tuple[Card, ...], hook: str, client: Client, decision: Decision
    ) -> Answer:
        """The answer; a client that launches the timeline gets its link on each card."""
        if client.smart_links and self._launch_url is not None:
            cards = tuple(linked(card, hook, self._launch_url) for card in cards)
        return Answer(Response(cards), decision)

    def _decide(self, record: PatientRecord, call: Call, explain: bool) -> Decision:
        return decide(
            record,
            call,
            rows=self.rulebook.rows,
            drugs=self.rulebook.drugs,
            policy=self.rulebook.policy,
            explain=explain,
        )


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
