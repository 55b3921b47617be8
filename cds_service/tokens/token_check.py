"""Whose token this is, and whether it may be used here and now. What it says is not believed before."""

import math
from collections.abc import Mapping, Sequence
from hashlib import sha256

import jwt
import msgspec

from cds_service.clients import Client
from cds_service.tokens.audience import is_for
from cds_service.tokens.key_server import KeyServer
from cds_service.tokens.key_sets import Key, KeySet

LEEWAY_SECONDS = 30
"""By how much the two clocks may differ."""
LONGEST_LIFE_SECONDS = 600
"""From `iat` to `exp`; CDS Hooks clients use five minutes."""
LONGEST_TOKEN = 8192

_LATEST = 253_402_300_799
"""The end of the year 9999, in seconds since 1970."""

_Number = int | float


class Refused(Exception):
    """A token that is not accepted.

    `reason` is for the log and holds nothing of the token; `detail` may, and is shown only to who
    holds the token.
    """

    def __init__(self, reason: str, detail: str = "", client: Client | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
        self.client = client


class Accepted(msgspec.Struct, frozen=True):
    """A token whose signature and claims hold; whether it was seen before is not known yet."""

    client: Client
    token_hash: str
    """Of issuer and `jti`: neither is kept."""
    expires_at: int
    """Seconds since 1970; from then on it is refused by its date, leeway included."""


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str
    typ: str | None = None
    jku: str | None = None


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    aud: str | tuple[str, ...]
    exp: _Number
    iat: _Number
    jti: str
    nbf: _Number | None = None
    tenant: str | None = None


class _Token(msgspec.Struct, frozen=True):
    text: str
    header: _Header
    claims: _Claims


class TokenCheck:
    """Checks tokens against the trusted clients. Built once; safe to share between threads."""

    def __init__(
        self,
        clients: Sequence[Client],
        static_keys: Mapping[str, KeySet],
        base_url: str,
    ) -> None:
        """`static_keys`: by client name, for clients whose keys are in a file."""
        self._clients = clients
        self._static = static_keys
        self._base = base_url
        urls = [url for c in clients for url in (c.jwks_url, *c.jku) if url]
        self._servers = {url: KeyServer(url) for url in urls}

    def accept(self, text: str, paths: Sequence[str], now: float) -> Accepted:
        """The client whose token this is, when it is meant for one of these paths.

        Raises Refused, or KeysUnavailable when its key server cannot be asked.
        """
        token = _read(text)
        client = self._client(token.claims)
        try:
            self._check_signature(token, client)
            _check_times(token.claims, now)
            self._check_audience(token.claims, paths)
        except Refused as refused:
            refused.client = client
            raise
        named = f"{len(token.claims.iss)}:{token.claims.iss}:{token.claims.jti}"
        digest = sha256(named.encode("utf-8", "surrogatepass")).hexdigest()
        return Accepted(client, digest, math.ceil(token.claims.exp) + LEEWAY_SECONDS)

    def has_keys(self) -> bool:
        """Whether the keys of at least one client are at hand; asks key servers only if none are."""
        servers = self._servers.values()
        at_hand = bool(self._static) or any(s.holds_keys() for s in servers)
        return at_hand or any(s.has_keys() for s in servers)

    def _client(self, claims: _Claims) -> Client:
        issued = [c for c in self._clients if c.issuer == claims.iss]
        if not issued:
            raise Refused("no client has this issuer", f"iss is {claims.iss!r}")
        for client in issued:
            if not client.tenants or claims.tenant in client.tenants:
                return client
        raise Refused("tenant not listed", f"tenant is {claims.tenant!r}", issued[0])

    def _check_signature(self, token: _Token, client: Client) -> None:
        header = token.header
        fitting = [
            key
            for key in self._keys(header, client)
            if header.alg in key.algorithms and header.alg in client.algorithms
        ]
        if not fitting:
            raise Refused(
                "algorithm not allowed for this key and client",
                f"alg is {header.alg!r}; the client may use {', '.join(client.algorithms)}",
            )
        if not client.trust_public_sandbox_key and any(key.public_sandbox for key in fitting):
            raise Refused("the public sandbox's key, which anyone can sign with")
        if not any(_signed(token.text, key, header.alg) for key in fitting):
            raise Refused("signature does not fit the key")

    def _keys(self, header: _Header, client: Client) -> tuple[Key, ...]:
        if header.jku is not None and header.jku not in (*client.jku, client.jwks_url):
            raise Refused("jku not listed", f"jku is {header.jku!r}")
        url = header.jku or client.jwks_url
        source = self._servers[url] if url else self._static[client.name]
        found = source.find(header.kid)
        if not found:
            raise Refused("no key of this kid", f"kid is {header.kid!r}")
        return found

    def _check_audience(self, claims: _Claims, paths: Sequence[str]) -> None:
        audiences = (claims.aud,) if isinstance(claims.aud, str) else claims.aud
        if not any(is_for(audience, self._base, path) for audience in audiences for path in paths):
            wanted = " or ".join(self._base + path for path in paths)
            raise Refused("aud is not the address called", f"aud is {claims.aud!r}, not {wanted}")


def _read(text: str) -> _Token:
    """Header and claims as they stand there, of the right form. Nothing is verified yet."""
    if len(text) > LONGEST_TOKEN:
        raise Refused(f"longer than {LONGEST_TOKEN} characters")
    try:
        parts = jwt.PyJWS().decode_complete(text, options={"verify_signature": False})
        header = msgspec.convert(parts["header"], _Header)
        claims = msgspec.json.decode(parts["payload"], type=_Claims)
    except (jwt.PyJWTError, msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Refused("not a JWT with alg, kid, iss, aud, exp, iat and jti", str(error)) from error
    if header.typ is not None and header.typ.upper() != "JWT":
        raise Refused("typ is not JWT", f"typ is {header.typ!r}")
    if not claims.jti:
        raise Refused("jti is empty")
    return _Token(text, header, claims)


def _signed(text: str, key: Key, algorithm: str) -> bool:
    try:
        jwt.PyJWS().decode_complete(text, key.public, algorithms=[algorithm])
    except (jwt.PyJWTError, ValueError, TypeError):
        return False
    return True


def _check_times(claims: _Claims, now: float) -> None:
    if any(abs(t) > _LATEST for t in (claims.exp, claims.iat, claims.nbf or 0)):
        raise Refused("exp, iat or nbf is no date")
    if claims.exp + LEEWAY_SECONDS <= now:
        raise Refused("expired", f"exp was {now - claims.exp:.0f} s ago")
    if claims.iat - LEEWAY_SECONDS > now:
        raise Refused("issued in the future", f"iat is {claims.iat - now:.0f} s ahead")
    if claims.nbf is not None and claims.nbf - LEEWAY_SECONDS > now:
        raise Refused("not valid yet", f"nbf is {claims.nbf - now:.0f} s ahead")
    if claims.exp - claims.iat > LONGEST_LIFE_SECONDS:
        raise Refused(
            f"lives longer than {LONGEST_LIFE_SECONDS} s",
            f"exp - iat is {claims.exp - claims.iat} s",
        )
