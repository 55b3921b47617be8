"""A service with a memory, on a day that the test turns, and an EHR that answers its cards."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, delete
from werkzeug.test import TestResponse

from cds_service import rulebook
from cds_service.app import create_app
from cds_service.database import open_database
from cds_service.database.cards import issued_cards, issued_suggestions
from cds_service.database.feedback import accepted_suggestions, feedback_entries
from cds_service.database.shadow_findings import shadow_findings
from cds_service.ehr import hook_requests
from cds_service.feedback_store import FeedbackStore
from cds_service.settings import Settings
from cds_service.terminology import Terminology
from tests.charts import CANONICAL, PATIENT, REFERENCE, Json, bundle
from tests.databases import ENGINES, migrated

KEY = b"a key of the tests, long enough for it"
_PATIENCE_SECONDS = 60
REASONS = f"{CANONICAL}/fhir/CodeSystem/override-reasons"


@cache
def _terminology() -> Terminology:
    return rulebook.load(CANONICAL).terminology


class Memory:
    """The service and its calls. `day` counts from REFERENCE."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.day = 0
        self.http: FlaskClient = app.test_client()
        self.store: FeedbackStore = app.extensions["feedback_store"]

    def forget(self) -> None:
        """Empty the database."""
        with opened(self) as connection:
            for table in (
                *(accepted_suggestions, feedback_entries, issued_suggestions, issued_cards),
                shadow_findings,
            ):
                connection.execute(delete(table))

    def request(
        self, *chart: Json, hook: str = "patient-view", drafts: Sequence[Json] = ()
    ) -> Json:
        """The call for a chart."""
        return next(hook_requests(bundle(*chart), hook, _terminology(), drafts))

    def fire(
        self,
        *chart: Json,
        hook: str = "patient-view",
        drafts: Sequence[Json] = (),
        user: str | None = None,
        patient_id: str = PATIENT,
    ) -> list[Json]:
        """The cards for a chart on the day; `patient_id` makes it another patient's."""
        request = self.request(*chart, hook=hook, drafts=drafts)
        if user is not None:
            request["context"]["userId"] = user
        body = json.dumps(request).replace(PATIENT, patient_id)
        response = self.http.post(
            f"/cds-services/low-alp-{hook}", data=body, content_type="application/json"
        )
        assert response.status_code == 200, response.text
        cards: list[Json] = response.get_json()["cards"]
        return cards

    def feedback(self, *entries: Any, service: str = "low-alp-patient-view") -> TestResponse:
        """The answer to a feedback call."""
        return self.http.post(f"/cds-services/{service}/feedback", json={"feedback": list(entries)})

    def set_aside(self, card: Json, reason: str, day: int | None = None) -> None:
        """Override a card for a reason of our list."""
        response = self.feedback(overridden(card["uuid"], reason, self.day if day is None else day))
        assert response.status_code == 200, response.text


@contextmanager
def remembering(url: str, policy: Path | None = None) -> Iterator[Memory]:
    """A service on that database, patient with it: the machine may be busy."""
    settings = Settings(auth="off", database_url=url, hash_key=KEY, policy=policy)
    memories: list[Memory] = []

    def today() -> date:
        return REFERENCE + timedelta(days=memories[0].day)

    memory = Memory(create_app(settings, today=today))
    memory.app.config["DATABASE"] = url
    memories.append(memory)
    memory.store.answer_seconds = _PATIENCE_SECONDS
    try:
        yield memory
    finally:
        memory.store.close()


@contextmanager
def opened(memory: Memory) -> Iterator[Connection]:
    """The database of a service, looked at from outside."""
    engine = open_database(memory.app.config["DATABASE"])
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def moment(day: int) -> str:
    """Noon of a day, in UTC."""
    return f"{REFERENCE + timedelta(days=day)}T12:00:00Z"


def overridden(card: str, code: str | None = None, day: int = 0, **override: Any) -> Json:
    """A feedback entry that sets a card aside, for a reason of our list where `code` is given."""
    entry: Json = {"card": card, "outcome": "overridden", "outcomeTimestamp": moment(day)}
    if code is not None:
        override["reason"] = {"system": REASONS, "code": code}
    return {**entry, "overrideReason": override} if override else entry


def accepted(card: Json, *numbers: int, day: int = 0) -> Json:
    """A feedback entry that takes some of the card's suggestions."""
    taken = [{"id": card["suggestions"][n]["uuid"]} for n in numbers]
    return {
        "card": card["uuid"],
        "outcome": "accepted",
        "outcomeTimestamp": moment(day),
        "acceptedSuggestions": taken,
    }


@pytest.fixture(scope="module", params=ENGINES)
def shared_memory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Memory]:
    """A service for the tests of one module, once on each engine."""
    with remembering(migrated(request, tmp_path_factory.mktemp("memory"))) as found:
        yield found


@pytest.fixture
def memory(shared_memory: Memory) -> Memory:
    """The same with nothing remembered, on REFERENCE."""
    shared_memory.forget()
    shared_memory.day = 0
    return shared_memory
