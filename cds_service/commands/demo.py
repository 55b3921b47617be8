"""The demonstration: the real service on loopback, and an EHR that fires hooks at it."""

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from importlib import resources

import click
import msgspec
import requests
from rich.console import Console
from rich.markup import escape

from cds_service import rulebook
from cds_service.app import create_app
from cds_service.commands import terminal
from cds_service.commands.loopback import CannotStart, serving
from cds_service.commands.refusal import Refusal, settings_in_force
from cds_service.ehr import Json, draft_order, hook_requests
from cds_service.errors import KnowledgeError
from cds_service.hooks.card import Card
from cds_service.hooks.request import ORDER_SIGN, PATIENT_VIEW
from cds_service.settings import Settings

AS_OF = date(2026, 11, 1)
"""The bundled patients live on this day, whatever day it is outside."""
_SHOWN = (
    ("persistent-low-alp", None),
    ("low-explained-by-antiresorptive", None),
    ("low-before-antiresorptive", None),
    ("suspect-specimen", None),
    ("child-single-low-alp", None),
    ("normal-alp", None),
    ("persistent-low-alp", "alendronate"),
    ("specialist-managed", "denosumab"),
    ("normal-alp", "alendronate"),
)
"""Patients whose chart is opened, and drugs that are then signed for them."""
_TIMEOUT_SECONDS = 10


@click.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--once", is_flag=True, help="Print the cards and exit.")
def demo(port: int, once: bool) -> None:
    """Start the service on loopback, fire hooks for bundled patients, and stay up."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            memory = f"sqlite:///{folder}/demo.sqlite3"
            settings = msgspec.structs.replace(settings_in_force(), auth="off", database_url=memory)
            run(settings, Console(), port=port, stay=not once)
    except (CannotStart, KnowledgeError) as error:
        raise Refusal(str(error)) from error


def run(settings: Settings, console: Console, *, port: int, stay: bool) -> None:
    """Serve the bundled patients on loopback, show several cards, and stay up if asked."""
    app = create_app(settings, today=lambda: AS_OF)
    with serving(app, port) as server, suppress(KeyboardInterrupt):
        base = f"http://127.0.0.1:{server.server_port}"
        for title, request in _hook_requests(settings):
            _fire(console, base, title, request)
        console.print(f"\nThe service answers at [bold]{base}/cds-services[/bold]", highlight=False)
        console.print(f"It lives on {AS_OF.isoformat()}, the day of the bundled patients.")
        if not stay:
            return
        console.print("Press Ctrl-C to end it.")
        threading.Event().wait()
    console.print("Ended.")


def _hook_requests(settings: Settings) -> Iterator[tuple[str, Json]]:
    book = rulebook.load(settings.canonical_url, settings.policy)
    folder = resources.files("fhir_fixtures") / "patients"
    for name, drug in _SHOWN:
        bundle = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        hook = ORDER_SIGN if drug else PATIENT_VIEW
        drafts = [draft_order(drug, book.drug_list)] if drug else []
        title = f"{name} · {hook}{f', {drug} drafted' if drug else ''}"
        for request in hook_requests(bundle, hook, book.terminology, drafts):
            yield title, request


def _fire(console: Console, base: str, title: str, request: Json) -> None:
    response = requests.post(
        f"{base}/cds-services/low-alp-{request['hook']}", json=request, timeout=_TIMEOUT_SECONDS
    )
    response.raise_for_status()
    cards = [msgspec.convert(card, Card) for card in response.json()["cards"]]
    console.rule(escape(title))
    terminal.show_cards(console, cards)
    if not cards:
        console.print("  No card: the service looked and found nothing to say.")
