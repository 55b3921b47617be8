"""The demonstration: the real service on loopback, and an EHR that fires hooks at it."""

import json
import threading
from collections.abc import Iterator
from datetime import date
from importlib import resources
from typing import TYPE_CHECKING

import msgspec
import requests
from rich.console import Console
from rich.markup import escape
from werkzeug.serving import BaseWSGIServer, make_server

from cds_service.app import create_app
from cds_service.commands import terminal
from cds_service.hooks.card import Card
from cds_service.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

AS_OF = date(2026, 11, 1)
"""The bundled patients live on this day, whatever day it is outside."""
_SHOWN = (
    "persistent-low-alp",
    "low-explained-by-antiresorptive",
    "low-before-antiresorptive",
    "suspect-specimen",
    "child-single-low-alp",
    "normal-alp",
)
_TIMEOUT_SECONDS = 10


class CannotStart(RuntimeError):
    """The demonstration cannot run here; the text says why."""


def run(settings: Settings, console: Console, *, port: int, stay: bool) -> None:
    """Serve the bundled patients on loopback, show several cards, and stay up if asked."""
    app = create_app(settings, today=lambda: AS_OF)
    server = _listen(app, port)
    base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        for name, request in _hook_requests():
            _fire(console, base, name, request)
        console.print(f"\nThe service answers at [bold]{base}/cds-services[/bold]", highlight=False)
        console.print(f"It lives on {AS_OF.isoformat()}, the day of the bundled patients.")
        if stay:
            console.print("Press Ctrl-C to end it.")
            thread.join()
    except KeyboardInterrupt:
        console.print("Ended.")
    finally:
        server.shutdown()


def _listen(app: "WSGIApplication", port: int) -> BaseWSGIServer:
    try:
        return make_server("127.0.0.1", port, app, threaded=True)
    except (OSError, SystemExit) as error:
        raise CannotStart(
            f"port {port} is taken; name another with --port (0 takes any free one)"
        ) from error


def _hook_requests() -> Iterator[tuple[str, bytes]]:
    folder = resources.files("fhir_fixtures") / "requests"
    for name in _SHOWN:
        yield name, (folder / f"{name}.json").read_bytes()


def _fire(console: Console, base: str, name: str, request: bytes) -> None:
    hook = json.loads(request)["hook"]
    response = requests.post(
        f"{base}/cds-services/low-alp-{hook}",
        data=request,
        headers={"Content-Type": "application/json"},
        timeout=_TIMEOUT_SECONDS,
    )
    response.raise_for_status()
    cards = [msgspec.convert(card, Card) for card in response.json()["cards"]]
    console.rule(f"{escape(name)} · {hook}")
    terminal.show_cards(console, cards)
    if not cards:
        console.print("  No card: the service looked and found nothing to say.")
