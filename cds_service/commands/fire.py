"""`cds-service fire`: plays the EHR against any FHIR server, from discovery to the cards."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cds_service.app import create_app
from cds_service.bases import Base, read_base
from cds_service.commands import called_service, terminal
from cds_service.commands.called_service import Offered
from cds_service.commands.evaluate import drafted
from cds_service.commands.loopback import serving
from cds_service.commands.prefetching import Fetched, prefetch
from cds_service.commands.refusal import Refusal, advisor_for, settings_in_force
from cds_service.ehr import Json, draft_order, order_context
from cds_service.fhir.grant import AccessToken
from cds_service.hooks.request import HOOKS, ORDER_HOOKS, ORDER_SIGN, PATIENT_VIEW
from cds_service.settings import Settings

_ANY_ADDRESS = ("0.0.0.0/0", "::/0")
"""Whoever names a server on the command line means it, wherever it is."""


@click.command()
@click.option("--fhir-server", required=True, metavar="URL", help="Base URL of the FHIR server.")
@click.option("--patient", required=True, metavar="ID", help="Id of the Patient on that server.")
@click.option("--hook", type=click.Choice(HOOKS), help="Default: patient-view, or order-sign.")
@click.option("--draft", metavar="DRUG", help="Sign an order for this drug (alendronate …).")
@click.option("--service", metavar="URL", help="Base URL of a running service; default: our own.")
@click.option("--token", envvar="FHIR_TOKEN", help="Bearer token; better given as FHIR_TOKEN.")
@click.option("--scope", default="patient/*.read", show_default=True, help="Scope of the token.")
@click.option(
    "--prefetch",
    "keys",
    multiple=True,
    metavar="none|KEY",
    help="Prefetch only this key, or none, and let the service fetch the rest. May be repeated.",
)
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Keep the request.")
@click.option(
    "--timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds for one query.",
)
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day on which our own service lives; default: today.",
)
def fire(
    fhir_server: str,
    patient: str,
    hook: str | None,
    draft: str | None,
    service: str | None,
    token: str | None,
    scope: str,
    keys: tuple[str, ...],
    save: Path | None,
    timeout: float,
    as_of: datetime | None,
) -> None:
    """Play the EHR on a FHIR server, and print the cards.

    Opens a chart, or signs an order.
    """
    console = Console()
    base = _base(fhir_server)
    settings = settings_in_force()
    chosen = hook or (ORDER_SIGN if draft else PATIENT_VIEW)
    call = _call(chosen, patient, draft, settings)
    call["fhirServer"] = base.url
    with _service(service, settings, base, as_of.date() if as_of else None) as address:
        offered = _discovered(console, address, chosen)
        fetched = prefetch(
            console, base, _honoured(offered.prefetch or {}, keys), patient, _token(token), timeout
        )
        _show(console, fetched)
        call["prefetch"] = {key: f.value for key, f in fetched.items() if f.value is not None}
        if save is not None:
            _keep(call, save)
            console.print(f"The hook request is kept in {escape(str(save))}, without the token.")
        if token:
            call["fhirAuthorization"] = {
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": 300,
                "scope": scope,
                "subject": "cds-service",
                "patient": patient,
            }
        _answered(console, f"{address}/cds-services/{offered.id}", call)


def _keep(call: Json, path: Path) -> None:
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(call)))
    except OSError as error:
        raise Refusal(f"{path}: cannot be written ({error.strerror})") from error


def _base(text: str) -> Base:
    try:
        return read_base(text)
    except ValueError as error:
        raise Refusal(f"--fhir-server is to be {error}") from error


def _token(text: str | None) -> AccessToken | None:
    try:
        return AccessToken(text) if text else None
    except ValueError as error:
        raise Refusal(f"--token is to be {error}") from error


def _call(hook: str, patient: str, draft: str | None, settings: Settings) -> Json:
    """The hook request without its data."""
    if (draft is not None) != (hook in ORDER_HOOKS):
        raise Refusal(f"--draft DRUG goes with {' and '.join(ORDER_HOOKS)}")
    context: Json = {"userId": "Practitioner/example", "patientId": patient}
    if draft is not None:
        advisor = advisor_for(settings)
        drug = drafted(draft, False, advisor)
        assert drug is not None  # noqa: S101  (named above)
        context |= order_context(hook, [draft_order(drug, advisor.rulebook.drug_list)])
    return {"hook": hook, "hookInstance": str(uuid4()), "context": context}


@contextmanager
def _service(named: str | None, settings: Settings, base: Base, day: date | None) -> Iterator[str]:
    """The address of the service that was named, or of one of our own that may call `base`."""
    if named is not None:
        if not named.startswith(("http://", "https://")):
            raise Refusal("--service is to be the http or https base URL of a service")
        if day is not None:
            raise Refusal("--as-of goes with our own service only: leave out --service")
        yield named.rstrip("/").removesuffix("/cds-services")
        return
    advisor_for(settings)  # refuses wrong knowledge or policy in one line
    own = msgspec.structs.replace(settings, auth="off", fhir_servers=(base.url, *_ANY_ADDRESS))
    app = create_app(own, today=lambda: day or datetime.now(UTC).date())
    with serving(app, 0) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def _discovered(console: Console, address: str, hook: str) -> Offered:
    """The service of the hook, out of everything that discovery offers."""
    offered = called_service.offered(address)
    console.rule(f"Discovery: {escape(address)}/cds-services")
    for service in offered:
        keys = len(service.prefetch or ())
        console.print(f"  {escape(service.id)}: {escape(service.hook)}, {keys} prefetch keys")
    found = [s for s in offered if s.hook == hook]
    if not found:
        raise Refusal(f"{address}: no service for {hook} is offered there")
    return found[0]


def _honoured(templates: dict[str, str], keys: tuple[str, ...]) -> dict[str, str]:
    if not keys:
        return templates
    unknown = [k for k in keys if k != "none" and k not in templates]
    if unknown or ("none" in keys and len(keys) > 1):
        raise Refusal(f"--prefetch is to be none, or keys out of {', '.join(templates)}")
    return {key: template for key, template in templates.items() if key in keys}


def _show(console: Console, fetched: dict[str, Fetched]) -> None:
    console.rule("Prefetch")
    table = Table("Key", "Entries", "Seconds", "", box=None)
    for key, one in fetched.items():
        entries = "" if one.entries is None else str(one.entries)
        table.add_row(key, entries, f"{one.seconds:.2f}", one.note)
    console.print(table if fetched else "  Nothing: the service fetches for itself.")


def _answered(console: Console, url: str, call: Json) -> None:
    console.rule(f"Cards: {call['hook']}")
    cards = called_service.cards(url, call)
    terminal.show_cards(console, cards)
    if not cards:
        terminal.show_nothing(console)
