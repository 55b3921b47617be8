"""The application: one straight way from a call to its cards.

POST /cds-services/<id>
   │ web.services      read JSON                                             → HookRequest
   │ gathering         fhir.prefetch: satisfied? null? OperationOutcome? omitted, so
   │                   fhir.completing: searched for, where a row needs it; or 412       → resources
   │ fhir.reader       FHIR → facts, one entry at a time; names what it cannot read → PatientRecord
   │ assessment        ALP series, exposure, work-up, context                → Assessment   (pure)
   │ decision          first situation, by priority, that holds, and why     → Decision     (pure)
   │ guidance          decision + knowledge (words, orders, sources)         → Card
   ▼ hooks.card                                                              → JSON
"""

from collections.abc import Callable
from datetime import UTC, date, datetime

import msgspec
from flask import Flask

from cds_service import guidance
from cds_service.clients import OPEN
from cds_service.settings import Settings
from cds_service.web import problems, services


def create_app(settings: Settings, *, today: Callable[[], date] | None = None) -> Flask:
    """A Flask application. `today` is the clock; tests and the demo give their own.

    Raises KnowledgeError when the knowledge or the site policy is wrong.
    """
    advisor = guidance.start(settings)
    open_client = msgspec.structs.replace(OPEN, fhir_servers=settings.fhir_servers)
    app = Flask("cds_service", static_folder=None)
    # One byte more than is accepted: a body without a length is cut off there, and shows it.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes + 1
    app.url_map.merge_slashes = False
    app.register_blueprint(
        services.blueprint(advisor, lambda: open_client, today or _today, settings.max_body_bytes)
    )
    problems.install(app)
    return app


def _today() -> date:
    return datetime.now(UTC).date()
