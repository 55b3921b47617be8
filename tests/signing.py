"""Record systems that sign: keys made for this run, the tokens of CDS Hooks clients, a key server."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from cds_service.settings import Settings

BASE = "https://cds.hospital.example/low-alp"
HASH_KEY = b"a secret of this test run, longer than it must be"
VIEW = "/cds-services/low-alp-patient-view"
CURVES: dict[str, type[Any]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


class Signer:
    """A record system with a key pair of its own."""

    def __init__(self, issuer: str, algorithm: str = "ES384", kid: str | None = None) -> None:
        self.issuer = issuer
        self.algorithm = algorithm
        self.kid = kid or str(uuid4())
        if algorithm in CURVES:
            self.key: Any = ec.generate_private_key(CURVES[algorithm]())
        elif algorithm == "EdDSA":
            self.key = ed25519.Ed25519PrivateKey.generate()
        else:
            self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwk(self, **more: Any) -> dict[str, Any]:
        """The public key."""
        writer: Any = {"ES": ECAlgorithm, "Ed": OKPAlgorithm}.get(self.algorithm[:2], RSAAlgorithm)
        public = json.loads(writer.to_jwk(self.key.public_key()))
        return {**public, "kid": self.kid, **more}

    def jwks(self) -> dict[str, Any]:
        """Its key set."""
        return {"keys": [self.jwk()]}

    def claims(self, path: str, **more: Any) -> dict[str, Any]:
        """What a token says; `...` leaves a claim out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": BASE + path,
            "exp": now + 300,
            "iat": now,
            "jti": uuid4().hex,
            **more,
        }
        return {name: value for name, value in claims.items() if value is not ...}

    def token(self, path: str, header: dict[str, Any] | None = None, **more: Any) -> str:
        """A new token for that path."""
        headers = {"kid": self.kid, **(header or {})}
        headers = {name: value for name, value in headers.items() if value is not ...}
        payload = json.dumps(self.claims(path, **more)).encode()
        return jwt.PyJWS().encode(payload, self.key, algorithm=self.algorithm, headers=headers)

    def bearer(
        self, path: str, header: dict[str, Any] | None = None, **more: Any
    ) -> dict[str, str]:
        """The header that carries a new token."""
        return {"Authorization": f"Bearer {self.token(path, header, **more)}"}


def clients_file(folder: Path, *tables: dict[str, Any]) -> Path:
    """A file of trusted clients with these tables."""
    path = folder / "clients.toml"
    path.write_text("\n".join(f"[[client]]\n{_toml(table)}" for table in tables), encoding="utf-8")
    return path


def _toml(table: dict[str, Any]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{k}" = {_value(v)}' for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


def settings(folder: Path, *tables: dict[str, Any], **more: Any) -> Settings:
    """Settings with authentication on and these clients."""
    return Settings(
        auth="required",
        base_url=BASE,
        clients=clients_file(folder, *tables),
        hash_key=HASH_KEY,
        database_url=f"sqlite:///{folder}/memory.sqlite3",
        **more,
    )


class KeyServer:
    """An address on loopback that publishes a key set, and counts who asks."""

    def __init__(self) -> None:
        self.document: Any = {"keys": []}
        self.status = 200
        self.headers: dict[str, str] = {}
        self.delay_seconds = 0.0
        self.asked = 0
        self.url = ""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.asked += 1
        time.sleep(self.delay_seconds)
        body = self.document if isinstance(self.document, bytes) else json.dumps(self.document)
        response = Response(body, self.status, self.headers, content_type="application/json")
        assert "Authorization" not in Request(environ).headers
        return response(environ, start_response)


@contextmanager
def key_server() -> Iterator[KeyServer]:
    """A running key server."""
    publishing = KeyServer()
    server = make_server("127.0.0.1", 0, publishing, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    publishing.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
    yield publishing
    server.shutdown()
    thread.join()
    server.server_close()
