"""Who may call and how much: the parts of the gate, in the order in which a call meets them."""

import secrets
from collections.abc import Callable

from flask import Flask

from cds_service.clients import OPEN, Client
from cds_service.clients_file import TrustedClients, read_clients
from cds_service.database import open_current
from cds_service.database.call_counts import CallCounts
from cds_service.database.seen_tokens import SeenTokens
from cds_service.errors import KnowledgeError
from cds_service.settings import Settings
from cds_service.tokens.token_check import TokenCheck
from cds_service.web import access, audit, cors, places, security_headers
from cds_service.web.authentication import Authentication
from cds_service.web.places import Places
from cds_service.web.rate import CallRate


def install(app: Flask, settings: Settings) -> None:
    """Put the gate before the app. Raises KnowledgeError when settings or clients are wrong."""
    trusted = TrustedClients() if settings.auth == "off" else trusted_clients(settings)
    room = Places(settings.max_concurrent, shared=len(trusted.clients) > 1)
    audit.install(app, settings.hash_key or secrets.token_bytes(32))
    security_headers.install(app, https=(settings.base_url or "").startswith("https://"))
    cors.install(app, settings, trusted.clients)
    places.install_outer(app, room)
    access.install(app, _authentication(settings, trusted))
    places.install_inner(app, room)


def trusted_clients(settings: Settings) -> TrustedClients:
    """The clients that may call. Raises KnowledgeError naming what CDS_AUTH=required still needs."""
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


def _authentication(settings: Settings, trusted: TrustedClients) -> Callable[[], Client]:
    if settings.auth == "off":
        return _nobody_asked
    engine = open_current(settings.database_url)
    tokens = TokenCheck(trusted.clients, trusted.static_keys, settings.base_url or "")
    return Authentication(tokens, SeenTokens(engine), CallRate(CallCounts(engine)))


def _nobody_asked() -> Client:
    """While client authentication is off, whoever calls is the one open client."""
    return OPEN
