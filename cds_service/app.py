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
from collections.abc import Callable
from datetime import UTC, date, datetime

from flask import Flask

from cds_service import guidance
from cds_service.settings import Settings
from cds_service.web import description, feedback, problems, services, trust
from cds_service.web.access import caller


def create_app(settings: Settings, *, today: Callable[[], date] | None = None) -> Flask:
    """A Flask application. `today` is the clock; tests and the demo give their own.

    Raises KnowledgeError when the knowledge, the site policy, settings or clients are wrong.
    """
    trusted = trust.trusted_clients(settings)
    key = settings.hash_key or secrets.token_bytes(32)
    advisor, store = guidance.start_with_memory(settings, key)
    app = Flask("cds_service", static_folder=None)
    # One byte more than is accepted: a body without a length is cut off there, and shows it.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes + 1
    app.url_map.merge_slashes = False
    trust.install(app, settings, trusted, key, store.engine)
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
    problems.install(app)
    return app


def _today() -> date:
    return datetime.now(UTC).date()
