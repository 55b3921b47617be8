"""`cds-service load`: patient Bundles into a FHIR server, so that a sandbox can be tried at once."""

import json
from pathlib import Path
from typing import Any

import click
import requests
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from cds_service.bases import read_base
from cds_service.commands import plain_calls
from cds_service.commands.refusal import Refusal
from cds_service.transactions import transaction

_FHIR_JSON = "application/fhir+json"
_LONGEST_REASON = 200


class NotLoaded(Exception):
    """The server did not take a transaction; the text says why."""


class NoConnection(NotLoaded):
    """There is no server at that address, or none that can be reached."""


@click.command()
@click.option("--fhir-server", required=True, metavar="URL", help="Base URL of the FHIR server.")
@click.option("--token", envvar="FHIR_TOKEN", help="Bearer token; better given as FHIR_TOKEN.")
@click.option(
    "--timeout",
    default=60.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds for one patient.",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def load(fhir_server: str, token: str | None, timeout: float, files: tuple[str, ...]) -> None:
    """Load patient Bundles into a FHIR server.

    Takes files or folders of them, one transaction each. Safe to repeat.
    """
    try:
        base = read_base(fhir_server)
    except ValueError as error:
        raise Refusal(f"--fhir-server is to be {error}") from error
    console = Console()
    loaded: list[str] = []
    failed = 0
    paths = _paths(files)
    with Progress(console=console) as progress:
        task = progress.add_task("Loading", total=len(paths))
        for path in paths:
            progress.update(task, description=escape(path.stem))
            sent, left_out = transaction(_bundle(path), path.stem)
            try:
                identity = _patient_id(_posted(base.url, sent, token, timeout))
            except NotLoaded as error:
                if isinstance(error, NoConnection) and not loaded:
                    raise Refusal(f"{base.url}: {error}; nothing was loaded") from error
                failed += 1
                progress.console.print(f"{escape(path.stem)}: {escape(str(error))}", style="red")
            else:
                beside = f", {left_out} left out" if left_out else ""
                loaded.append(f"{path.stem}: {identity} ({len(sent['entry'])} resources{beside})")
            progress.advance(task)
    if loaded:
        click.echo("\n".join(["Ids on the server:", *loaded]))
    if failed:
        raise Refusal(f"{failed} of {len(paths)} Bundles were not loaded")


def _paths(names: tuple[str, ...]) -> list[Path]:
    found: list[Path] = []
    for name in names:
        path = Path(name)
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files:
            raise Refusal(f"{name}: the folder holds no .json file")
        found.extend(files)
    return found


def _bundle(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise Refusal(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path}: not valid JSON") from error
    if not isinstance(value, dict) or value.get("resourceType") != "Bundle":
        raise Refusal(f"{path}: not a FHIR Bundle")
    for entry in _list(value.get("entry")):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict) or not {"resourceType", "id"} <= resource.keys():
            raise Refusal(f"{path}: an entry without a resource that has type and id")
    return value


def _posted(
    url: str, sent: dict[str, Any], token: str | None, timeout: float
) -> list[dict[str, Any]]:
    headers = {"Accept": _FHIR_JSON, "Content-Type": _FHIR_JSON}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        response = plain_calls.post(url, json.dumps(sent).encode(), timeout, headers)
    except requests.Timeout as error:
        raise NotLoaded(f"no answer within {timeout:g} s") from error
    except requests.RequestException as error:
        raise NoConnection("no connection to the FHIR server") from error
    try:
        answer = _object(response.json())
    except ValueError:
        answer = {}
    if response.status_code != 200 or answer.get("type") != "transaction-response":
        raise NotLoaded(f"the server answered {response.status_code}: {_reason(answer)}")
    entries = [_object(_object(e).get("response")) for e in _list(answer.get("entry"))]
    if len(entries) != len(sent["entry"]):
        raise NotLoaded(f"the server answered for {len(entries)} of {len(sent['entry'])} entries")
    refused = [e for e in entries if not str(e.get("status", "")).startswith("2")]
    if refused:
        raise NotLoaded(
            f"{len(refused)} entries were refused: {_reason(refused[0].get('outcome'))}"
        )
    return entries


def _reason(outcome: Any) -> str:
    first = _object(next(iter(_list(_object(outcome).get("issue"))), None))
    details = _object(first.get("details"))
    text = first.get("diagnostics") or details.get("text") or "without saying why"
    return str(text)[:_LONGEST_REASON]


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _patient_id(responses: list[dict[str, Any]]) -> str:
    for response in responses:
        parts = str(response.get("location", "")).split("/")
        if "Patient" in parts[:-1]:
            return parts[parts.index("Patient") + 1]
    return "not said"
