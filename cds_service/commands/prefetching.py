"""Prefetch as an EHR does it: the templates of a discovery document run against a FHIR server."""

import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from cds_service.bases import Base
from cds_service.fhir.budget import Budget, FetchFailed, Limits
from cds_service.fhir.client import Answer, FhirClient
from cds_service.fhir.grant import AccessToken
from cds_service.fhir.servers import AllowedServers
from cds_service.fhir.templates import parameters
from cds_service.fhir.transport import session

_SIDE_BY_SIDE = 6
_TOKEN = re.compile(r"\{\{(?!context\.patientId\}\})[^}]*\}\}")


class Fetched(msgspec.Struct, frozen=True):
    """What came of one template."""

    value: msgspec.Raw | None
    """The body as it came; None when there is none to send."""
    entries: int | None
    seconds: float
    note: str = ""


class _Bundle(msgspec.Struct, frozen=True):
    resourceType: str
    entry: tuple[msgspec.Raw, ...] = ()
    link: tuple[dict[str, str], ...] = ()


def prefetch(
    console: Console,
    base: Base,
    templates: Mapping[str, str],
    patient_id: str,
    token: AccessToken | None,
    timeout: float,
) -> dict[str, Fetched]:
    """The result of every template, with the time that it took. A key that fails stays empty."""
    limits = Limits(timeout, timeout * (len(templates) + 1))
    # Whoever names a server on the command line means it, wherever it is.
    allowed = AllowedServers([base.url, "0.0.0.0/0", "::/0"])
    with (
        closing(session(allowed.addresses, _SIDE_BY_SIDE)) as connections,
        ThreadPoolExecutor(_SIDE_BY_SIDE) as threads,
        Progress(console=console, transient=True) as progress,
    ):
        client = FhirClient(connections, base, token, Budget(limits))
        task = progress.add_task("Asking the FHIR server", total=len(templates))
        futures = {
            threads.submit(_fetched, client, template, patient_id): key
            for key, template in templates.items()
        }
        found: dict[str, Fetched] = {}
        for future in as_completed(futures):
            key = futures[future]
            found[key] = future.result()
            waiting = ", ".join(k for k in templates if k not in found)
            progress.update(task, advance=1, description=escape(f"Waiting for {waiting}")[:70])
    return {key: found[key] for key in templates}


def _fetched(client: FhirClient, template: str, patient_id: str) -> Fetched:
    began = time.perf_counter()
    if _TOKEN.search(template):
        return Fetched(None, None, 0.0, "not sent: the template has a token unknown here")
    try:
        answer = _asked(client, template, patient_id)
        bundle = msgspec.json.decode(answer.body, type=_Bundle)
    except FetchFailed as error:
        return Fetched(None, None, time.perf_counter() - began, f"not sent: {error}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Fetched(None, None, time.perf_counter() - began, "not sent: it is not FHIR JSON")
    more = any(link.get("relation") == "next" for link in bundle.link)
    return Fetched(
        msgspec.Raw(answer.body),
        len(bundle.entry) if bundle.resourceType == "Bundle" else 1,
        time.perf_counter() - began,
        "first page of several" if more else "",
    )


def _asked(client: FhirClient, template: str, patient_id: str) -> Answer:
    kind, query = parameters(template, patient_id)
    if not query:
        return client.read(kind.partition("/")[0], patient_id)
    return client.search(kind, query)
