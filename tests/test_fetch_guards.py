"""Which servers and addresses may be called, what a token grants, and that a token shows nowhere."""

import pickle
import socket
from typing import Any

import msgspec
import pytest

from cds_service import bases
from cds_service.errors import DataUnavailable, RequestError
from cds_service.fhir.grant import AccessToken
from cds_service.fhir.scopes import read_scopes
from cds_service.fhir.servers import AddressRefused, AllowedServers
from cds_service.guidance import Advisor
from cds_service.hooks.request import HOOKS, decode
from tests.charts import PATIENT, Json
from tests.fetching import TOKEN, ehr
from tests.test_fetch_failures import CALL, GRANT, LOW

LISTED = "https://fhir.example/r4"


@pytest.mark.parametrize(
    "server",
    [LISTED, f"{LISTED}/", "https://fhir.example:443/r4", "HTTPS://FHIR.example/r4"],
)
def test_the_listed_base_in_another_spelling_is_the_same(server: str) -> None:
    assert AllowedServers([LISTED]).find(server) == bases.read_base(LISTED)


@pytest.mark.parametrize(
    "server",
    [
        "http://fhir.example/r4",
        "https://fhir.example:8443/r4",
        "https://fhir.example/r5",
        "https://fhir.example/r4/tenant",
        "https://fhir.example",
        "https://fhir.example.evil.example/r4",
        "https://evil.example/r4",
        "https://fhir.example@evil.example/r4",
        "https://user:word@fhir.example/r4",
        "https://fhir.example./r4",
        "https://fhir.example/r4/../r4",
        "https://fhir.example/%2e%2e/r4",
        "https://fhir.example/r4?x=1",
        "https://fhir.example/r4#x",
        "https://fhir.example/r4?",
        "https://fhir.example\\@evil.example/r4",
        "https://evil.example\\.fhir.example/r4",
        "https://fhir.ex\nample/r4",
        "https://fhir.example/r4\t",
        " https://fhir.example/r4",
        "https://fhir.example%2f@evil.example/r4",
        "https://fhir.example:0/r4",
        "https://fhir.example:99999/r4",
        "https://ﬁir.example/r4",
        "//fhir.example/r4",
        "file:///etc/passwd",
        "gopher://fhir.example/r4",
        "https://[::1]/r4",
        "https://[::ffff:127.0.0.1]/r4",
        "https://[fe80::1%25eth0]/r4",
        "https://2130706433/r4",
        "https://0x7f.1/r4",
        "https://127.1/r4",
        "https://169.254.169.254/r4",
        "https://[",
        "",
    ],
)
def test_no_trick_makes_another_server_the_listed_one(server: str) -> None:
    """FA-11."""
    assert AllowedServers([LISTED, "https://127.0.0.1/r4"]).find(server) is None


@pytest.mark.parametrize(
    "url, inside",
    [
        (f"{LISTED}?_getpages=1|2", True),
        (f"{LISTED}/Observation?page=2", True),
        ("https://fhir.example/r4x/Observation", False),
        ("https://fhir.example/r4/../admin", False),
        ("https://fhir.example/r4/%2E%2e/admin", False),
        ("https://fhir.example/r4/..%2Fadmin", False),
        ("https://fhir.example/r4/x%2f..%5cadmin", False),
        ("https://fhir.example/r4/%252e%252e/admin", False),
        ("https://fhir.example/r4/..%25252Fadmin", False),
        ("https://fhir.example/r4/..;/admin", False),
        ("https://fhir.example/r4/%2e%2e;x=1/admin", False),
        ("https://fhir.example/r4/..%3B/admin", False),
        ("https://fhir.example/r4/..%00/admin", False),
        ("https://fhir.example/r4/Observation/a..b", True),
        ("https://fhir.example/r4/...;x", True),
        ("http://fhir.example/r4/Observation", False),
        ("https://fhir.example:444/r4/Observation", False),
        ("https://me@fhir.example/r4/Observation", False),
        ("https://evil.example/r4/Observation", False),
        ("https://fhir.example\\@evil.example/r4/", False),
    ],
)
def test_next_pages_lie_at_the_base_or_below_it(url: str, inside: bool) -> None:
    """FA-11."""
    assert bases.read_base(LISTED).holds(url) is inside


@pytest.mark.parametrize(
    "entries, host, address, allowed",
    [
        ([LISTED], "fhir.example", "93.184.216.34", True),
        ([LISTED], "fhir.example", "10.1.2.3", False),
        ([LISTED], "fhir.example", "127.0.0.1", False),
        ([LISTED], "fhir.example", "169.254.169.254", False),
        ([LISTED], "fhir.example", "0.0.0.0", False),  # noqa: S104  (refused)
        ([LISTED], "fhir.example", "100.64.0.1", False),
        ([LISTED], "fhir.example", "224.0.0.1", False),
        ([LISTED], "fhir.example", "::1", False),
        ([LISTED], "fhir.example", "fe80::1", False),
        ([LISTED], "fhir.example", "fd00::1", False),
        ([LISTED], "fhir.example", "::ffff:10.1.2.3", False),
        ([LISTED], "fhir.example", "64:ff9b::a01:203", False),
        ([LISTED], "fhir.example", "2002:a01:203::1", False),
        ([LISTED], "fhir.example", "64:ff9b:1::a01:203", False),
        ([LISTED], "fhir.example", "::10.1.2.3", False),
        ([LISTED], "fhir.example", "fec0::1", False),
        ([LISTED], "fhir.example", "240.0.0.1", False),
        ([LISTED], "fhir.example", "2606:2800:220:1::1", True),
        ([LISTED], "fhir.example", "64:ff9b::5db8:d822", True),
        ([LISTED, "10.1.0.0/16"], "fhir.example", "10.1.2.3", True),
        ([LISTED, "10.1.0.0/16"], "fhir.example", "::ffff:10.1.2.3", True),
        ([LISTED, "10.1.0.0/16"], "fhir.example", "10.2.2.3", False),
        ([LISTED, "10.1.0.0/16"], "fhir.example", "169.254.169.254", False),
        (["http://10.1.2.3/r4"], "10.1.2.3", "10.1.2.3", True),
        (["http://localhost/r4"], "localhost", "127.0.0.1", True),
        (["http://localhost/r4"], "localhost", "10.0.0.1", False),
    ],
)
def test_names_lead_to_public_addresses_and_to_listed_networks(
    entries: list[str], host: str, address: str, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FA-11."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 6, "", (address, 443))]
    public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*found, public])
    servers = AllowedServers(entries)
    if allowed:
        assert address in servers.addresses(host, 443)
    else:
        with pytest.raises(AddressRefused):
            servers.addresses(host, 443)


def test_a_name_is_resolved_once_and_what_was_checked_is_called(
    advisor: Advisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that changes its address between check and call gains nothing: there is no between."""
    real = socket.getaddrinfo
    asked: list[str] = []

    def rebinding(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host != "rebind.example":
            return real(host, port, *rest, **more)
        asked.append(host)
        return real("127.0.0.1", port, *rest, **more)

    with ehr(advisor, *LOW) as site:
        port = site.stub.server_address[1]
        named = f"http://rebind.example:{port}/fhir"
        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        site.servers = (named,)
        with pytest.raises(DataUnavailable, match="address that may not be called"):
            site.answer({**CALL, "fhirServer": named}, fhirAuthorization=GRANT)
        assert site.stub.asked == []
        site.servers = (named, "127.0.0.0/8")
        asked.clear()
        assert site.slugs({**CALL, "fhirServer": named}) == ["persistent-low-alp"]
        assert 0 < len(asked) <= 12, "once for each connection, and never for a second look"


@pytest.mark.parametrize(
    "text, kind, search, read",
    [
        (None, "Observation", "all", "all"),
        ("", "Observation", "all", "all"),
        ("launch openid fhirUser", "Observation", "none", "none"),
        ("patient/Observation.read", "Observation", "all", "all"),
        ("patient/Observation.read", "Condition", "none", "none"),
        ("patient/*.read", "Condition", "all", "all"),
        ("user/*.*", "Condition", "all", "all"),
        ("system/Condition.*", "Condition", "all", "all"),
        ("patient/Condition.write", "Condition", "none", "none"),
        ("patient/Observation.rs", "Observation", "all", "all"),
        ("patient/Observation.r", "Observation", "none", "all"),
        ("patient/Observation.s", "Observation", "all", "none"),
        ("patient/Observation.cruds", "Observation", "all", "all"),
        ("patient/Observation.cud", "Observation", "none", "none"),
        ("patient/Observation.sr", "Observation", "none", "none"),
        ("patient/Observation.", "Observation", "none", "none"),
        ("patient/*.rs?_security=x", "Observation", "part", "part"),
        ("patient/Observation.rs?category=a|b patient/Observation.rs", "Observation", "all", "all"),
        ("patient/Observation.rs?category=a|b", "Observation", "part", "part"),
        ("patient/observation.read", "Observation", "none", "none"),
        ("doctor/Observation.read", "Observation", "none", "none"),
    ],
)
def test_fa_22_scopes_of_smart_1_and_2(text: str | None, kind: str, search: str, read: str) -> None:
    scopes = read_scopes(text)
    assert (scopes.search(kind), scopes.read(kind)) == (search, read)


def test_what_the_scope_does_not_grant_is_not_asked_for_and_is_named(advisor: Advisor) -> None:
    with ehr(advisor, *LOW) as site:
        scope = "patient/Patient.read patient/Observation.rs patient/MedicationRequest.rs launch"
        (card,) = site.cards(CALL, fhirAuthorization={**GRANT, "scope": scope})
        assert set(site.stub.kinds()) == {"Patient", "Observation", "MedicationRequest"}
        assert "diagnoses" in card["detail"]
        with pytest.raises(DataUnavailable, match="does not grant Observation"):
            site.answer(CALL, fhirAuthorization={**GRANT, "scope": "patient/Patient.rs"})
        part = {**GRANT, "scope": "patient/*.rs patient/Observation.rs?category=laboratory"}
        assert site.slugs(CALL, fhirAuthorization=part) == ["persistent-low-alp"]


def test_alp_that_the_scope_covers_in_part_only_is_not_taken_for_all_of_it(
    advisor: Advisor,
) -> None:
    scope = "patient/Patient.rs patient/MedicationRequest.rs patient/Observation.rs?category=x"
    with ehr(advisor, *LOW) as site, pytest.raises(DataUnavailable, match="covers only some"):
        site.answer(CALL, fhirAuthorization={**GRANT, "scope": scope})


@pytest.mark.parametrize(
    "member, value",
    [
        ("access_token", 1),
        ("access_token", ""),
        ("access_token", None),
        ("access_token", "a b"),
        ("access_token", "a\r\nX-Evil: 1"),
        ("access_token", "é"),
        ("access_token", "x" * 20_000),
        ("token_type", 1),
        ("token_type", "mac"),
        ("expires_in", "300"),
        ("expires_in", 1.5),
        ("expires_in", True),
        ("scope", ["patient/*.read"]),
        ("subject", {}),
        ("patient", 5),
        ("patient", "pat-2"),
        ("patient", f"{PATIENT}x"),
    ],
)
def test_fa_2_fa_21_an_authorization_that_is_wrong_is_400_naming_the_member(
    member: str, value: Any
) -> None:
    call = {**CALL, "fhirServer": LISTED, "fhirAuthorization": {**GRANT, member: value}}
    with pytest.raises(RequestError) as refusal:
        decode(msgspec.json.encode(call), HOOKS)
    assert refusal.value.where == f"fhirAuthorization.{member}"
    assert TOKEN not in refusal.value.diagnostics
    assert "pat-2" not in refusal.value.diagnostics


@pytest.mark.parametrize(
    "change",
    [
        {"token_type": "bearer"},
        {"token_type": None, "expires_in": None, "scope": None, "subject": None, "patient": None},
        {"patient": f"Patient/{PATIENT}"},
        {"need_patient_banner": True},
    ],
)
def test_what_does_not_matter_here_may_be_missing(change: Json) -> None:
    call = {**CALL, "fhirServer": LISTED, "fhirAuthorization": {**GRANT, **change}}
    assert decode(msgspec.json.encode(call), HOOKS).grant is not None


def test_fa_9_a_token_shows_nowhere() -> None:
    call = {**CALL, "fhirServer": LISTED, "fhirAuthorization": GRANT}
    request = decode(msgspec.json.encode(call), HOOKS)
    token = AccessToken(TOKEN)
    shown = f"{request} {request!r} {token} {token!r} {[token]} {vars(type(token))}"
    assert TOKEN not in shown
    assert "AccessToken(…)" in repr(request)
    with pytest.raises(TypeError):
        pickle.dumps(token)
    with pytest.raises(TypeError):
        msgspec.json.encode(request.grant)


@pytest.mark.parametrize("text", ["fhir.example/r4", "ftp://x/r4", "10.0.0.1/8", "https://a/r4?x"])
def test_a_wrong_entry_in_the_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="network such as"):
        bases.read_entries(f"{LISTED}, {text}")
    assert bases.read_entries(f" {LISTED} , 10.0.0.0/8,") == (LISTED, "10.0.0.0/8")
