"""A real service on a real port, on the reference day, shared by all tests of a worker."""

import atexit
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import requests
from werkzeug.serving import make_server

from cds_service import rulebook
from cds_service.app import create_app
from cds_service.ehr import hook_requests
from cds_service.guidance import Advisor
from cds_service.settings import Settings
from tests.charts import CANONICAL, REFERENCE, Json, bundle
from tests.databases import database_url, postgresql
from tests.remembering import memory, shared_memory

__all__ = ["CANONICAL", "database_url", "memory", "postgresql", "shared_memory"]


class Client:
    """An EHR that talks to the service over HTTP."""

    def __init__(self, base: str, advisor: Advisor, app: Any = None) -> None:
        self.base = base
        self.advisor = advisor
        self.app = app

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET an address of the service."""
        return requests.get(self.base + path, timeout=10, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        """POST to an address of the service."""
        return requests.post(self.base + path, timeout=10, **options)

    def request(
        self, *chart: Json, hook: str = "patient-view", drafts: Sequence[Json] = ()
    ) -> Json:
        """The hook request that a record system with this chart would send."""
        terminology = self.advisor.rulebook.terminology
        return next(hook_requests(bundle(*chart), hook, terminology, drafts))

    def fire(
        self, *chart: Json, hook: str = "patient-view", drafts: Sequence[Json] = ()
    ) -> list[Json]:
        """The cards for a chart, over HTTP."""
        return self.send(self.request(*chart, hook=hook, drafts=drafts))

    def send(self, request: Json) -> list[Json]:
        """The cards for a hook request, over HTTP."""
        response = self.post(f"/cds-services/low-alp-{request['hook']}", json=request)
        assert response.status_code == 200, response.text
        cards: list[Json] = response.json()["cards"]
        return cards


def quickest(call: Callable[[], object]) -> float:
    """Seconds of the quickest of three calls. Only ratios of these mean anything on a noisy machine."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return min(taken)


def open_settings(**changes: Any) -> Settings:
    """Authentication off, and a database of its own that ends with the tests."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Settings(auth="off", database_url=f"sqlite:///{folder}/memory.sqlite3", **changes)


def slug(card: Json) -> str:
    """The situation of a card."""
    name: str = card["extension"]["org.low-alp-cds.situation"]
    return name


def orders(cards: list[Json]) -> list[str]:
    """The order codes offered by these cards."""
    return [
        action["resource"]["code"]["coding"][0]["code"]
        for card in cards
        for suggestion in card.get("suggestions", [])
        for action in suggestion["actions"]
    ]


@pytest.fixture(scope="session")
def advisor() -> Advisor:
    """The pipeline without HTTP."""
    return Advisor(rulebook.load(CANONICAL))


@pytest.fixture(scope="session")
def service(advisor: Advisor) -> Iterator[Client]:
    """The service over HTTP, without authentication, on REFERENCE."""
    app = create_app(open_settings(), today=lambda: REFERENCE)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Client(f"http://127.0.0.1:{server.server_port}", advisor, app)
    server.shutdown()
    thread.join()
    server.server_close()
