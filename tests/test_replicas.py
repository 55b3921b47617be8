"""Two replicas on one database share tokens, snoozes and feedback; a killed worker loses none of it."""

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
import requests

from tests.charts import Json
from tests.conftest import slug
from tests.databases import PostgreSQL
from tests.remembering import KEY, accepted, moment, overridden
from tests.serving import TODAY
from tests.signing import VIEW, Signer
from tests.soak.patients import LOW, Requests
from tests.soak.site import Replicas, signed
from tests.soak.table import in_database
from tests.test_cli import run

EHR = Signer("https://ehr.hospital.example")
FEEDBACK = f"{VIEW}/feedback"
PATIENCE_SECONDS = 60


class Site:
    """The replicas, and the EHR that calls them."""

    def __init__(self, replicas: Replicas, url: str, settings: dict[str, str]) -> None:
        self.replicas = replicas
        self.url = url
        self.settings = {**settings, "CDS_DATABASE_URL": url, "CDS_HASH_KEY": KEY.decode()}
        self.requests = Requests()

    def post(
        self, replica: int, path: str, body: Any, token: dict[str, str] | None = None
    ) -> requests.Response:
        address = f"http://127.0.0.1:{self.replicas.servers[replica].port}{path}"
        header = EHR.bearer(path) if token is None else token
        return requests.post(address, json=body, headers=header, timeout=PATIENCE_SECONDS)

    def view(self, replica: int, who: str) -> list[Json]:
        """The cards for a patient with a persistently low ALP."""
        answer = self.post(replica, VIEW, self.requests.prefetched(LOW, who))
        assert answer.status_code == 200, answer.text
        cards: list[Json] = answer.json()["cards"]
        return cards

    def remembered(self, replica: int, who: str) -> Json:
        """A card that went out and is known; a busy machine may give out one that memory missed."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            (card,) = self.view(replica, who)
            known = self.post(1 - replica, FEEDBACK, {"feedback": [accepted(card, 0, day=TODAY)]})
            if known.json() == {"received": 1, "unknownCards": 0}:
                return card
        pytest.fail("memory is never in time")

    def asleep(self, replica: int, who: str) -> bool:
        """Whether the patient's card stays quiet; asked again when memory may not have been in time."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            before = self.replicas.failures("recall")
            if not self.view(replica, who):
                return True
            time.sleep(0.05)  # for the line of the log to be read
            if self.replicas.failures("recall") == before:
                return False
        pytest.fail("memory is never in time")

    def report(self) -> Json:
        """`cds-service report` with the settings of the replicas."""
        told = run("report", "--comments", "--format", "json", settings=self.settings)
        assert told.exit_code == 0, told.output
        found: Json = json.loads(told.stdout)
        return found


def _low(told: Json) -> int:
    """How many cards on a persistently low ALP were taken, by the report."""
    rows = told.get("situations", [])
    return sum(row["accepted"] for row in rows if row["id"] == "persistent-low-alp")


@pytest.fixture(scope="module")
def site(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    url = postgresql.migrated()
    settings = signed(tmp_path_factory.mktemp("site"), EHR)
    replicas = Replicas(url, 2, settings)
    try:
        yield Site(replicas, url, settings)
    finally:
        replicas.close()


def test_of_two_replicas_asked_at_once_one_takes_the_token(site: Site) -> None:
    with ThreadPoolExecutor(2) as both:
        for _ in range(20):
            token = EHR.bearer(VIEW)
            answers = both.map(lambda n, t=token: site.post(n, VIEW, {}, t), (0, 1))
            assert sorted(a.status_code for a in answers) == [400, 401]


def test_a_card_set_aside_through_one_replica_sleeps_at_the_other(site: Site) -> None:
    card = site.remembered(0, "sleeper")
    assert [slug(card)] == ["persistent-low-alp"]
    assert not site.asleep(1, "sleeper"), "accepted is not set aside"
    said = overridden(card["uuid"], "already-evaluated")
    said["outcomeTimestamp"] = f"{moment(TODAY)[:10]}T23:59:59Z"  # the last word
    answer = site.post(1, FEEDBACK, {"feedback": [said]})
    assert answer.json() == {"received": 1, "unknownCards": 0}
    assert site.asleep(0, "sleeper")
    assert site.asleep(1, "sleeper")
    assert not site.asleep(0, "somebody-else")


def test_feedback_through_either_replica_is_in_the_report(site: Site) -> None:
    taken = _low(site.report())
    comments = {uuid4().hex, uuid4().hex}
    for replica, comment in enumerate(sorted(comments)):
        card = site.remembered(replica, f"reported-{replica}")
        said = {
            **overridden(card["uuid"], None, TODAY - 1),
            "overrideReason": {"userComment": comment},
        }
        assert site.post(replica, FEEDBACK, {"feedback": [said]}).json()["unknownCards"] == 0
    told = site.report()
    assert all(comment in json.dumps(told) for comment in comments)
    assert _low(told) == taken + 2


def test_a_worker_killed_under_load_costs_no_feedback_and_no_server(site: Site) -> None:
    acknowledged: set[str] = set()
    over = Event()
    dead = site.replicas.servers[0].workers()

    def send(replica: int) -> int:
        cut = 0
        while not over.is_set():
            comment = uuid4().hex
            said = overridden(str(uuid4()), None, TODAY, userComment=comment)
            try:
                answer = site.post(replica, FEEDBACK, {"feedback": [said]})
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                cut += 1  # before its answer, or in the midst of it
                continue
            assert answer.status_code == 200, answer.text
            acknowledged.add(comment)
        return cut

    def grown_by(entries: int) -> None:
        goal, until = len(acknowledged) + entries, time.monotonic() + PATIENCE_SECONDS
        while len(acknowledged) < goal:
            assert time.monotonic() < until
            time.sleep(0.005)

    with ThreadPoolExecutor(6) as clients:
        sent = [clients.submit(send, replica) for replica in (0, 0, 0, 0, 1, 1)]
        try:
            for worker in dead:
                grown_by(20)
                os.kill(worker, signal.SIGKILL)
            grown_by(40)
        finally:
            over.set()
    cut = [future.result() for future in sent]
    assert sum(cut[:4]) <= 4 * len(dead), "each client loses what the dead worker had of it"
    assert cut[4:] == [0, 0], "the other replica is none the wiser"
    assert acknowledged <= in_database(site.url)
    alive = site.replicas.servers[0].workers()
    assert len(alive) == len(dead)
    assert not set(alive) & set(dead), "dead workers are replaced"
