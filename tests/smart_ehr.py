"""A record system on loopback: SMART authorization and FHIR server, over real HTTP, well-behaved or not."""

import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

Json = dict[str, Any]
CLIENT_ID = "low-alp-timeline"
ACCESS_TOKEN = "access-token-that-nobody-may-see"
LAUNCH = "launch-1"


class Ehr:
    """What it holds, how it misbehaves, and what it was asked."""

    def __init__(self, bundle: Json) -> None:
        self.base = ""
        self.begin(bundle)

    def begin(self, bundle: Json) -> None:
        """Behave well again, and forget what was asked."""
        self.resources: list[Json] = [entry["resource"] for entry in bundle["entry"]]
        self.patient = next(r["id"] for r in self.resources if r["resourceType"] == "Patient")
        self.configuration: Json = {"capabilities": ["launch-ehr", "permission-v2"]}
        self.token: Json = {}
        """Members of the token answer that differ from the usual."""
        self.claims: Json = {}
        """Claims of the id_token that differ from the usual; None leaves one out."""
        self.token_answer: tuple[int, str, bytes | None] | None = None
        """Status, type and body; None: a body that breaks off."""
        self.token_delay_seconds = 0.0
        self.token_drips_seconds: float | None = None
        """Before each byte of a header without end."""
        self.statuses: dict[str, int] = {}
        """Status of a FHIR type or of one path that is refused."""
        self.authorized: list[Json] = []
        self.redeemed: list[Json] = []
        self.reads: list[tuple[str, str | None]] = []
        """Path with query as sent, and the Authorization header."""

    @property
    def iss(self) -> str:
        """The FHIR base."""
        return f"{self.base}/fhir"

    def smart_configuration(self) -> Json:
        """As published."""
        return {
            "issuer": self.base,
            "authorization_endpoint": f"{self.base}/authorize",
            "token_endpoint": f"{self.base}/token",
            "code_challenge_methods_supported": ["S256"],
            **self.configuration,
        }

    def authorize(self, query: Json) -> str:
        """Where the browser is sent back to."""
        self.authorized.append(query)
        return f"{query['redirect_uri']}?{urlencode({'code': 'code-1', 'state': query['state']})}"

    def redeem(self, form: Json) -> tuple[int, str, bytes | None]:
        """The token, for the code verifier that belongs to the challenge, once."""
        self.redeemed.append(form)
        time.sleep(self.token_delay_seconds)
        if self.token_answer is not None:
            return self.token_answer
        asked = self.authorized[-1]
        challenge = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest())
        right = {
            "grant_type": "authorization_code",
            "code": "code-1",
            "redirect_uri": asked["redirect_uri"],
            "client_id": asked["client_id"],
            "code_verifier": form["code_verifier"],
        }
        if form != right or challenge.rstrip(b"=").decode() != asked["code_challenge"]:
            return 400, "application/json", b'{"error":"invalid_grant"}'
        answer = {
            "access_token": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": 600,
            "scope": asked["scope"],
            "patient": self.patient,
            "id_token": self.id_token(asked),
            **self.token,
        }
        return 200, "application/json", json.dumps(_without_none(answer)).encode()

    def id_token(self, asked: Json) -> str:
        """Unsigned parts do for a client that takes it from the token endpoint itself."""
        claims = {
            "iss": self.base,
            "aud": CLIENT_ID,
            "exp": int(time.time()) + 300,
            "nonce": asked["nonce"],
            "fhirUser": f"{self.iss}/Practitioner/clinician-1",
            **self.claims,
        }
        parts = ({"alg": "RS384"}, _without_none(claims))
        return ".".join([*(_part(p) for p in parts), "signature"])

    def read(self, path: str, query: str) -> tuple[int, Json]:
        """One FHIR interaction."""
        kind, _, identity = path.partition("/")
        if kind in self.statuses:
            return self.statuses[kind], {"resourceType": "OperationOutcome"}
        if identity:
            found = [r for r in self.resources if r["resourceType"] == kind]
            return (200, found[0]) if found else (404, {})
        parameters = {name: values[0] for name, values in parse_qs(query).items()}
        assert parameters["patient"] == self.patient
        found = [r for r in self.resources if r["resourceType"] == kind]
        if "code" in parameters:
            wanted = set(parameters["code"].split(","))
            found = [
                r
                for r in found
                if any(
                    f"{c.get('system')}|{c.get('code')}" in wanted
                    for c in r["code"].get("coding", [])
                )
            ]
        entries = [{"resource": r} for r in found]
        return 200, {"resourceType": "Bundle", "type": "searchset", "entry": entries}


@contextmanager
def running(bundle: Json) -> Iterator[Ehr]:
    """The record system on a free port of loopback."""
    ehr = Ehr(bundle)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path == "/fhir/.well-known/smart-configuration":
                self._json(200, ehr.smart_configuration())
            elif parts.path == "/authorize":
                self.send_response(302)
                self.send_header("Location", ehr.authorize(query))
                self.end_headers()
            else:
                ehr.reads.append((self.path, self.headers["Authorization"]))
                self._json(*ehr.read(parts.path.removeprefix("/fhir/"), parts.query))

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if ehr.token_drips_seconds is not None:
                _drip(self.wfile, ehr.token_drips_seconds)
                return
            self._answer(*ehr.redeem({name: values[0] for name, values in form.items()}))

        def _json(self, status: int, value: Json) -> None:
            self._answer(status, "application/json", json.dumps(value).encode())

        def _answer(self, status: int, kind: str, body: bytes | None) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", "100" if body is None else str(len(body)))
            if 300 <= status < 400:
                self.send_header("Location", f"{ehr.base}/elsewhere")
            self.end_headers()
            with suppress(OSError):  # the client gave up, which is what some tests are about
                self.wfile.write(b"{" if body is None else body)

        def log_message(self, *_: object) -> None:
            """Be silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ehr.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield ehr
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _drip(client: BufferedIOBase, seconds: float) -> None:
    """A header without end, for ten seconds at most."""
    with suppress(OSError):  # the client gave up
        client.write(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(int(10 / seconds)):
            client.write(b"x")
            time.sleep(seconds)


def _without_none(members: Json) -> Json:
    return {name: value for name, value in members.items() if value is not None}


def _part(value: Json) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
