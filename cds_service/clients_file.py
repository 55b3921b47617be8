"""The file of trusted clients (CDS_CLIENTS): read, checked whole, and explained key by key."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from cds_service.addresses import HTTPS_URL, ORIGIN, is_https_url, is_origin
from cds_service.bases import Base, bases, read_entry
from cds_service.clients import ALGORITHMS, Client
from cds_service.errors import KnowledgeError
from cds_service.rulebook.files import convert, read_toml
from cds_service.tokens.key_sets import KeySet, read_key_set

KEYS: Mapping[str, str] = {
    "name": "the site's own name for the client, as it stands in logs; a letter or digit, then letters,"
    " digits, `.`, `_`, `-`, at most 64; required",
    "issuer": "`iss` of its tokens, exactly; required",
    "tenants": "list of `tenant` values that its tokens must carry one of; left out: any, or none."
    " Give each organisation with patient numbers of its own a client of its own",
    "jwks_url": "https address of its public keys (http on loopback only). One of this and the next two",
    "jwks_file": "file of its public keys, relative to this file; read at start and on SIGHUP",
    "jwks": "its public keys themselves: a table with `keys`",
    "jku": "list of the addresses that its tokens may name in `jku`; any other is refused, never called."
    " `jwks_url` counts as listed",
    "algorithms": 'list of signatures; default `["ES384", "RS384"]`; only such by a private key',
    "fhir_servers": "list of the base URLs of its FHIR servers, as it writes them in `fhirServer`;"
    " no other is called for it. Names must lead to public addresses, unless the network of the internal ones"
    " stands in the list too",
    "cors_origins": "list of origins of web pages that may call as it, such as `https://ehr.example`",
    "smart_links": "`true` puts a link to the timeline on its cards and lets its FHIR servers launch it;"
    " needs the next one, `fhir_servers` and `CDS_BASE_URL`. Of clients with one FHIR server, one only;"
    " default `false`",
    "smart_client_id": "id under which the timeline is registered at its authorization server,"
    " as a public client",
    "frame_ancestors": "list of origins of its own pages that may show the timeline in a frame, such as"
    " `https://ehr.example`; left out: it opens as a page",
    "action_selection_behavior": "list of the values of CDS Hooks 3.0 (`any`, `all`, `at-most-one`) that it"
    " understands. Kept for later: suggestions have one action today, and none is sent",
    "strict_discovery": "`true` leaves out of its discovery document what CDS Hooks 1.0 did not have;"
    " default `false`",
    "rate_per_minute": "calls a minute, all machines together; more are 429; default `6000`",
    "trust_public_sandbox_key": "`true` lets the sandbox of cds-hooks.org call as it. Anyone can: its private"
    " key is public. Never with patients; default `false`",
}
"""Every key of a `[[client]]` table, and what it means."""

_SANDBOX = "sandbox.cds-hooks.org"
_SERVER = "an https URL (http on loopback only), or a network such as 10.0.0.0/8"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SOURCES = ("jwks_url", "jwks_file", "jwks")


class TrustedClients(msgspec.Struct, frozen=True):
    """The clients of the file, and the keys of those whose keys are not behind an address."""

    clients: tuple[Client, ...] = ()
    static_keys: Mapping[str, KeySet] = {}


def read_clients(path: Path) -> TrustedClients:
    """The trusted clients. Raises KnowledgeError naming file, client, key and what would be right."""
    tables = read_toml(path)
    listed = tables.pop("client", None)
    if tables or not isinstance(listed, list) or not listed:
        raise KnowledgeError(
            f"{path}: a table [[client]] for each trusted client is needed, and no other"
        )
    clients = tuple(_client(t, number, path) for number, t in enumerate(listed, 1))
    _check_distinct(clients, path)
    _check_launches(clients, path)
    static = {c.name: _static_keys(c, path) for c in clients if not c.jwks_url}
    return TrustedClients(clients, static)


def _client(table: object, number: int, path: Path) -> Client:
    name = table.get("name") if isinstance(table, dict) else None
    where = f"client {name}" if isinstance(name, str) and name.isprintable() else f"client {number}"
    client = convert(table, Client, path, where)
    for field, wrong in _wrong(client):
        raise KnowledgeError(f"{path}: [{where}] {field}: {wrong}")
    return client


def _wrong(client: Client) -> Iterable[tuple[str, str]]:
    """What is wrong with each key, as what would be right."""
    if not _NAME.fullmatch(client.name):
        yield "name", "a letter or digit, then up to 63 letters, digits, '.', '_' or '-'"
    if not client.issuer:
        yield "issuer", "is required: the 'iss' of its tokens"
    given = [s for s in _SOURCES if getattr(client, s) is not None]
    if len(given) != 1:
        yield "jwks_url", "exactly one of jwks_url, jwks_file and jwks says where its keys are"
    for algorithm in client.algorithms:
        if algorithm not in ALGORITHMS:
            yield "algorithms", f"{algorithm!r} is not one of {', '.join(ALGORITHMS)}"
    if not client.algorithms:
        yield "algorithms", "at least one, or leave the key out"
    if client.rate_per_minute is None or client.rate_per_minute < 1:
        yield "rate_per_minute", "a whole number of calls, at least 1"
    yield from _wrong_addresses(client)
    if client.smart_links and not client.smart_client_id:
        yield "smart_client_id", "is required by smart_links: the id of the timeline at the EHR"
    if client.smart_links and not bases(client.fhir_servers):
        yield "fhir_servers", "smart_links needs the base URL that launches the timeline"


def _wrong_addresses(client: Client) -> Iterable[tuple[str, str]]:
    addresses: tuple[tuple[str, Iterable[str], Callable[[str], bool], str], ...] = (
        ("jwks_url", filter(None, (client.jwks_url,)), is_https_url, HTTPS_URL),
        ("jku", client.jku, is_https_url, HTTPS_URL),
        ("fhir_servers", client.fhir_servers, _is_server, _SERVER),
        ("cors_origins", client.cors_origins, is_origin, ORIGIN),
        ("frame_ancestors", client.frame_ancestors, is_origin, ORIGIN),
    )
    for field, values, is_right, right in addresses:
        for value in values:
            if not is_right(value):
                yield field, f"{value!r} is to be {right}"
    if not client.trust_public_sandbox_key:
        for value in filter(None, (client.issuer, client.jwks_url, *client.jku)):
            if _SANDBOX in value.lower():
                yield (
                    "issuer",
                    f"{_SANDBOX} publishes its private key, so anyone can call as it; for a trial without"
                    " patients set trust_public_sandbox_key = true",
                )


def _is_server(entry: str) -> bool:
    """A network widens where names may lead; a base is called with a token, so over TLS."""
    with suppress(ValueError):
        return not isinstance(read_entry(entry), Base) or is_https_url(entry)
    return False


def _check_distinct(clients: tuple[Client, ...], path: Path) -> None:
    for name, times in Counter(c.name for c in clients).items():
        if times > 1:
            raise KnowledgeError(f"{path}: [client {name}] name: stands there {times} times")
    for issuer, times in Counter(c.issuer for c in clients).items():
        same = [c for c in clients if c.issuer == issuer]
        tenants = [tenant for c in same for tenant in c.tenants]
        apart = all(c.tenants for c in same) and len(tenants) == len(set(tenants))
        if times > 1 and not apart:
            names = ", ".join(c.name for c in same)
            raise KnowledgeError(
                f"{path}: [client {same[1].name}] tenants: {names} have one issuer, so each needs tenants"
                " of its own"
            )


def _check_launches(clients: tuple[Client, ...], path: Path) -> None:
    """A launch names nothing but the FHIR server, so that has to say whose launch it is."""
    launching: dict[Base, str] = {}
    for client in (c for c in clients if c.smart_links):
        for base in bases(client.fhir_servers):
            other = launching.setdefault(base, client.name)
            if other != client.name:
                raise KnowledgeError(
                    f"{path}: [client {client.name}] smart_links: {other} and {client.name} have one"
                    f" FHIR server, {base.url}, so a launch from there could be either's; only one may"
                    " have smart_links"
                )


def _static_keys(client: Client, path: Path) -> KeySet:
    where = f"{path}: [client {client.name}]"
    field = "jwks_file" if client.jwks_file is not None else "jwks"
    try:
        document = client.jwks
        if client.jwks_file is not None:
            document = json.loads((path.parent / client.jwks_file).read_bytes())
        found = read_key_set(document)
    except OSError as error:
        raise KnowledgeError(f"{where} jwks_file: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise KnowledgeError(
            f"{where} {field}: it is to be a JSON Web Key Set ({error})"
        ) from error
    if found.complaints:
        raise KnowledgeError(f"{where} {field}: {found.complaints[0]}")
    if not any(set(key.algorithms) & set(client.algorithms) for key in found.keys):
        raise KnowledgeError(
            f"{where} algorithms: none of its keys can sign with {', '.join(client.algorithms)}"
        )
    if any(key.public_sandbox for key in found.keys) and not client.trust_public_sandbox_key:
        raise KnowledgeError(
            f"{where} {field}: this is the key of {_SANDBOX}, whose private half is public; for a trial"
            " without patients set trust_public_sandbox_key = true"
        )
    return found
