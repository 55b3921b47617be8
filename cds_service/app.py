"""The application: one straight way from a call to its cards.

POST /cds-services/<id>
   │ web.services      who calls? read JSON                                  → HookRequest
   │ gathering         fhir.prefetch: satisfied? null? OperationOutcome? omitted, so
   │                   fhir.completing: searched for, where a row needs it; or 412       → resources
   │ fhir.reader       FHIR → facts, one entry at a time; names what it cannot read → PatientRecord
   │ assessment        ALP series, exposure, work-up, context                → Assessment   (pure)
   │ decision          first situation, by priority, that holds, and why     → Decision     (pure)
   │ feedback_store    a card? set aside here, or seen by this user → decided once more with these facts
   │ guidance          decision + knowledge (words, orders, sources)         → Card
   ▼ hooks.card                                                              → JSON
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime

from flask import Blueprint, Flask

from cds_service import guidance, rulebook
from cds_service.canary import Canary
from cds_service.clients import Client
from cds_service.database import Engine
from cds_service.database.readiness import database_probe
from cds_service.database.smart_sessions import SmartSessions
from cds_service.guidance import Advisor
from cds_service.metrics import Metrics
from cds_service.settings import Settings
from cds_service.web import description, feedback, operations, problems, services, trust
from cds_service.web.access import caller
from cds_service.web.health import Probe
from cds_service.web.pages import assets, front, knowledge, smart, terminology

NO_PROBES: Mapping[str, Probe] = {}
CANARY = "canary"
"""Where the application keeps its canary, among its extensions."""


def create_app(
    settings: Settings,
    *,
    today: Callable[[], date] | None = None,
    random_key: bytes | None = None,
    metrics: Metrics | None = None,
    probes: Mapping[str, Probe] = NO_PROBES,
    at_root: Blueprint | None = None,
) -> Flask:
    """A Flask application. `today` is the clock; tests and the demo give their own.

    `random_key` names patients where CDS_HASH_KEY is not set, and `metrics` count: both outlive a
    reload. `probes` are further parts that have to be ready. `at_root` are pages that begin at `/`,
    in place of the lines there that say where to go. Raises KnowledgeError when the knowledge, the
    site policy, settings or clients are wrong.
    """
    metrics = metrics or Metrics()
    trusted = trust.trusted_clients(settings)
    tokens = trust.token_check(settings, trusted)
    key = settings.hash_key or random_key or secrets.token_bytes(32)
    advisor, store = guidance.start_with_memory(settings, key, observer=metrics)
    canary = _canary(advisor, settings, metrics)
    app = Flask("cds_service", static_folder=None)
    app.extensions[CANARY] = canary
    parts = {
        "knowledge": _ready,  # this application would not be there without it
        "database": database_probe(store.engine),
        "keys": trust.keys_probe(tokens),
        "canary": operations.canary_probe(canary),
        **probes,
    }
    operations.install(app, settings, metrics, parts)
    # One byte more than is accepted: a body without a length is cut off there, and shows it.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes + 1
    app.url_map.merge_slashes = False
    trust.install(app, settings, trusted, key, store.engine, tokens)
    app.register_blueprint(description.blueprint())
    app.register_blueprint(
        services.blueprint(
            advisor, caller, today or _today, settings.max_body_bytes, settings.max_entries
        )
    )
    app.register_blueprint(
        feedback.blueprint(store, caller, settings.max_body_bytes, settings.max_entries)
    )
    app.extensions["feedback_store"] = store
    for pages in (
        assets.blueprint(),
        at_root or front.blueprint(),
        knowledge.blueprint(advisor.rulebook),
        terminology.blueprint(advisor.rulebook),
        *_smart_app(settings, advisor, trusted.clients, store.engine, today or _today),
    ):
        app.register_blueprint(pages)
    problems.install(app)
    return app


def _canary(advisor: Advisor, settings: Settings, metrics: Metrics) -> Canary:
    """Canary patients are asked by the same rules, but neither remembered, snoozed nor counted."""
    in_force = Advisor(advisor.rulebook)
    built_in = (
        in_force if settings.policy is None else Advisor(rulebook.load(settings.canonical_url))
    )
    return Canary(built_in, in_force, operations.canary_note(metrics))


def _ready() -> None:
    return None


def _smart_app(
    settings: Settings,
    advisor: Advisor,
    clients: tuple[Client, ...],
    engine: Engine,
    today: Callable[[], date],
) -> Iterator[Blueprint]:
    """The timeline as a SMART app, where any client has links to it."""
    if smart.check(clients, settings.base_url):
        # Without memory: what is only looked at again is no card that went out.
        shown = Advisor(advisor.rulebook, fhir=advisor.fhir)
        sessions, base_url = SmartSessions(engine), settings.base_url or ""
        yield smart.blueprint(shown, clients, sessions, base_url, today)


def _today() -> date:
    return datetime.now(UTC).date()
