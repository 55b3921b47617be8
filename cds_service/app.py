"""The application: one straight way from a call to its cards.

POST /cds-services/<id>
   │ web.services      read JSON                                             → HookRequest
   │ fhir.prefetch     satisfied? null? OperationOutcome? omitted, or 412    → resources
   │ fhir.reader       FHIR → facts, one entry at a time; names what it cannot read → PatientRecord
   │ assessment        ALP series, exposure, work-up, context                → Assessment   (pure)
   │ decision          first situation, by priority, that holds, and why     → Decision     (pure)
   │ guidance          decision + knowledge (words, orders, sources)         → Card
   ▼ hooks.card                                                              → JSON
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime

from flask import Blueprint, Flask

from cds_service import rulebook
from cds_service.clients import OPEN, Client
from cds_service.database import open_database, upgrade
from cds_service.database.smart_sessions import SmartSessions
from cds_service.fhir.chart_reads import read_chart
from cds_service.guidance import Advisor
from cds_service.settings import Settings
from cds_service.web import problems, services
from cds_service.web.pages import assets, knowledge, smart, terminology


def create_app(
    settings: Settings,
    *,
    today: Callable[[], date] | None = None,
    clients: Sequence[Client] = (),
) -> Flask:
    """A Flask application. `today` is the clock; tests and the demo give their own.

    `clients` with SMART links may launch the timeline. Raises KnowledgeError when the knowledge, the
    site policy or a client is wrong.
    """
    book = rulebook.load(settings.canonical_url, settings.policy)
    advisor = Advisor(book, settings.base_url)
    app = Flask("cds_service", static_folder=None)
    # One byte more than is accepted: a body without a length is cut off there, and shows it.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes + 1
    app.url_map.merge_slashes = False
    app.register_blueprint(
        services.blueprint(advisor, _nobody_asked, today or _today, settings.max_body_bytes)
    )
    for pages in (
        assets.blueprint(),
        knowledge.blueprint(advisor.rulebook),
        terminology.blueprint(advisor.rulebook),
        *_smart_app(settings, advisor, clients, today or _today),
    ):
        app.register_blueprint(pages)
    problems.install(app)
    return app


def _smart_app(
    settings: Settings, advisor: Advisor, clients: Sequence[Client], today: Callable[[], date]
) -> Iterator[Blueprint]:
    """The timeline as a SMART app, where any client has links to it."""
    if not smart.check(clients, settings.base_url):
        return
    engine = open_database(settings.database_url)
    upgrade(engine)
    engine.dispose()  # each worker opens its own connections
    sessions = SmartSessions(engine)
    base_url = settings.base_url or ""
    yield smart.blueprint(advisor, clients, sessions, read_chart, base_url, today)


def _nobody_asked() -> Client:
    """While client authentication is off, whoever calls is the one open client."""
    return OPEN


def _today() -> date:
    return datetime.now(UTC).date()
