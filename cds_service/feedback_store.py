"""Memory: cards that went out, what clinicians made of them, and what stays quiet because of it.

A card never waits long for memory and is never lost for lack of it: what goes wrong there is logged
and counted, and the answer goes out. Feedback is the other way round: it is acknowledged only once it
is kept.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from cds_service.database import begin_unsynced, open_database
from cds_service.database.bounded import Bounded, Busy
from cds_service.database.cards import keep_cards
from cds_service.database.counts import Counts
from cds_service.database.feedback import keep_feedback, known_cards
from cds_service.database.schema import make_ready
from cds_service.database.shadow_findings import keep_findings
from cds_service.decision import Decision
from cds_service.errors import KnowledgeError, MemoryUnavailable
from cds_service.hooks.card import Card
from cds_service.hooks.feedback import Feedback
from cds_service.hooks.request import PATIENT_VIEW, HookRequest
from cds_service.observer import NOBODY, Observer
from cds_service.policy import Policy
from cds_service.recalled import Recall, Recalled
from cds_service.written import Scribe, Versions

_log = logging.getLogger("cds_service")
_ANSWER_SECONDS = 0.25
_FEEDBACK_SECONDS = 5
_THREADS = 16
# A database that comes back with the schema of another version is a KnowledgeError.
_FAILURES = (SQLAlchemyError, OSError, TimeoutError, Busy, KnowledgeError)


class Receipt(msgspec.Struct, frozen=True, rename="camel"):
    """What became of a feedback call."""

    received: int
    unknown_cards: int
    """Entries about cards that this client was not given, or of which the record was lost."""


class FeedbackStore:
    """What the service remembers. Safe to share between threads; may be made before a fork."""

    def __init__(
        self,
        engine: Engine,
        key: bytes,
        policy: Policy,
        versions: Versions,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        read_only: bool = False,
        observer: Observer = NOBODY,
    ) -> None:
        """`key` is the secret of the pseudonyms and marks. Read only, nothing is remembered."""
        self.counts = Counts()
        self._observer = observer
        self.answer_seconds = _ANSWER_SECONDS
        """How long a card waits for memory, once to recall and once to remember."""
        self._ready = False
        self.engine = engine
        self._now = now
        self._scribe = Scribe(key, policy, versions, now)
        self._recall = Recall(key, policy, versions.override_system, now)
        self._read_only = read_only
        self._bounded = Bounded(_THREADS)

    def prepare(self) -> None:
        """See that the schema is there; tried again before each operation until it is.

        Raises KnowledgeError when it is not that of this version, SQLAlchemyError or OSError when the
        database cannot be reached.
        """
        if not self._ready:
            make_ready(self.engine)
            self._ready = True

    def recall(self, client: str, request: HookRequest) -> Recalled:
        """What was set aside for this patient, and shown to this user; nothing when it cannot be had."""
        if request.hook != PATIENT_VIEW:
            return (), ()

        def work() -> Recalled:
            self.prepare()
            with self.engine.connect() as connection:
                return self._recall.of(connection, client, request)

        try:
            found = self._bounded.run(work, self.answer_seconds)
        except _FAILURES as error:
            self._note("recall", error)
            return (), ()
        self.counts.add("recall", "done")
        return found

    def remember(
        self, client: str, request: HookRequest, cards: Sequence[Card], decision: Decision
    ) -> None:
        """Keep which cards went out, and what would have, in shadow: both or neither.

        What fails is logged and counted, never raised.
        """
        if self._read_only or not (cards or decision.withheld):
            return  # most calls never wait for memory
        issued = self._scribe.cards(client, request, cards, decision)
        findings = self._scribe.findings(client, request, decision)

        def work() -> None:
            self.prepare()
            with begin_unsynced(self.engine) as connection:
                if issued:
                    keep_cards(connection, issued)
                if findings:
                    keep_findings(connection, findings)

        try:
            self._bounded.run(work, self.answer_seconds)
        except _FAILURES as error:
            self._note("remember", error)
        else:
            self.counts.add("remember", "done")

    def keep(self, client: str, service: str, entries: Sequence[Feedback]) -> Receipt:
        """Keep feedback, all of it or nothing. Raises MemoryUnavailable when that is not certain."""
        try:
            receipt = self._bounded.run(
                lambda: self._keep(client, service, entries), _FEEDBACK_SECONDS
            )
        except _FAILURES as error:
            self._note("feedback", error)
            raise MemoryUnavailable(
                "The feedback could not be kept just now; please send the same call again later."
            ) from error
        self.counts.add("feedback", "done")
        return receipt

    def close(self) -> None:
        """Let go of every connection. The store may still be used, and opens new ones."""
        self._bounded.settle(_FEEDBACK_SECONDS)  # work given up by its caller may still go on
        self.engine.dispose()

    def _keep(self, client: str, service: str, entries: Sequence[Feedback]) -> Receipt:
        if not entries:
            return Receipt(0, 0)
        self.prepare()
        # Read and write apart: a transaction of SQLite that began by reading may not wait to write.
        with self.engine.connect() as connection:
            known = known_cards(connection, client, entries)
        with self.engine.begin() as connection:
            keep_feedback(
                connection,
                client,
                service,
                entries,
                known=frozenset(known),
                received_at=self._now(),
            )
        for entry in entries:
            self._observer.feedback(entry.outcome, known.get(entry.card))
        return Receipt(len(entries), sum(e.card not in known for e in entries))

    def _note(self, operation: str, error: Exception) -> None:
        """The kind of the failure alone: a database's message quotes what was to be written."""
        cause = _cause(error)
        self.counts.add(operation, cause)
        self._observer.memory_failure(operation)
        _log.warning("memory failed operation=%s cause=%s", operation, cause)


def open_store(
    url: str,
    key: bytes,
    policy: Policy,
    versions: Versions,
    *,
    read_only: bool = False,
    observer: Observer = NOBODY,
) -> FeedbackStore:
    """The store on that database, which need not be there: it is tried again at each operation.

    Raises KnowledgeError when its schema is not that of this version, or its driver is not installed.
    """
    try:
        engine = open_database(url, patience_seconds=_FEEDBACK_SECONDS)
    except ImportError as error:
        raise KnowledgeError(
            "CDS_DATABASE_URL names PostgreSQL, but its driver is not installed:"
            " pip install 'low-alp-cds[postgresql]'"
        ) from error
    store = FeedbackStore(engine, key, policy, versions, read_only=read_only, observer=observer)
    try:
        store.prepare()
    except (SQLAlchemyError, OSError) as error:
        observer.memory_failure("open")
        _log.warning(
            "memory failed operation=open cause=%s; until it is back nothing is remembered,"
            " and clients get 503 (with CDS_AUTH=off cards go out)",
            _cause(error),
        )
    finally:
        store.close()  # a server forks: no connection may be shared
    return store


def _cause(error: Exception) -> str:
    """The database's own name for it, where there is one."""
    return type(getattr(error, "orig", None) or error).__name__
