"""The public keys of a JSON Web Key Set, each with the signatures that it may vouch for."""

from collections.abc import Iterable, Mapping
from typing import Any

import jwt
import msgspec
from jwt.types import JWKDict

PUBLIC_SANDBOX_KID = "44823f3d-0b01-4a6c-a80e-b9d3e8a7226f"
"""The key of https://sandbox.cds-hooks.org. Its private half is published with its source."""
_PUBLIC_SANDBOX_X = "dw_JGR8nB2I6XveNxUOl2qk699ZPLM2nYI5STSdiEl9avAkrm3CkfYMbrrjr8laB"
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_MOST_KEYS = 100
_SHORTEST_RSA_BITS = 2048


class Key(msgspec.Struct, frozen=True):
    """One public key."""

    kid: str
    public: Any
    """Of the cryptography package."""
    algorithms: tuple[str, ...]
    """By the key itself: the `alg` it names, or what its type and curve can do."""
    public_sandbox: bool
    """Whether anyone can sign with it: the sandbox publishes its private key."""


class KeySet(msgspec.Struct, frozen=True):
    """The keys that can be used, and what is wrong with the others."""

    keys: tuple[Key, ...]
    complaints: tuple[str, ...]

    def find(self, kid: str) -> tuple[Key, ...]:
        """The keys of that id, usually one."""
        return tuple(key for key in self.keys if key.kid == kid)


def read_key_set(document: object) -> KeySet:
    """The keys of a key set. Raises ValueError when it is none."""
    keys = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(keys, list) or not all(isinstance(k, Mapping) for k in keys):
        raise ValueError("an object with an array 'keys' of JSON Web Keys")
    if len(keys) > _MOST_KEYS:
        raise ValueError(f"a key set of at most {_MOST_KEYS} keys")
    found: list[Key] = []
    complaints: list[str] = []
    for number, jwk in enumerate(keys):
        try:
            found.append(_key(jwk))
        except ValueError as error:
            complaints.append(f"keys[{number}]: {error}")
    return KeySet(tuple(found), tuple(complaints))


def _key(jwk: JWKDict) -> Key:
    """One usable key. Raises ValueError saying what would be right."""
    kid, kind = jwk.get("kid"), jwk.get("kty")
    if not isinstance(kid, str) or not kid:
        raise ValueError("a 'kid' is needed, for tokens name their key by it")
    if kind == "oct":
        raise ValueError("a public key is needed; a shared secret (kty oct) is never accepted")
    if "d" in jwk:
        raise ValueError("this is a private key: keep only its public members here, and replace it")
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        raise ValueError("a key for signatures is needed (use 'sig')")
    algorithms = _algorithms(jwk)
    try:
        public = jwt.PyJWK(jwk, algorithms[0]).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a usable {kind} key") from error
    if kind == "RSA" and public.key_size < _SHORTEST_RSA_BITS:
        raise ValueError(f"an RSA key of at least {_SHORTEST_RSA_BITS} bits is needed")
    sandbox = kid == PUBLIC_SANDBOX_KID or jwk.get("x") == _PUBLIC_SANDBOX_X
    return Key(kid, public, algorithms, sandbox)


def _algorithms(jwk: JWKDict) -> tuple[str, ...]:
    able: Iterable[str] = ()
    if jwk.get("kty") == "RSA":
        able = _RSA
    elif jwk.get("kty") in ("EC", "OKP"):
        able = filter(None, (_CURVES.get(str(jwk.get("crv"))),))
    named = jwk.get("alg")
    found = tuple(a for a in able if named in (None, a))
    if not found:
        raise ValueError(
            "an EC (P-256, P-384, P-521), RSA or Ed25519 key with a fitting 'alg' is needed"
        )
    return found
