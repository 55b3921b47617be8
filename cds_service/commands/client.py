"""`cds-service client`: who may call. Adds a trusted client, and says why a token is refused."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import click

from cds_service.clients import Client
from cds_service.clients_file import KEYS, read_clients
from cds_service.commands.refusal import Refusal, settings_in_force, trusted_clients
from cds_service.errors import KnowledgeError
from cds_service.fhir import smart
from cds_service.offered_services import SERVICES
from cds_service.settings import Settings
from cds_service.tokens.key_server import KeysUnavailable
from cds_service.tokens.token_check import LEEWAY_SECONDS, LONGEST_LIFE_SECONDS, Refused, TokenCheck

_PRESETS = """\
# The trusted clients of this service: a table [[client]] each. `cds-service client add` writes them, the
# service reads them at start and on SIGHUP. The keys of a table:
#
{keys}
#
# What to ask a vendor for, by how it signs. Addresses differ by site: take them from the vendor's own
# papers or people, never from a token.
#
#   A vendor that gives each hospital its own issuer and key address:
#     issuer = "https://ehr.hospital.example", jwks_url = "https://ehr.hospital.example/jwks.json"
#   A vendor cloud with one issuer for many hospitals, told apart by `tenant`: a client for each hospital,
#     all with the same issuer and jwks_url, each with its own tenants = ["..."] and fhir_servers
#   A vendor that names the key address in each token (`jku`):
#     list that address in jku, and give it as jwks_url as well
#   A vendor that hands over its keys by file: jwks_file = "vendor-keys.json", beside this file
"""


@click.group()
def client() -> None:
    """Who may call: the file of trusted clients (CDS_CLIENTS)."""


@client.command()
@click.argument("name")
@click.option("--issuer", required=True, help="`iss` of its tokens.")
@click.option("--jwks-url", help="Address of its public keys.")
@click.option("--jwks-file", help="File of its public keys, relative to the clients file.")
@click.option("--tenant", "tenants", multiple=True, help="`tenant` of its tokens; may be repeated.")
@click.option("--jku", multiple=True, help="Key address that tokens may name; may be repeated.")
@click.option("--algorithm", "algorithms", multiple=True, help="May be repeated.")
@click.option("--fhir-server", "fhir_servers", multiple=True, help="May be repeated.")
@click.option("--cors-origin", "cors_origins", multiple=True, help="May be repeated.")
@click.option("--rate-per-minute", type=click.IntRange(1))
@click.option("--smart-links", is_flag=True, default=None)
@click.option("--smart-client-id", help="Id of the timeline at its authorization server.")
@click.option("--frame-ancestor", "frame_ancestors", multiple=True, help="May be repeated.")
@click.option("--strict-discovery", is_flag=True, default=None)
def add(**given: Any) -> None:
    """Add a trusted client to CDS_CLIENTS.

    Prints what to enter at its record system.
    """
    settings = settings_in_force()
    if settings.clients is None:
        raise Refusal("CDS_CLIENTS is to name the file that the client is added to")
    table = {key: list(v) if isinstance(v, tuple) else v for key, v in given.items() if v}
    _append(settings.clients, _as_toml(table))
    added = next(c for c in trusted_clients(settings.clients).clients if c.name == given["name"])
    click.echo(f"{added.name} is in {settings.clients}; it may call after SIGHUP or a new start.\n")
    click.echo(for_the_record_system(added, settings))


@client.command()
@click.argument("token")
def check(token: str) -> None:
    """Say why a token is refused, or that it is good.

    TOKEN is a token, or - to read it from standard input. It is not used up.
    """
    settings = settings_in_force()
    if settings.clients is None or settings.base_url is None:
        raise Refusal("CDS_CLIENTS and CDS_BASE_URL are to be those of the service")
    text = sys.stdin.read() if token == "-" else token  # noqa: S105  (no secret)
    trusted = trusted_clients(settings.clients)
    tokens = TokenCheck(trusted.clients, trusted.static_keys, settings.base_url)
    try:
        accepted = tokens.accept(text.strip(), _paths(), time.time())
    except Refused as refused:
        whose = f" (client {refused.client.name})" if refused.client else ""
        detail = f": {refused.detail}" if refused.detail else ""
        raise Refusal(f"Refused{whose}: {refused.reason}{detail}") from refused
    except KeysUnavailable as error:
        raise Refusal("The key server of the client does not answer; calls get 503.") from error
    left = accepted.expires_at - time.time()
    click.echo(
        f"Accepted: client {accepted.client.name}, for another {left:.0f} s (with {LEEWAY_SECONDS} s of"
        " leeway), unless the service has seen it before: whether it was used is not looked up here."
    )


def for_the_record_system(client: Client, settings: Settings) -> str:
    """What to enter at the record system, as text."""
    base = settings.base_url or "https://THE-PUBLIC-ADDRESS (set CDS_BASE_URL)"
    called = [(s.hook, f"{base}/cds-services/{s.id}") for s in SERVICES.values()]
    addresses = "\n".join(
        [f"  {hook}: {url}" for hook, url in called]
        + [f"  feedback, {hook}: {url}/feedback" for hook, url in called]
    )
    return (
        "To be entered at the record system:\n"
        f"  discovery: {base}/cds-services\n"
        f"{addresses}\n"
        "Each call, discovery and feedback too, carries Authorization: Bearer and a token (JWT):\n"
        f"  header: alg {' or '.join(client.algorithms)}, typ JWT, kid\n"
        f"  iss: {client.issuer}\n"
        "  aud: the address that is called, exactly\n"
        f"  exp: at most {LONGEST_LIFE_SECONDS} s after iat; jti: new each time"
        + (f"\n  tenant: {' or '.join(client.tenants)}" if client.tenants else "")
        + (_timeline(client, base) if client.smart_links else "")
    )


def _timeline(client: Client, base: str) -> str:
    return (
        "\nThe timeline, at its authorization server:\n"
        f"  a public client, without a secret, with PKCE (S256); id: {client.smart_client_id}\n"
        f"  launch: {base}{smart.LAUNCH_PATH}\n"
        f"  redirect: {base}{smart.REDIRECT_PATH}\n"
        f"  scopes: {smart.scopes_of_version_2()}\n"
        "  (.read in place of .rs where it knows version 1 only)"
    )


def _paths() -> tuple[str, ...]:
    services = [f"/cds-services/{service_id}" for service_id in SERVICES]
    return ("/cds-services", *services, *(f"{path}/feedback" for path in services))


def _as_toml(table: Mapping[str, Any]) -> str:
    """JSON strings, numbers, lists and booleans are TOML too, but for what JSON leaves unescaped."""
    for key in ("issuer", "jwks_url"):
        if not str(table.get(key, "")).isprintable():
            raise Refusal(f"{key} holds a character that cannot be printed")
    lines = (f"{key} = {json.dumps(value)}" for key, value in table.items())
    return "\n[[client]]\n" + "\n".join(lines) + "\n"


def _append(path: Path, table: str) -> None:
    """Write the file anew, only if it is right as a whole; readers see the old one or the new one."""
    keys = "\n".join(f"#   {key}: {meaning}" for key, meaning in KEYS.items())
    try:
        old = path.read_text(encoding="utf-8") if path.exists() else _PRESETS.format(keys=keys)
        with NamedTemporaryFile(
            "w", dir=path.parent, suffix=".toml", delete=False, encoding="utf-8"
        ) as new:
            new.write(old + table)
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path}: cannot be written ({type(error).__name__})") from error
    try:
        read_clients(Path(new.name))
        Path(new.name).chmod(path.stat().st_mode if path.exists() else 0o644)  # no secret in it
        Path(new.name).replace(path)
    except KnowledgeError as error:
        raise Refusal(f"Not added. {str(error).replace(new.name, str(path))}") from error
    finally:
        Path(new.name).unlink(missing_ok=True)
