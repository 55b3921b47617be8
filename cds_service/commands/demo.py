"""The demonstration: the real service on loopback, and an EHR that fires hooks at it."""

import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.markup import escape

from cds_service.app import create_app
from cds_service.bundled_patients import chart
from cds_service.commands import plain_calls, terminal
from cds_service.commands.loopback import CannotStart, serving
from cds_service.commands.refusal import Refusal, advisor_for, settings_in_force
from cds_service.decision import Decision
from cds_service.ehr import Json, draft_order, hook_requests
from cds_service.errors import KnowledgeError
from cds_service.guidance import Advisor
from cds_service.hooks.card import Card
from cds_service.hooks.request import ORDER_SIGN, PATIENT_VIEW, decode
from cds_service.settings import Settings
from cds_service.web.pages import sandbox
from cds_service.web.pages.visits import Exchange

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

AS_OF = date(2026, 11, 1)
"""The bundled patients live on this day, whatever day it is outside."""
_IN_FULL = (("persistent-low-alp", None),)
"""The patient whose card is shown whole."""
_SHOWN = (
    ("low-explained-by-antiresorptive", None),
    ("low-before-antiresorptive", None),
    ("suspect-specimen", None),
    ("child-single-low-alp", None),
    ("normal-alp", None),
    ("persistent-low-alp", "alendronate"),
    ("specialist-managed", "denosumab"),
    ("normal-alp", "alendronate"),
)
"""More patients whose chart is opened, and drugs that are then signed for them: a few lines each."""
_TIMEOUT_SECONDS = 10


class Ehr:
    """The record system of the demonstration: posts to the service over HTTP."""

    base = ""

    def send(self, path: str, body: Json) -> Exchange:
        """Post to a path of the service."""
        sent = json.dumps(body).encode()  # a number that was typed may be of any size
        response = plain_calls.post(self.base + path, sent, _TIMEOUT_SECONDS)
        return Exchange(path, body, response.status_code, response.text)


@click.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--once", is_flag=True, help="Print the cards and exit.")
def demo(port: int, once: bool) -> None:
    """Try it: the service on loopback, with a sandbox EHR.

    Prints the cards of several bundled patients, and stays up.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            memory = f"sqlite:///{folder}/demo.sqlite3"
            settings = msgspec.structs.replace(settings_in_force(), auth="off", database_url=memory)
            run(settings, Console(), port=port, stay=not once)
    except (CannotStart, KnowledgeError) as error:
        raise Refusal(str(error)) from error


def run(settings: Settings, console: Console, *, port: int, stay: bool) -> None:
    """Serve the bundled patients on loopback, show several cards, and stay up if asked."""
    advisor, ehr = advisor_for(settings), Ehr()
    app = sandbox_app(settings, advisor, ehr)
    with serving(app, port) as server, suppress(KeyboardInterrupt):
        base = ehr.base = f"http://127.0.0.1:{server.server_port}"
        console.print(f"It lives on {AS_OF.isoformat()}, the day of the bundled patients.")
        if stay:
            _tell_addresses(console, base)
        for title, request in _hook_requests(advisor, _IN_FULL):
            console.rule(escape(title))
            terminal.show_cards(console, _cards(ehr, title, request))
        console.rule("More calls, in short")
        for title, request in _hook_requests(advisor, _SHOWN):
            cards = _cards(ehr, title, request)
            terminal.show_in_short(console, title, cards)
            if not cards:
                terminal.show_silence(console, _decided(advisor, request))
        if not stay:
            return
        console.rule()
        _tell_addresses(console, base)
        console.print("Press Ctrl-C to end it.")
        threading.Event().wait()
    console.print("Ended.")


def sandbox_app(settings: Settings, advisor: Advisor, ehr: Ehr) -> "WSGIApplication":
    """The service as it is in production, and beside it the pages of the sandbox EHR."""
    pages = sandbox.blueprint(advisor, ehr.send, lambda: AS_OF)
    return create_app(settings, today=lambda: AS_OF, at_root=pages)


def _tell_addresses(console: Console, base: str) -> None:
    for told, path in (
        ("Open the sandbox EHR at", "/"),
        ("The service answers at", "/cds-services"),
    ):
        console.print(f"{told} [bold]{base}{path}[/bold]", highlight=False)


def _hook_requests(
    advisor: Advisor, calls: Sequence[tuple[str, str | None]]
) -> Iterator[tuple[str, Json]]:
    book = advisor.rulebook
    for name, drug in calls:
        hook = ORDER_SIGN if drug else PATIENT_VIEW
        drafts = [draft_order(drug, book.drug_list)] if drug else []
        title = f"{name} · {hook}{f', {drug} drafted' if drug else ''}"
        for request in hook_requests(chart(name), hook, book.terminology, drafts):
            yield title, request


def _cards(ehr: Ehr, title: str, request: Json) -> list[Card]:
    """The cards that the service answers with, over HTTP."""
    exchange = ehr.send(f"/cds-services/low-alp-{request['hook']}", request)
    if not exchange.accepted or exchange.answer is None:
        raise CannotStart(f"{title}: the service answered {exchange.status}")
    return [msgspec.convert(card, Card) for card in exchange.answer["cards"]]


def _decided(advisor: Advisor, request: Json) -> Decision:
    """The decision behind an answer: on the wire an answer without a card gives no reason."""
    asked = decode(msgspec.json.encode(request), (request["hook"],))
    return advisor.answer(asked, AS_OF).decision
