"""The clients file and its commands: what is refused at start, what is added, why a token is refused."""

import json
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from sqlalchemy import text

from cds_service.clients import Client
from cds_service.clients_file import KEYS, read_clients
from cds_service.database import open_database
from cds_service.errors import KnowledgeError
from cds_service.tokens.key_sets import PUBLIC_SANDBOX_KID
from tests.databases import PostgreSQL
from tests.processes import answering, free_port, running
from tests.signing import BASE, HASH_KEY, VIEW, Signer, clients_file
from tests.test_cli import process, refused, run, says_one_line

EHR = Signer("https://ehr.hospital.example")
OTHER = Signer("https://other.example")
TABLE: dict[str, Any] = {"name": "ehr", "issuer": EHR.issuer, "jwks": EHR.jwks()}
URL = {"jwks": ..., "jwks_url": "https://ehr.hospital.example/jwks.json"}


def without_dots(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not ...}


def test_of_two_clients_with_one_fhir_server_only_one_is_launched(tmp_path: Path) -> None:
    """A launch names the server alone: it must not be one client's launch with the other's id."""
    launching = {"smart_links": True, "smart_client_id": "timeline"}
    one = {**TABLE, "fhir_servers": ["https://ehr.hospital.example/fhir"]}
    other = {
        "name": "other",
        "issuer": OTHER.issuer,
        "jwks": OTHER.jwks(),
        "fhir_servers": ["https://EHR.hospital.example:443/fhir/"],
    }
    assert len(read_clients(clients_file(tmp_path, {**one, **launching}, other)).clients) == 2
    with pytest.raises(KnowledgeError, match=r"\[client other\] smart_links: ehr and other have"):
        read_clients(clients_file(tmp_path, {**one, **launching}, {**other, **launching}))


def test_every_key_of_a_client_is_documented() -> None:
    assert set(KEYS) == {field.name for field in msgspec.structs.fields(Client)}


def test_a_client_with_every_key(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(EHR.jwks()), encoding="utf-8")
    table = {
        "name": "ehr",
        "issuer": EHR.issuer,
        "tenants": ["north"],
        "jwks_file": "keys.json",
        "jku": ["https://ehr.hospital.example/jwks.json"],
        "algorithms": ["ES384", "EdDSA"],
        "fhir_servers": ["https://ehr.hospital.example/fhir", "10.1.0.0/16"],
        "cors_origins": [
            "https://ehr.hospital.example",
            "http://127.0.0.1:443",
            "http://[::1]:8080",
        ],
        "smart_links": True,
        "smart_client_id": "timeline",
        "frame_ancestors": ["https://ehr.hospital.example"],
        "action_selection_behavior": ["any", "at-most-one"],
        "strict_discovery": True,
        "rate_per_minute": 5,
        "trust_public_sandbox_key": False,
    }
    trusted = read_clients(clients_file(tmp_path, table))
    (client,) = trusted.clients
    told = json.loads(msgspec.json.encode(client))
    assert {key: told[key] for key in table} == table
    assert [key.kid for key in trusted.static_keys["ehr"].keys] == [EHR.kid]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"isuer": "x"}, r"\[client ehr\] unknown key isuer; did you mean issuer"),
    "no issuer": ({"issuer": ...}, r"issuer: is required"),
    "no name": ({"name": ...}, r"\[client 1\].*name"),
    "name with a space": ({"name": "the ehr"}, r"name: a letter or digit"),
    "no keys": ({"jwks": ...}, r"jwks_url: exactly one of jwks_url, jwks_file and jwks"),
    "two places": ({"jwks_file": "x"}, r"exactly one"),
    "file not there": ({"jwks": ..., "jwks_file": "x"}, r"jwks_file: cannot be read"),
    "not a key set": ({"jwks": {"keys": 5}}, r"jwks: it is to be a JSON Web Key Set"),
    "symmetric": (
        {"jwks": {"keys": [{"kty": "oct", "k": "AAAA", "kid": "1"}]}},
        r"keys\[0\]: a public key is needed; a shared secret",
    ),
    "private": ({"jwks": {"keys": [EHR.jwk(d="AAAA")]}}, r"keys\[0\]: this is a private key"),
    "no kid": ({"jwks": {"keys": [EHR.jwk(kid="")]}}, r"keys\[0\]: a 'kid' is needed"),
    "for encryption": ({"jwks": {"keys": [EHR.jwk(use="enc")]}}, r"a key for signatures"),
    "curve unknown": (
        {"jwks": {"keys": [EHR.jwk(crv="P-1")]}},
        r"an EC .* key with a fitting 'alg'",
    ),
    "alg does not fit": ({"jwks": {"keys": [EHR.jwk(alg="HS256")]}}, r"a fitting 'alg'"),
    "broken key": ({"jwks": {"keys": [EHR.jwk(x="AAAA")]}}, r"not a usable EC key"),
    "HS256": ({"algorithms": ["HS256"]}, r"algorithms: 'HS256' is not one of ES256"),
    "none": ({"algorithms": ["none"]}, r"algorithms: 'none' is not one of"),
    "no algorithm": ({"algorithms": []}, r"algorithms: at least one"),
    "algorithm of no key": ({"algorithms": ["RS384"]}, r"algorithms: none of its keys can sign"),
    "http": ({**URL, "jwks_url": "http://ehr.example/x"}, r"jwks_url: .* an https URL"),
    "file": ({**URL, "jwks_url": "file:///etc/passwd"}, r"jwks_url: .* an https URL"),
    "userinfo": ({**URL, "jku": ["https://a@b.example/"]}, r"jku: .* an https URL"),
    "backslash": ({**URL, "jku": ["https://a.example\\@b.example/"]}, r"jku: .* an https URL"),
    "decimal loopback": ({**URL, "jku": ["http://2130706433/x"]}, r"jku: .* an https URL"),
    "port": ({**URL, "jku": ["https://a.example:99999/"]}, r"jku: .* an https URL"),
    "FHIR over http": ({"fhir_servers": ["http://ehr.example/fhir"]}, r"fhir_servers: .* https"),
    "FHIR with a query": (
        {"fhir_servers": ["https://a.example/fhir?x=1"]},
        r"fhir_servers: .* https",
    ),
    "FHIR in no network": ({"fhir_servers": ["10.1.0.7/16"]}, r"fhir_servers: .* a network"),
    "origin with a path": ({"cors_origins": ["https://a.example/"]}, r"cors_origins: .* an origin"),
    "origin *": ({"cors_origins": ["*"]}, r"cors_origins: .* an origin"),
    "origin with more in it": (
        {"frame_ancestors": ["https://a.example;script-src"]},
        r"frame_ancestors: .* an origin",
    ),
    "two origins": (
        {"cors_origins": ["https://a.example,b.example"]},
        r"cors_origins: .* an origin",
    ),
    "origin with its usual port": (
        {"cors_origins": ["https://a.example:443"]},
        r"cors_origins: .* an origin",
    ),
    "origin with half a port": (
        {"cors_origins": ["https://a.example:"]},
        r"cors_origins: .* an or",
    ),
    "origin null": ({"cors_origins": ["null"]}, r"cors_origins: .* an origin"),
    "rate": ({"rate_per_minute": 0}, r"rate_per_minute: a whole number"),
    "behaviour": ({"action_selection_behavior": ["some"]}, r"action_selection_behavior"),
    "sandbox": ({"issuer": "https://sandbox.cds-hooks.org"}, r"publishes its private key"),
    "sandbox's address": (
        {**URL, "jku": ["https://sandbox.cds-hooks.org/.well-known/jwks.json"]},
        r"trust_public_sandbox_key = true",
    ),
    "sandbox's key": (
        {"jwks": {"keys": [EHR.jwk(kid=PUBLIC_SANDBOX_KID)]}},
        r"private half is public",
    ),
}


@pytest.mark.parametrize("more, says", WRONG.values(), ids=WRONG)
def test_a_wrong_key_is_named_with_what_would_be_right(
    tmp_path: Path, more: dict[str, Any], says: str
) -> None:
    path = clients_file(tmp_path, without_dots({**TABLE, **more}))
    with pytest.raises(KnowledgeError, match=says) as found:
        read_clients(path)
    assert str(found.value).startswith(f"{path}: ")
    assert "\n" not in str(found.value)


def test_clients_must_be_told_apart(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match="stands there 2 times"):
        read_clients(clients_file(tmp_path, TABLE, {**TABLE, "issuer": "https://x.example"}))
    for tenants in ((["a"], ...), (["a"], ["a", "b"])):
        tables = [
            without_dots({**TABLE, "name": f"n{number}", "tenants": t})
            for number, t in enumerate(tenants)
        ]
        with pytest.raises(KnowledgeError, match="each needs tenants of its own"):
            read_clients(clients_file(tmp_path, *tables))


@pytest.mark.parametrize("content", ["", "[client]\n", "x = 1\n", "[[clients]]\n", "[[client"])
def test_a_file_of_another_kind(tmp_path: Path, content: str) -> None:
    path = tmp_path / "clients.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(KnowledgeError, match=re.escape(str(path))):
        read_clients(path)


# --- serve


def environment(folder: Path, *tables: dict[str, Any]) -> dict[str, str]:
    return {
        "CDS_CLIENTS": str(clients_file(folder, *(tables or (TABLE,)))),
        "CDS_BASE_URL": BASE,
        "CDS_HASH_KEY": HASH_KEY.decode(),
        "CDS_DATABASE_URL": f"sqlite:///{folder}/memory.sqlite3",
    }


@pytest.mark.parametrize("name", ["CDS_CLIENTS", "CDS_BASE_URL", "CDS_HASH_KEY"])
def test_serve_says_what_is_missing(tmp_path: Path, name: str) -> None:
    settings = {k: v for k, v in environment(tmp_path).items() if k != name}
    done = process("serve", "--port", str(free_port()), settings=settings)
    assert (done.returncode, done.stdout) == (2, "")
    says_one_line(done.stderr, f"CDS_AUTH=required needs {name}")


@pytest.mark.parametrize(
    "setting, says",
    [
        ({"CDS_BASE_URL": "http://cds.hospital.example"}, "an https URL"),
        ({"CDS_BASE_URL": "https://cds.hospital.example/?x"}, "an https URL"),
        ({"CDS_CLIENTS": "/nowhere.toml"}, "/nowhere.toml: cannot be read"),
        ({"CDS_HASH_KEY": "short"}, "a secret of at least 32 characters"),
        ({"CDS_CORS_ORIGINS": "https://a.example/path"}, "an origin such as"),
    ],
    ids=str,
)
def test_serve_refuses_what_is_wrong(tmp_path: Path, setting: dict[str, str], says: str) -> None:
    settings = {**environment(tmp_path), **setting}
    done = process("serve", "--port", str(free_port()), settings=settings)
    assert (done.returncode, done.stdout) == (2, "")
    says_one_line(done.stderr, says)


def test_serve_answers_trusted_clients_in_every_worker(tmp_path: Path) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    log = tmp_path / "log"
    with (
        log.open("w", encoding="utf-8") as output,
        running(
            "serve", "--port", str(port), "--workers", "2", output=output,
            settings=environment(tmp_path),
        ) as server,
    ):  # fmt: skip
        assert answering(base, server).status_code == 401
        for _ in range(6):  # connections of their own, so both workers are met
            token = EHR.bearer(VIEW)
            first = requests.post(base + VIEW, json={}, headers=token, timeout=10)
            again = requests.post(base + VIEW, json={}, headers=token, timeout=10)
            assert (first.status_code, again.status_code) == (400, 401)
    told = log.read_text(encoding="utf-8")
    assert "for the clients in CDS_CLIENTS" in told
    assert '"reason":"used before"' in told


# --- client add, client check


def test_add_writes_a_documented_file_and_says_what_the_ehr_needs(tmp_path: Path) -> None:
    path = tmp_path / "clients.toml"
    (tmp_path / "keys.json").write_text(json.dumps(EHR.jwks()), encoding="utf-8")
    settings = {"CDS_CLIENTS": str(path), "CDS_BASE_URL": BASE}
    added = run(
        "client", "add", "ehr", "--issuer", EHR.issuer, "--jwks-file", "keys.json",
        "--tenant", "north", "--fhir-server", "https://ehr.hospital.example/fhir",
        settings=settings,
    )  # fmt: skip
    assert added.exit_code == 0, added.output
    for line in (
        f"discovery: {BASE}/cds-services",
        f"{BASE}{VIEW}",
        f"feedback, patient-view: {BASE}{VIEW}/feedback",
        "ES384 or RS384",
        "tenant: north",
    ):
        assert line in added.output
    assert "timeline" not in added.output
    second = run(
        "client", "add", "other", "--issuer", OTHER.issuer, "--jwks-url",
        "https://other.example/jwks.json", "--rate-per-minute", "60", settings=settings,
    )  # fmt: skip
    assert second.exit_code == 0, second.output
    first, other = read_clients(path).clients
    assert (first.name, first.tenants, first.jwks_file) == ("ehr", ("north",), "keys.json")
    assert (other.name, other.rate_per_minute) == ("other", 60)
    written = path.read_text(encoding="utf-8")
    assert all(f"#   {key}: " in written for key in KEYS)
    assert list(tmp_path.glob("*.toml")) == [path], "nothing is left lying about"


def test_add_says_how_to_register_the_timeline(tmp_path: Path) -> None:
    settings = {"CDS_CLIENTS": str(tmp_path / "clients.toml"), "CDS_BASE_URL": BASE}
    added = run(
        "client", "add", "ehr", "--issuer", EHR.issuer, "--jwks-url", "https://ehr.example/jwks.json",
        "--smart-links", "--smart-client-id", "low-alp", "--fhir-server", "https://ehr.example/fhir",
        settings=settings,
    )  # fmt: skip
    assert added.exit_code == 0, added.output
    for line in (
        "a public client, without a secret, with PKCE (S256); id: low-alp",
        f"launch: {BASE}/smart/launch\n",
        f"redirect: {BASE}/smart/callback\n",
        "scopes: launch openid fhirUser patient/Condition.rs patient/Encounter.rs patient/Medication.rs"
        " patient/MedicationAdministration.rs",
        " patient/Specimen.rs\n",
    ):
        assert line in added.output


def test_check_of_the_knowledge_reads_the_clients_too(tmp_path: Path) -> None:
    settings = {"CDS_CLIENTS": str(clients_file(tmp_path, TABLE))}
    found = run("check", settings=settings)
    assert found.exit_code == 0
    assert found.output.endswith("clients.toml: 1 client (ehr)\n")
    missing = str(tmp_path / "nope.toml")
    refused(run("check", settings={"CDS_CLIENTS": missing}), missing)


def test_add_keeps_words_that_the_machine_has_no_letters_for(tmp_path: Path) -> None:
    path = clients_file(tmp_path, TABLE)
    note = "# asked for by Dr. M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller\n"
    path.write_text(note + path.read_text(encoding="utf-8"), encoding="utf-8")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    settings = {"CDS_CLIENTS": str(path), "CDS_BASE_URL": BASE, **plain}
    other = ["--issuer", OTHER.issuer, "--jwks-url", "https://other.example/jwks.json"]
    done = process("client", "add", "other", *other, settings=settings)
    assert done.returncode == 0, done.stderr
    assert path.read_text(encoding="utf-8").startswith(note)
    assert [c.name for c in read_clients(path).clients] == ["ehr", "other"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "options, says",
    [
        (
            ("--jwks-url", "http://ehr.example/x"),
            "jwks_url: 'http://ehr.example/x' is to be an https URL",
        ),
        ((), "exactly one of jwks_url"),
        (("--jwks-url", "https://sandbox.cds-hooks.org/x"), "publishes its private key"),
        (("--jwks-url", "https://x.example/", "--algorithm", "HS256"), "'HS256' is not one of"),
    ],
)
def test_add_leaves_the_file_alone_when_it_would_be_wrong(
    tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    path = clients_file(tmp_path, TABLE)
    before = path.read_bytes()
    result = run(
        "client", "add", "new", "--issuer", "https://new.example", *options,
        settings={"CDS_CLIENTS": str(path)},
    )  # fmt: skip
    refused(result, "Not added.", says, str(path))
    assert path.read_bytes() == before
    assert list(tmp_path.glob("*.toml")) == [path]


def test_check_says_why_a_token_is_refused(tmp_path: Path) -> None:
    settings = environment(tmp_path)
    accepted = run("client", "check", EHR.token(VIEW), settings=settings)
    assert accepted.output.startswith("Accepted: client ehr, for another 3")
    assert "(with 30 s of leeway), unless the service has seen it before" in accepted.output
    feedback = run(
        "client", "check", "-", given=EHR.token(f"{VIEW}/feedback").encode(), settings=settings
    )
    assert feedback.exit_code == 0
    now = int(time.time())
    for token, says in (
        (EHR.token(VIEW, exp=now - 100, iat=now - 200), "client ehr): expired: exp was 1"),
        (
            EHR.token(VIEW, aud="https://elsewhere.example"),
            "aud is 'https://elsewhere.example', not",
        ),
        (EHR.token(VIEW, {"kid": "other"}), "no key of this kid: kid is 'other'"),
        (
            EHR.token(VIEW, {"jku": "https://x.example"}),
            "jku not listed: jku is 'https://x.example'",
        ),
        (OTHER.token(VIEW), "no client has this issuer: iss is 'https://other.example'"),
        ("a.b.c", "not a JWT"),
    ):
        refused(run("client", "check", token, settings=settings), says)


# --- the same on PostgreSQL


def test_replay_and_rate_hold_across_machines_on_postgresql(
    tmp_path: Path, postgresql: PostgreSQL
) -> None:
    tables = {**TABLE, "rate_per_minute": 4}
    folder = tmp_path / "site"
    folder.mkdir()
    url = postgresql.migrated()
    settings = {**environment(folder, tables), "CDS_DATABASE_URL": url}
    ports = free_port(), free_port()
    bases = [f"http://127.0.0.1:{port}" for port in ports]
    with (
        (folder / "log").open("w", encoding="utf-8") as output,
        running("serve", "--port", str(ports[0]), output=output, settings=settings) as one,
        running("serve", "--port", str(ports[1]), output=output, settings=settings) as two,
    ):
        assert answering(bases[0], one).status_code == answering(bases[1], two).status_code == 401
        token = EHR.bearer(VIEW)
        statuses = [
            requests.post(base + VIEW, json={}, headers=header, timeout=10).status_code
            for base, header in zip(
                bases * 3, [token, token] + [EHR.bearer(VIEW) for _ in range(4)], strict=True
            )
        ]
        # The replay is refused before it counts; what is beyond the rate has spent its token all the same.
        assert statuses == [400, 401, 400, 400, 400, 429]
    engine = open_database(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM seen_tokens")).scalar() == 5
    engine.dispose()
