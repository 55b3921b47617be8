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

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime

from flask import Flask

from cds_service import rulebook
from cds_service.canary import Canary
from cds_service.clients import OPEN, Client
from cds_service.database import open_database
from cds_service.database.readiness import database_probe
from cds_service.guidance import Advisor
from cds_service.metrics import Metrics
from cds_service.settings import Settings
from cds_service.web import operations, problems, services
from cds_service.web.health import Probe

NO_PROBES: Mapping[str, Probe] = {}
CANARY = "canary"
"""Where the application keeps its canary, among its extensions."""


def create_app(
    settings: Settings,
    *,
    today: Callable[[], date] | None = None,
    metrics: Metrics | None = None,
    probes: Mapping[str, Probe] = NO_PROBES,
) -> Flask:
    """A Flask application. `today` is the clock; tests and the demo give their own.

    `metrics` outlives a reload; `probes` are further parts that have to be ready. Raises
    KnowledgeError when the knowledge or the site policy is wrong.
    """
    metrics = metrics or Metrics()
    advisor = Advisor(rulebook.load(settings.canonical_url, settings.policy), observer=metrics)
    engine = open_database(settings.database_url)
    canary = Canary(
        _under_built_in_policy(advisor, settings), advisor, operations.canary_note(metrics)
    )
    app = Flask("cds_service", static_folder=None)
    app.extensions[CANARY] = canary
    parts = {
        "knowledge": _ready,  # this application would not be there without it
        "database": database_probe(engine),
        "keys": _ready,
        "canary": operations.canary_probe(canary),
        **probes,
    }
    operations.install(app, settings, metrics, parts)
    # One byte more than is accepted: a body without a length is cut off there, and shows it.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes + 1
    app.url_map.merge_slashes = False
    app.register_blueprint(
        services.blueprint(advisor, _nobody_asked, today or _today, settings.max_body_bytes)
    )
    problems.install(app)
    return app


def _under_built_in_policy(advisor: Advisor, settings: Settings) -> Advisor:
    if settings.policy is None:
        return advisor
    return Advisor(rulebook.load(settings.canonical_url))


def _ready() -> None:
    return None


def _nobody_asked() -> Client:
    """While client authentication is off, whoever calls is the one open client."""
    return OPEN


def _today() -> date:
    return datetime.now(UTC).date()
