"""Who may call and how much: the parts of the gate, in the order in which a call meets them."""

from collections.abc import Callable

import msgspec
from flask import Flask

from cds_service.clients import OPEN, Client
from cds_service.clients_file import TrustedClients, read_clients
from cds_service.database import Engine
from cds_service.database.admission import Admissions
from cds_service.errors import KnowledgeError
from cds_service.settings import Settings
from cds_service.tokens.token_check import TokenCheck
from cds_service.web import access, audit, cors, places, security_headers
from cds_service.web.authentication import Authentication
from cds_service.web.places import Places


def install(
    app: Flask,
    settings: Settings,
    trusted: TrustedClients,
    key: bytes,
    engine: Engine,
    tokens: TokenCheck | None,
) -> None:
    """Put the gate before the app. `key` is the secret of the pseudonyms; no `tokens`: it is open."""
    room = Places(settings.max_concurrent, shared=len(trusted.clients) > 1)
    audit.install(app, key)
    security_headers.install(app, https=(settings.base_url or "").startswith("https://"))
    cors.install(app, settings, trusted.clients)
    places.install_outer(app, room)
    access.install(app, _authentication(settings, tokens, engine))
    places.install_inner(app)


def trusted_clients(settings: Settings) -> TrustedClients:
    """The clients that may call; none are asked for while authentication is off.

    Raises KnowledgeError naming what CDS_AUTH=required still needs, or what is wrong in the file.
    """
    if settings.auth == "off":
        return TrustedClients()
    needed = {
        "CDS_CLIENTS": (settings.clients, "the path of the file of trusted clients"),
        "CDS_BASE_URL": (settings.base_url, "the public address that tokens are made for"),
        "CDS_HASH_KEY": (settings.hash_key, "a secret of at least 32 characters"),
    }
    missing = [f"{name} ({what})" for name, (value, what) in needed.items() if value is None]
    if missing or settings.clients is None:
        raise KnowledgeError(
            f"CDS_AUTH=required needs {', '.join(missing)} to be set;"
            " CDS_AUTH=off serves on loopback without clients"
        )
    return read_clients(settings.clients)


def token_check(settings: Settings, trusted: TrustedClients) -> TokenCheck | None:
    """What checks tokens; None while authentication is off."""
    if settings.auth == "off":
        return None
    return TokenCheck(trusted.clients, trusted.static_keys, settings.base_url or "")


def keys_probe(tokens: TokenCheck | None) -> Callable[[], str | None]:
    """Ready while the keys of at least one client can be read.

    One EHR whose key server is down must not take the service from all the others.
    """

    def probe() -> str | None:
        if tokens is None or tokens.has_keys():
            return None
        return "the keys of no client can be read: no key server answers"

    return probe


def _authentication(
    settings: Settings, tokens: TokenCheck | None, engine: Engine
) -> Callable[[], Client]:
    if tokens is None:
        # Whoever calls is the one open client.
        anyone = msgspec.structs.replace(OPEN, fhir_servers=settings.fhir_servers)
        return lambda: anyone
    return Authentication(tokens, Admissions(engine))
