"""A month of charts opened and orders signed at two clients, answered as busy clinicians would.

`python -m tests.simulated_month FILE` fills an SQLite database, of which `cds-service report` tells.
"""

import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from cds_service import rulebook
from cds_service.clients import Client
from cds_service.database import open_database
from cds_service.database.upgrading import upgrade
from cds_service.ehr import draft_order, hook_requests
from cds_service.feedback_store import FeedbackStore
from cds_service.guidance import Advisor, versions
from cds_service.hooks.card import Card
from cds_service.hooks.feedback import Feedback
from cds_service.hooks.request import ORDER_SIGN, PATIENT_VIEW, decode
from tests.charts import CANONICAL, REFERENCE, Json
from tests.remembering import KEY, REASONS

BEGIN = datetime(2026, 10, 5, 7, tzinfo=UTC)
DAYS = 31
CALLS = 1200
_PATIENTS = Path(__file__).parent.parent / "fhir_fixtures" / "patients"
_CLIENTS = ("university-hospital", "osteoporosis-clinic")


class Clock:
    """The clock on the wall of the simulation."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now


def simulate(url: str, *, calls: int = CALLS, seed: int = 7) -> None:
    """Fill an empty database. The same seed gives the same month, but for the identifiers."""
    chance = random.Random(seed)
    engine = open_database(url)
    upgrade(engine)
    book = rulebook.load(CANONICAL)
    clock = Clock()
    store = FeedbackStore(engine, KEY, book.policy, versions(book), clock)
    advisor = Advisor(book, store=store)
    visits = list(_visits(advisor))
    for moment in sorted(BEGIN + timedelta(days=DAYS * chance.random()) for _ in range(calls)):
        clock.now = moment
        client = Client(chance.choices(_CLIENTS, (3, 1))[0])
        request = _of_patient(chance.choice(visits), f"simulated-{chance.randrange(calls // 2)}")
        answer = advisor.answer(request, REFERENCE, client=client)
        clock.now += timedelta(minutes=3)
        said = [f for card in answer.response.cards for f in _said(chance, card, clock.now)]
        store.keep(client.name, f"low-alp-{request.hook}", said)
    lost = Feedback("lost-card", "overridden", clock.now)
    store.keep(_CLIENTS[0], "low-alp-patient-view", [lost])
    store.close()


def _visits(advisor: Advisor) -> Iterator[Json]:
    """Every bundled patient's chart opened twice as often as alendronate is ordered."""
    book = advisor.rulebook
    for path in sorted(_PATIENTS.glob("*.json")):
        chart = json.loads(path.read_text(encoding="utf-8"))
        yield from [*hook_requests(chart, PATIENT_VIEW, book.terminology, [])] * 2
        drafts = [draft_order("alendronate", book.drug_list)]
        yield from hook_requests(chart, ORDER_SIGN, book.terminology, drafts)


def _of_patient(visit: Json, name: str) -> Any:
    body = json.dumps(visit)
    known = visit["context"]["patientId"]
    renamed = body.replace(f'"{known}"', f'"{name}"').replace(
        f'Patient/{known}"', f'Patient/{name}"'
    )
    return decode(renamed.encode(), (visit["hook"],))


def _said(chance: random.Random, card: Card, now: datetime) -> Sequence[Feedback]:
    luck = chance.random()
    if card.suggestions and luck < 0.3:
        taken = [s.uuid for s in card.suggestions if chance.random() < 0.5]
        return [Feedback(card.uuid, "accepted", now, tuple(taken or [card.suggestions[0].uuid]))]
    if luck < 0.55:
        reasons = [r.code for r in card.overrideReasons or ()]
        code = chance.choices(reasons, [2**-n for n in range(len(reasons))])[0]
        comment = "seen in the metabolic clinic in May" if chance.random() < 0.1 else None
        return [Feedback(card.uuid, "overridden", now, (), REASONS, code, comment)]
    if luck < 0.6:
        return [Feedback(card.uuid, "overridden", now, (), "urn:oid:1.2.3.4", "NOT-MY-PATIENT")]
    return [Feedback(card.uuid, "overridden", now)] if luck < 0.65 else []


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def main(file: Path) -> None:
    """Fill an SQLite database with a simulated month."""
    simulate(f"sqlite:///{file}")


if __name__ == "__main__":
    main()
