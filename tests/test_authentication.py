"""Who may call (rows JWT, SEC, FB-27, DISC-20): one trusted token a call, and one answer to all others."""

import base64
import hashlib
import hmac
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds_service.app import create_app
from cds_service.clients import Client as Site
from cds_service.guidance import Advisor
from cds_service.tokens import key_server as key_server_module
from cds_service.tokens.audience import is_for
from cds_service.tokens.key_server import KeyServer, KeysUnavailable
from cds_service.tokens.key_sets import PUBLIC_SANDBOX_KID
from cds_service.tokens.token_check import TokenCheck
from tests.charts import REFERENCE, Json
from tests.conftest import Client
from tests.hostile import LOW, serving
from tests.signing import BASE, VIEW, Signer, key_server
from tests.signing import settings as required

EHR = Signer("https://ehr.hospital.example")
OTHER = Signer("https://other.example")
RSA = Signer("https://rsa.example", "RS384")
TENANT = Signer("https://cloud.example")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, advisor: Advisor) -> Iterator[Client]:
    """The service with authentication, and four clients."""
    folder = tmp_path_factory.mktemp("guarded")
    asked = required(
        folder,
        {"name": "ehr", "issuer": EHR.issuer, "jwks": EHR.jwks()},
        {"name": "other", "issuer": OTHER.issuer, "jwks": OTHER.jwks(), "strict_discovery": True},
        {"name": "rsa", "issuer": RSA.issuer, "jwks": RSA.jwks()},
        {"name": "north", "issuer": TENANT.issuer, "jwks": TENANT.jwks(), "tenants": ["north"]},
    )
    with serving(create_app(asked, today=lambda: REFERENCE), advisor) as client:
        yield client


@pytest.fixture(scope="module")
def body(guarded: Client) -> Json:
    return guarded.request(*LOW)


def refused(response: requests.Response) -> None:
    """The one answer to every token that is not accepted."""
    assert response.status_code == 401, response.text
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.json() == {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "error",
                "code": "login",
                "diagnostics": "A CDS Hooks client token that this service accepts is needed.",
            }
        ],
    }


def b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("signer", [EHR, RSA], ids=["ES384", "RS384"])
def test_a_trusted_token_is_answered(guarded: Client, body: Json, signer: Signer) -> None:
    answer = guarded.post(VIEW, json=body, headers=signer.bearer(VIEW))
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["cards"]) == 1


def test_discovery_asks_who_calls_too(guarded: Client) -> None:
    """DISC-20, JWT-31."""
    refused(guarded.get("/cds-services"))
    path = "/cds-services"
    assert guarded.get(path, headers=EHR.bearer(path)).status_code == 200
    refused(guarded.get(path, headers=EHR.bearer(VIEW)))


def test_a_strict_client_gets_what_1_0_had(guarded: Client) -> None:
    path = "/cds-services"
    services = guarded.get(path, headers=OTHER.bearer(path)).json()["services"]
    assert {name for s in services for name in s} == {
        "hook", "title", "description", "id", "prefetch",
    }  # fmt: skip
    full = guarded.get(path, headers=EHR.bearer(path)).json()["services"]
    assert {"usageRequirements", "version", "hookVersion"} < set(full[0])


def test_a_token_is_good_for_one_call(guarded: Client, body: Json) -> None:
    """JWT-40."""
    token = EHR.bearer(VIEW)
    assert guarded.post(VIEW, json=body, headers=token).status_code == 200
    refused(guarded.post(VIEW, json=body, headers=token))


def test_of_many_who_use_a_token_at_once_one_is_answered(guarded: Client, body: Json) -> None:
    """JWT-40."""
    token = EHR.bearer(VIEW)
    statuses: list[int] = []

    def use() -> None:
        statuses.append(guarded.post(VIEW, json=body, headers=token).status_code)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [401] * 7


def test_feedback_needs_a_token_of_its_own_and_is_on_the_clients_own_cards(
    guarded: Client, body: Json
) -> None:
    """FB-27, JWT-34."""
    path = f"{VIEW}/feedback"
    answer = guarded.post(VIEW, json=body, headers=EHR.bearer(VIEW)).json()
    (card,) = [card["uuid"] for card in answer["cards"]]
    entry = {"card": card, "outcome": "overridden", "outcomeTimestamp": "2026-11-01T09:30:00Z"}

    def told(headers: dict[str, str]) -> requests.Response:
        return guarded.post(path, json={"feedback": [entry]}, headers=headers)

    for headers in ({}, EHR.bearer(VIEW), EHR.bearer(VIEW.replace("patient-view", "order-sign"))):
        refused(told(headers))
    token = EHR.bearer(path)
    assert told(token).json() == {"received": 1, "unknownCards": 0}
    refused(told(token))
    assert told(OTHER.bearer(path)).json() == {"received": 1, "unknownCards": 1}


NOW = int(time.time())
CLAIMS: dict[str, dict[str, Any]] = {
    "no iss": {"iss": ...},
    "unknown iss": {"iss": "https://ehr.hospital.example/"},
    "iss of another": {"iss": OTHER.issuer},
    "no aud": {"aud": ...},
    "aud is the base": {"aud": BASE},
    "aud of another service": {"aud": f"{BASE}/cds-services/low-alp-order-sign"},
    "aud of feedback": {"aud": f"{BASE}{VIEW}/feedback"},
    "aud of discovery": {"aud": f"{BASE}/cds-services"},
    "aud of another host": {"aud": f"https://evil.example{VIEW}"},
    "aud with another host before": {"aud": f"https://evil.example/{BASE}{VIEW}"},
    "aud is a number": {"aud": 7},
    "aud is an object": {"aud": {"url": BASE + VIEW}},
    "aud is empty": {"aud": []},
    "aud with a query": {"aud": f"{BASE}{VIEW}?x=1"},
    "no exp": {"exp": ...},
    "exp is text": {"exp": str(NOW + 300)},
    "exp is true": {"exp": True},
    "exp without end": {"exp": 10**400},
    "expired": {"exp": NOW - 60, "iat": NOW - 120},
    "lives for an hour": {"exp": NOW + 3600},
    "lives for ever": {"exp": 2**62},
    "no iat": {"iat": ...},
    "from the future": {"iat": NOW + 3600, "exp": NOW + 3700},
    "not yet": {"nbf": NOW + 3600},
    "no jti": {"jti": ...},
    "empty jti": {"jti": ""},
    "jti is a number": {"jti": 5},
    "nested": {"jti": [[[[]]]]},
}


@pytest.mark.parametrize("claims", CLAIMS.values(), ids=CLAIMS)
def test_claims_that_are_not_right(guarded: Client, body: Json, claims: dict[str, Any]) -> None:
    """JWT-33, JWT-34."""
    refused(guarded.post(VIEW, json=body, headers=EHR.bearer(VIEW, **claims)))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": [BASE + VIEW]},
        {"aud": ["https://elsewhere.example", BASE + VIEW]},
        {"aud": f"{BASE}/cds-services//low-alp-patient-view"},
        {"aud": f"{BASE}{VIEW}/"},
        {"nbf": NOW - 10},
        {"iat": NOW + 5},
        {"tenant": "any", "sub": "unread", "extension": {"x": [1]}},
    ],
    ids=lambda claims: " ".join(map(str, claims)),
)
def test_claims_that_are_right(guarded: Client, body: Json, claims: dict[str, Any]) -> None:
    """JWT-33, JWT-34."""
    answer = guarded.post(VIEW, json=body, headers=EHR.bearer(VIEW, **claims))
    assert answer.status_code == 200, answer.text


def test_an_address_with_a_doubled_slash_is_the_same(guarded: Client, body: Json) -> None:
    """The sandbox of CDS Hooks calls and signs so, when it was given a slash too many."""
    doubled = "/cds-services//low-alp-patient-view"
    for path in (doubled, VIEW):
        answer = guarded.post(doubled, json=body, headers=EHR.bearer(path))
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "base, path, audience, right",
    [
        (BASE, VIEW, BASE + VIEW, True),
        (BASE, VIEW, BASE.upper() + VIEW, False),
        (BASE, VIEW, BASE.replace("https", "http") + VIEW, False),
        (BASE, "/cds-services", f"{BASE}/cds-services/", True),
        (BASE, "/cds-services/", f"{BASE}/cds-services", True),
        (BASE, "/cds-services", f"{BASE}-evil/cds-services", False),
        (BASE, VIEW, f"{BASE}/cds-services/../cds-services/low-alp-patient-view", False),
    ],
)
def test_the_audience_is_the_public_address(
    base: str, path: str, audience: str, right: bool
) -> None:
    """JWT-34."""
    assert is_for(audience, base, path) is right


@pytest.mark.parametrize(
    "tenant, status", [("north", 200), ("south", 401), (None, 401), (..., 401)]
)
def test_a_tenant_that_is_not_listed(
    guarded: Client, body: Json, tenant: object, status: int
) -> None:
    answer = guarded.post(VIEW, json=body, headers=TENANT.bearer(VIEW, tenant=tenant))
    assert answer.status_code == status


HEADERS: dict[str, dict[str, Any]] = {
    "no kid": {"kid": ...},
    "unknown kid": {"kid": "another"},
    "kid of another client": {"kid": OTHER.kid},
    "kid is a path": {"kid": "../../../../dev/null"},
    "kid is SQL": {"kid": f"{EHR.kid}' OR '1'='1"},
    "kid is an address": {"kid": "https://evil.example/key"},
    "huge kid": {"kid": "k" * 6000},
    "kid with a line break": {"kid": f"{EHR.kid}\nrefused"},
    "unlisted jku": {"jku": "https://evil.example/jwks.json"},
    "jku on loopback": {"jku": "http://127.0.0.1:1/jwks.json"},
    "jku is a file": {"jku": "file:///etc/passwd"},
    "jku is a number": {"jku": 7},
    "jku with userinfo": {"jku": "https://ehr.hospital.example@evil.example/jwks"},
    "critical": {"crit": ["exp"], "exp": 1},
    "critical and empty": {"crit": []},
    "critical b64": {"crit": ["b64"], "b64": True},
    "typ of another kind": {"typ": "at+jwt"},
    "typ is a number": {"typ": 7},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_headers_that_are_not_right(guarded: Client, body: Json, header: dict[str, Any]) -> None:
    """JWT-32, JWT-38."""
    if "b64" in header:
        # PyJWT would sign it as detached; the bytes are made by hand.
        head = b64({"alg": "ES384", "typ": "JWT", "kid": EHR.kid, "crit": ["b64"], "b64": False})
        refused(guarded.post(VIEW, json=body, headers={"Authorization": f"Bearer {head}..AAAA"}))
        return
    refused(guarded.post(VIEW, json=body, headers=EHR.bearer(VIEW, header)))


@pytest.mark.parametrize("typ", ["JWT", "jwt", None])
def test_a_token_says_that_it_is_one_or_says_nothing(
    guarded: Client, body: Json, typ: str | None
) -> None:
    """JWT-32: clients have to say so; that one does not is no danger here."""
    answer = guarded.post(VIEW, json=body, headers=EHR.bearer(VIEW, {"typ": typ}))
    assert answer.status_code == 200, answer.text


def test_a_key_that_comes_with_the_token_is_not_looked_at(guarded: Client, body: Json) -> None:
    thief = Signer(EHR.issuer, kid=EHR.kid)
    for header in ({"jwk": thief.jwk()}, {"x5u": "https://evil.example"}, {"x5c": ["AAAA"]}):
        refused(guarded.post(VIEW, json=body, headers=thief.bearer(VIEW, header)))


def test_one_clients_key_does_not_sign_for_another(guarded: Client, body: Json) -> None:
    thief = Signer(EHR.issuer)
    thief.key, thief.kid = OTHER.key, OTHER.kid
    refused(guarded.post(VIEW, json=body, headers=thief.bearer(VIEW)))


@pytest.mark.parametrize("signer", [EHR, RSA], ids=["EC", "RSA"])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_shared_secret(
    guarded: Client, body: Json, signer: Signer, algorithm: str
) -> None:
    """JWT-36."""
    public = signer.key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = (
        f"{b64({'alg': algorithm, 'typ': 'JWT', 'kid': signer.kid})}.{b64(signer.claims(VIEW))}"
    )
    digest = hmac.new(pem, signed.encode(), getattr(hashlib, f"sha{algorithm[2:]}")).digest()
    token = f"{signed}.{b64(digest)}"
    refused(guarded.post(VIEW, json=body, headers={"Authorization": f"Bearer {token}"}))


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "nOnE", "", "ES256", "RS384", "ES384 ", None]
)
def test_the_key_says_the_algorithm_not_the_token(
    guarded: Client, body: Json, algorithm: object
) -> None:
    """JWT-35, JWT-37."""
    claims = b64(EHR.claims(VIEW))
    valid = EHR.token(VIEW).rsplit(".", 1)[1]
    for signature in ("", valid):
        token = f"{b64({'alg': algorithm, 'typ': 'JWT', 'kid': EHR.kid})}.{claims}.{signature}"
        refused(guarded.post(VIEW, json=body, headers={"Authorization": f"Bearer {token}"}))


def test_an_algorithm_that_the_client_may_not_use(guarded: Client, body: Json) -> None:
    """JWT-37: The key could, but the client was agreed on ES384 and RS384."""
    weaker = Signer(RSA.issuer, "RS256", RSA.kid)
    weaker.key = RSA.key
    refused(guarded.post(VIEW, json=body, headers=weaker.bearer(VIEW)))


def test_changed_by_one_character(guarded: Client, body: Json) -> None:
    token = EHR.token(VIEW)
    for place in range(0, len(token), 37):
        other = "A" if token[place] != "A" else "B"
        changed = token[:place] + other + token[place + 1 :]
        refused(guarded.post(VIEW, json=body, headers={"Authorization": f"Bearer {changed}"}))


def test_a_claim_that_stands_there_twice_is_read_once(guarded: Client, body: Json) -> None:
    """One reader, one meaning: the last, which here is for another address."""
    doubled = json.dumps(EHR.claims(VIEW))[:-1] + f', "aud": "{BASE}/cds-services"}}'
    token = jwt.PyJWS().encode(doubled.encode(), EHR.key, "ES384", {"kid": EHR.kid})
    refused(guarded.post(VIEW, json=body, headers={"Authorization": f"Bearer {token}"}))


@pytest.mark.parametrize(
    "value",
    [
        "", "Bearer", "Bearer ", "Basic dTpw", "Bearer a", "Bearer a.b", "Bearer a.b.c", "Bearer ...",
        "Bearer a.b.c.d.e", "bearer  x y", "Bearer " + "a" * 7000, "Bearer " + ".".join("eyJ" * 900),
        "Bearer eyJhbGciOiJFUzM4NCJ9.e30.", "Bearer é.é.é", "Token x",
    ],
)  # fmt: skip
def test_what_is_no_token(guarded: Client, body: Json, value: str) -> None:
    header = {"Authorization": value.encode("latin-1")}
    refused(guarded.post(VIEW, json=body, headers=header))


def test_an_oversized_token(guarded: Client, body: Json) -> None:
    refused(guarded.post(VIEW, json=body, headers=EHR.bearer(VIEW, more="x" * 9000)))


def test_thousands_of_forgeries_are_all_refused(guarded: Client) -> None:
    """Built of the parts of real tokens, of other tokens, and of what is no part at all."""
    app = create_app_of(guarded)
    real = EHR.token(VIEW).split(".")
    parts = st.sampled_from(
        [*real, *OTHER.token(VIEW).split("."), "", "e30", b64({"alg": "none"}), b64({"alg": "ES384"}),
         b64([1]), b64(b"\xff\xfe"), b64(b"[" * 3000), b64({"alg": "ES384", "kid": {"a": 1}})]
    )  # fmt: skip
    forged = st.lists(st.one_of(parts, st.text(max_size=20)), min_size=1, max_size=4)

    @settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(forged)
    def check(made: list[str]) -> None:
        if made == real:
            return
        text = ".".join(made).encode("utf-8", "replace").decode("latin-1")
        text = "".join(c for c in text if c.isprintable())
        answer = app.post(VIEW, json={}, headers={"Authorization": f"Bearer {text}"})
        assert answer.status_code == 401

    check()


def create_app_of(client: Client) -> Any:
    """The same application without the network between, for thousands of calls."""
    return client.app.test_client()


def test_the_log_says_why_and_nothing_of_the_token(
    guarded: Client, body: Json, caplog: pytest.LogCaptureFixture
) -> None:
    """JWT-40, SEC-3."""
    caplog.set_level(logging.DEBUG)
    token = EHR.token(
        VIEW, jti="Sentinel-jti", tenant="Sentinel-tenant", exp=NOW - 90, iat=NOW - 91
    )
    refused(guarded.post(VIEW, json=body, headers={"Authorization": f"Bearer {token}"}))
    (line,) = [r.getMessage() for r in caplog.records if r.name == "cds_service.audit"]
    told = json.loads(line.removeprefix("audit "))
    assert told["reason"] == "expired"
    assert (told["client"], told["claimed"], told["status"]) == (None, "ehr", 401)
    assert "Sentinel" not in caplog.text
    assert not any(part in caplog.text for part in token.split("."))


# --- keys behind an address


@pytest.fixture
def clock() -> list[float]:
    """Seconds that pass only when the test says so."""
    return [1000.0]


def test_keys_are_kept_and_asked_for_again_with_restraint(clock: list[float]) -> None:
    """JWT-39."""
    with key_server() as published:
        published.document = EHR.jwks()
        keys = KeyServer(published.url, lambda: clock[0])
        for _ in range(50):
            assert [k.kid for k in keys.find(EHR.kid)] == [EHR.kid]
        assert published.asked == 1
        for attempt in range(200):  # a caller who invents key ids
            assert keys.find(f"invented-{attempt}") == ()
        assert published.asked == 1
        clock[0] += key_server_module.PAUSE_SECONDS
        published.document = OTHER.jwks()  # rotated
        assert [k.kid for k in keys.find(OTHER.kid)] == [OTHER.kid]
        assert published.asked == 2
        assert keys.find(EHR.kid) == (), "what the server took back is not trusted any more"


def test_keys_outlive_their_server_for_a_while(clock: list[float]) -> None:
    with key_server() as published:
        published.document = EHR.jwks()
        keys = KeyServer(published.url, lambda: clock[0])
        assert keys.find(EHR.kid)
        published.status = 500
        clock[0] += key_server_module.GRACE_SECONDS
        assert keys.find(EHR.kid)
        clock[0] += 1
        with pytest.raises(KeysUnavailable):
            keys.find(EHR.kid)
        asked = published.asked
        with pytest.raises(KeysUnavailable):
            keys.find(EHR.kid)
        assert published.asked == asked, "a server that is down is left alone"


def test_after_a_quiet_night_all_who_come_at_once_are_answered(clock: list[float]) -> None:
    with key_server() as published, ThreadPoolExecutor(8) as callers:
        published.document = EHR.jwks()
        keys = KeyServer(published.url, lambda: clock[0])
        assert keys.find(EHR.kid)
        clock[0] += key_server_module.GRACE_SECONDS + 1
        published.delay_seconds = 0.3
        found = list(callers.map(lambda _: [k.kid for k in keys.find(EHR.kid)], range(8)))
        assert found == [[EHR.kid]] * 8
        assert published.asked == 2, "one asks, and the others wait for it"


def test_a_key_server_that_drips_its_headers_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No single wait is long, so only the whole can be limited; and nobody asks again meanwhile."""
    monkeypatch.setattr(key_server_module, "_WHOLE_SECONDS", 0.5)
    monkeypatch.setattr(key_server_module, "PAUSE_SECONDS", 0)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as server:
        keys = KeyServer(f"http://127.0.0.1:{listening.getsockname()[1]}/jwks.json")
        server.submit(_dripping, listening, over)
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(KeysUnavailable):
                keys.find(EHR.kid)
        assert time.monotonic() - began < 5
        listening.settimeout(0)
        with pytest.raises(BlockingIOError):
            listening.accept()
        over.set()


def _dripping(listening: socket.socket, over: threading.Event) -> None:
    """A header without end."""
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not over.wait(0.1):
            connection.sendall(b"x")


def test_the_body_of_a_redirect_is_not_read() -> None:
    """It could be without end."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as server:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/jwks.json"
        hung_up = server.submit(_redirecting_without_end, listening)
        with pytest.raises(KeysUnavailable):
            KeyServer(url).find(EHR.kid)
        assert hung_up.result(), "it was not listened to until it gave up"


def _redirecting_without_end(listening: socket.socket) -> bool:
    """Whether the other side hung up before 64 MB were sent."""
    connection, _ = listening.accept()
    with connection:
        connection.settimeout(10)
        connection.recv(65536)
        try:
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n")
            for _ in range(64):
                connection.sendall(b" " * 1024 * 1024)
        except OSError:
            return True
    return False


@pytest.mark.parametrize(
    "document, status, headers",
    [
        (EHR.jwks(), 302, {"Location": "http://127.0.0.1:1/elsewhere"}),
        (EHR.jwks(), 404, {}),
        ({"keys": "none"}, 200, {}),
        ([], 200, {}),
        (b"not JSON", 200, {}),
        (b"[" * 100_000, 200, {}),
        (b" " * 300_000 + json.dumps(EHR.jwks()).encode(), 200, {}),
        (json.dumps(EHR.jwks()).encode(), 200, {"Content-Encoding": "gzip"}),
    ],
    ids=["redirect", "404", "keys are text", "list", "no JSON", "deep", "long", "not packed"],
)
def test_what_is_no_key_set(document: Any, status: int, headers: dict[str, str]) -> None:
    with key_server() as published:
        published.document, published.status, published.headers = document, status, headers
        with pytest.raises(KeysUnavailable):
            KeyServer(published.url).find(EHR.kid)


def test_while_one_clients_keys_are_at_hand_no_other_server_is_asked_for_readiness(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A probe must not wait for a key server that is down, whichever stands first in the file."""
    monkeypatch.setattr(key_server_module, "PAUSE_SECONDS", 0)
    with key_server() as down, key_server() as up:
        down.status, up.document = 500, EHR.jwks()
        clients = [
            Site("down", issuer=OTHER.issuer, jwks_url=down.url),
            Site("up", issuer=EHR.issuer, jwks_url=up.url),
        ]
        for order in (clients, clients[::-1]):
            tokens = TokenCheck(order, {}, BASE)
            assert tokens.has_keys()
            asked = down.asked, up.asked
            assert tokens.has_keys()
            assert (down.asked, up.asked) == asked


def test_a_listed_jku_is_called_and_no_other(tmp_path: Path, advisor: Advisor) -> None:
    """JWT-38."""
    with key_server() as listed, key_server() as unlisted:
        listed.document = unlisted.document = EHR.jwks()
        asked = required(
            tmp_path,
            {"name": "ehr", "issuer": EHR.issuer, "jwks_url": listed.url, "jku": [listed.url]},
        )
        with serving(create_app(asked, today=lambda: REFERENCE), advisor) as client:
            body = client.request(*LOW)
            for url, status in ((listed.url, 200), (unlisted.url, 401), (f"{listed.url}?x", 401)):
                answer = client.post(VIEW, json=body, headers=EHR.bearer(VIEW, {"jku": url}))
                assert answer.status_code == status
            assert client.post(VIEW, json=body, headers=EHR.bearer(VIEW)).status_code == 200
        assert (listed.asked, unlisted.asked) == (1, 0)


def test_a_key_server_that_is_down_is_503_and_not_a_free_pass(
    tmp_path: Path, advisor: Advisor
) -> None:
    gone = {"name": "ehr", "issuer": EHR.issuer, "jwks_url": "http://127.0.0.1:1/jwks.json"}
    with serving(create_app(required(tmp_path, gone)), advisor) as client:
        answer = client.post(VIEW, json={}, headers=EHR.bearer(VIEW))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_the_public_sandboxs_key_is_not_trusted_behind_any_address(
    tmp_path: Path, advisor: Advisor
) -> None:
    sandbox = Signer("https://looks-honest.example", kid=PUBLIC_SANDBOX_KID)
    with key_server() as published:
        published.document = sandbox.jwks()
        table = {"name": "x", "issuer": sandbox.issuer, "jwks_url": published.url}
        with serving(create_app(required(tmp_path, table)), advisor) as client:
            refused(client.post(VIEW, json={}, headers=sandbox.bearer(VIEW)))
        trusting = {**table, "trust_public_sandbox_key": True}
        with serving(create_app(required(tmp_path, trusting)), advisor) as client:
            answer = client.post(VIEW, json={}, headers=sandbox.bearer(VIEW))
    assert answer.status_code == 400, "let in, and then told what the body lacks"


def test_a_lost_database_is_503_and_not_a_free_pass(tmp_path: Path, advisor: Advisor) -> None:
    asked = required(tmp_path, {"name": "ehr", "issuer": EHR.issuer, "jwks": EHR.jwks()})
    with serving(create_app(asked), advisor) as client:
        for file in tmp_path.glob("memory.sqlite3*"):
            file.unlink()
        tmp_path.joinpath("memory.sqlite3").mkdir()
        answer = client.post(VIEW, json={}, headers=EHR.bearer(VIEW))
    assert answer.status_code == 503
    assert answer.json()["issue"][0]["code"] == "transient"


def test_two_machines_with_one_database_share_what_was_used(
    tmp_path: Path, advisor: Advisor
) -> None:
    asked = required(tmp_path, {"name": "ehr", "issuer": EHR.issuer, "jwks": EHR.jwks()})
    token = EHR.bearer(VIEW)
    with (
        serving(create_app(asked), advisor) as one,
        serving(create_app(asked), advisor) as two,
    ):
        assert one.post(VIEW, json={}, headers=token).status_code == 400
        refused(two.post(VIEW, json={}, headers=token))
