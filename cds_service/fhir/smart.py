"""SMART App Launch 2.x from the EHR, as a public client with PKCE: discovery, authorization, token.

Version 1 servers are met halfway: scopes in their spelling, the rest as version 2 has it.
"""

import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
import requests

from cds_service.errors import EhrUnavailable, LaunchRefused
from cds_service.fhir import outward
from cds_service.fhir.bundles import UNREADABLE
from cds_service.fhir.grant import AccessToken
from cds_service.fhir.references import FHIR_ID
from cds_service.fhir.templates import TYPES

_USER = re.compile(
    r"(?:.*/)?((?:Practitioner|PractitionerRole|Patient|RelatedPerson|Person)/[A-Za-z0-9\-.]{1,64})"
)
_CLOCK_TOLERANCE_SECONDS = 60
_REFERRED_TO = {"Medication", "Specimen"}
LAUNCH_PATH = "/smart/launch"
REDIRECT_PATH = "/smart/callback"


class SmartServer(msgspec.Struct, frozen=True):
    """What a FHIR server says of its authorization."""

    authorization_endpoint: str
    token_endpoint: str
    issuer: str | None = None
    capabilities: tuple[str, ...] = ()
    code_challenge_methods_supported: tuple[str, ...] | None = None


class Token(msgspec.Struct, frozen=True):
    """The answer of the token endpoint."""

    access_token: str
    token_type: str
    patient: str | None = None
    scope: str | None = None
    expires_in: int | None = None
    id_token: str | None = None
    appContext: Any = None

    def __repr__(self) -> str:
        return "Token(…)"


class Asked(msgspec.Struct, frozen=True):
    """What one launch asked for: everything that its answer has to fit."""

    state: str
    verifier: str
    nonce: str
    iss: str
    client_id: str
    client_name: str
    token_endpoint: str
    issuer: str | None

    def __repr__(self) -> str:
        return "Asked(…)"  # who holds state and verifier can end the launch


def discover(session: requests.Session, iss: str) -> SmartServer:
    """The authorization endpoints of a FHIR server. Raises EhrUnavailable, LaunchRefused."""
    what = "SMART configuration"
    try:
        body = outward.get(session, f"{iss}/.well-known/smart-configuration", what=what)
        found = msgspec.json.decode(body, type=SmartServer)
    except outward.Answered as error:
        raise EhrUnavailable(
            f"The record system answered {error.status} for its {what}."
        ) from error
    except UNREADABLE as error:
        raise EhrUnavailable(
            f"The record system's {what} is not as the specification has it."
        ) from error
    secure = urlsplit(iss).scheme == "https"
    for address in (found.authorization_endpoint, found.token_endpoint):
        scheme = _scheme(address)
        if scheme != "https" and (secure or scheme != "http"):
            raise LaunchRefused(f"The record system's {what} names an address that is not https.")
    methods = found.code_challenge_methods_supported
    if methods is not None and "S256" not in methods:
        raise LaunchRefused("The record system does not support PKCE with S256.")
    return found


def scopes(server: SmartServer) -> str:
    """The narrowest scopes that the timeline works with, in the spelling that the server knows."""
    return scopes_of_version_2() if "permission-v2" in server.capabilities else _spelt("read")


def scopes_of_version_2() -> str:
    """The same in the spelling of SMART 2, as they are registered beforehand."""
    return _spelt("rs")


def _spelt(right: str) -> str:
    kinds = {kind.__name__ for kind in TYPES.values()} | _REFERRED_TO
    reading = [f"patient/{kind}.{right}" for kind in sorted(kinds)]
    return " ".join(["launch", "openid", "fhirUser", *reading])


def authorization_url(
    server: SmartServer, asked: Asked, *, launch: str, scope: str, redirect_uri: str
) -> str:
    """Where the browser is sent to be authorized."""
    challenge = urlsafe_b64encode(sha256(asked.verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": asked.client_id,
        "redirect_uri": redirect_uri,
        "launch": launch,
        "scope": scope,
        "state": asked.state,
        "aud": asked.iss,
        "nonce": asked.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    joint = "&" if urlsplit(server.authorization_endpoint).query else "?"
    return f"{server.authorization_endpoint}{joint}{urlencode(query)}"


def redeem(session: requests.Session, code: str, asked: Asked, redirect_uri: str) -> Token:
    """The token for an authorization code, with a patient in it. Raises EhrUnavailable, LaunchRefused."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": asked.client_id,
        "code_verifier": asked.verifier,
    }
    what = "token"
    try:
        token = msgspec.json.decode(
            outward.post_form(session, asked.token_endpoint, form, what=what), type=Token
        )
    except outward.Answered as error:
        raise EhrUnavailable(
            f"The record system answered {error.status} instead of a {what}."
        ) from error
    except UNREADABLE as error:
        raise EhrUnavailable(
            f"The record system's {what} is not as the specification has it."
        ) from error
    if token.token_type.lower() != "bearer" or not _is_bearer(token.access_token):
        raise EhrUnavailable("The record system's token is not a bearer token.")
    if token.patient is None or not FHIR_ID.fullmatch(token.patient):
        raise LaunchRefused("The record system did not say which patient is open.")
    return token


def fhir_user(token: Token, asked: Asked) -> str:
    """Who is looking, as `Type/id`. Raises LaunchRefused when the id_token does not say, or is not ours.

    It came over TLS from the token endpoint itself, so its signature need not be checked (OpenID
    Connect Core 3.1.3.7); whom it is for, from whom, and for which launch, is.
    """
    claims = _claims(token.id_token)
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    expires = claims.get("exp")
    fits = (
        asked.client_id in audiences
        and claims.get("nonce") == asked.nonce
        and (asked.issuer is None or claims.get("iss") == asked.issuer)
        and isinstance(expires, int | float)
        and expires > time.time() - _CLOCK_TOLERANCE_SECONDS
    )
    if not fits:
        raise LaunchRefused("The record system's id_token is not for this launch.")
    found = _USER.fullmatch(str(claims.get("fhirUser") or claims.get("profile") or ""))
    if found is None:
        raise LaunchRefused("The record system did not say who is looking (no fhirUser).")
    return found[1]


def app_context(token: Token) -> Mapping[str, Any]:
    """What the card's link carried, where the record system passed it on; empty otherwise."""
    given = token.appContext
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except UNREADABLE:
            return {}  # another app's context: it says nothing to us
    return given if isinstance(given, dict) else {}


def _scheme(address: str) -> str:
    """Empty when it is no address."""
    try:
        return urlsplit(address).scheme
    except ValueError:
        return ""


def _is_bearer(text: str) -> bool:
    try:
        AccessToken(text)
    except ValueError:
        return False
    return True


def _claims(id_token: str | None) -> Mapping[str, Any]:
    if id_token is None:
        raise LaunchRefused("The record system did not say who is looking (no id_token).")
    parts = id_token.split(".")
    try:
        payload = urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(payload, type=dict[str, Any])
    except (IndexError, ValueError, *UNREADABLE) as error:
        raise LaunchRefused("The record system's id_token cannot be read.") from error
