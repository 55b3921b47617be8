"""The timeline as a SMART app: launched, authorized and shown against a real server, or refused."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from werkzeug.serving import make_server

from cds_service.app import create_app
from cds_service.clients import Client
from cds_service.database import open_database
from cds_service.database.smart_sessions import SMART_SESSIONS
from cds_service.errors import EhrUnavailable, KnowledgeError, LaunchRefused, TooManyCalls
from cds_service.fhir import outward, smart
from cds_service.guidance import Advisor
from cds_service.hooks.card import Link
from cds_service.hooks.request import decode
from cds_service.settings import Settings
from cds_service.web.pages import launch_rate
from cds_service.web.pages.launched_chart import Opened
from tests.charts import REFERENCE, Json, fixture
from tests.conftest import open_settings
from tests.make_fixtures import FOLDER
from tests.signing import HASH_KEY, Signer, clients_file
from tests.smart_ehr import ACCESS_TOKEN, CLIENT_ID, LAUNCH, Ehr, running

NAME = "persistent-low-alp"
WARD = Signer("https://ward.example")


class Browser:
    """A browser with its cookies that follows the redirects of a launch one by one."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.session = requests.Session()

    def get(self, url: str) -> requests.Response:
        return self.session.get(url, allow_redirects=False, timeout=20)

    def launch(self, ehr: Ehr, **more: str) -> requests.Response:
        """The answer to the record system's launch."""
        query = {"iss": ehr.iss, "launch": LAUNCH, **more}
        return self.session.get(
            f"{self.base}/smart/launch", params=query, allow_redirects=False, timeout=20
        )

    def authorized(self, ehr: Ehr) -> str:
        """The address to which the record system sends the browser back."""
        authorize = self.launch(ehr)
        assert authorize.status_code == 303, authorize.text
        return self.get(authorize.headers["Location"]).headers["Location"]

    def opened(self, ehr: Ehr) -> requests.Response:
        """The page at the end of the way, or the refusal that ended it."""
        back = self.get(self.authorized(ehr))
        if back.status_code != 303:
            return back
        return self.get(self.base + back.headers["Location"])


def with_client(folder: Path, base_url: str | None, **keys: Any) -> Settings:
    """Settings with one trusted client, which has these keys besides."""
    ward = {"name": "ward", "issuer": WARD.issuer, "jwks": WARD.jwks(), **keys}
    return Settings(
        base_url=base_url,
        clients=clients_file(folder, ward),
        hash_key=HASH_KEY,
        database_url=f"sqlite:///{folder}/memory.sqlite3",
    )


@contextmanager
def service(iss: str, folder: Path, base_url: str | None = None, **more: Any) -> Iterator[str]:
    """The service with one client whose cards open the timeline."""
    # Bound first: the base URL that the service tells has to be the one it is reached at.
    server = make_server("127.0.0.1", 0, lambda *_: [], threaded=True)
    base = f"http://127.0.0.1:{server.server_port}"
    settings = with_client(
        folder,
        base_url or base,
        fhir_servers=[iss],
        smart_links=True,
        smart_client_id=CLIENT_ID,
        **more,
    )
    server.app = create_app(settings, today=lambda: REFERENCE)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield base
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service keeps its database."""
    return tmp_path_factory.mktemp("smart")


@pytest.fixture(scope="module")
def both(folder: Path) -> Iterator[tuple[Ehr, str]]:
    with running(fixture(NAME)) as found, service(found.iss, folder) as base:
        yield found, base


@pytest.fixture
def ehr(both: tuple[Ehr, str]) -> Ehr:
    both[0].begin(fixture(NAME))
    return both[0]


@pytest.fixture
def browser(both: tuple[Ehr, str]) -> Browser:
    return Browser(both[1])


def rows(folder: Path) -> int:
    """Sessions in the database."""
    engine = open_database(f"sqlite:///{folder}/memory.sqlite3")
    with engine.connect() as connection:
        found = len(connection.execute(SMART_SESSIONS.select()).all())
    engine.dispose()
    return found


def refusal(response: requests.Response) -> str:
    """The one sentence of a page that refuses."""
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    return response.text.split('<p class="notice">')[1].split("</p>")[0]


# --- the way that works ---


def test_a_launch_ends_on_the_timeline_of_the_patient(browser: Browser, ehr: Ehr) -> None:
    page = browser.opened(ehr)
    assert page.status_code == 200, page.text
    for text in (
        "Eleanor Whitcombe",
        "born 1974-10-12",
        "Of 3 ALP values that count, 3 are low",
        "ALP persistently low (31 and 27 U/L) without a recorded explanation.",
        "Values that count: 3, low: 3",
        "CARD",
    ):
        assert text in page.text


def test_the_launch_asks_for_what_smart_says(browser: Browser, ehr: Ehr) -> None:
    answer = browser.launch(ehr)
    address = urlsplit(answer.headers["Location"])
    query = {name: values[0] for name, values in parse_qs(address.query).items()}
    secrets = {name: query.pop(name) for name in ("state", "nonce", "code_challenge")}
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{ehr.base}/authorize"
    assert query == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": f"{browser.base}/smart/callback",
        "launch": LAUNCH,
        "scope": "launch openid fhirUser patient/Condition.rs patient/Encounter.rs"
        " patient/Medication.rs patient/MedicationAdministration.rs patient/MedicationDispense.rs"
        " patient/MedicationRequest.rs patient/MedicationStatement.rs patient/Observation.rs"
        " patient/Patient.rs patient/Procedure.rs patient/ServiceRequest.rs patient/Specimen.rs",
        "aud": ehr.iss,
        "code_challenge_method": "S256",
    }
    assert len(secrets["state"]) >= 43
    assert len(secrets["code_challenge"]) == 43


def test_a_server_of_version_1_is_asked_in_its_spelling(browser: Browser, ehr: Ehr) -> None:
    ehr.configuration = {"capabilities": ["launch-ehr", "permission-patient"]}
    assert browser.opened(ehr).status_code == 200
    assert "patient/Observation.read" in ehr.authorized[0]["scope"]
    assert ".rs" not in ehr.authorized[0]["scope"]


def test_the_token_goes_to_the_fhir_server_and_nowhere_else(
    browser: Browser, ehr: Ehr, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    back = browser.get(browser.authorized(ehr))
    page = browser.get(browser.base + back.headers["Location"])
    assert {authorization for _, authorization in ehr.reads} == {f"Bearer {ACCESS_TOKEN}"}
    told = [
        page.text,
        str(page.headers),
        str(back.headers),
        back.text,
        *browser.session.cookies.values(),
    ]
    assert not [text for text in told if ACCESS_TOKEN in text]
    messages = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("cds_service"))
    assert "smart opened client=ward" in messages
    situation = f'"situation":"{NAME}"'
    assert situation in messages  # the audit line names it, and no patient
    messages = messages.replace(situation, "")
    assert not [word for word in (ACCESS_TOKEN, "code-1", NAME, "Whitcombe") if word in messages]
    stored = b"".join(p.read_bytes() for p in folder.iterdir())
    assert not [word for word in (ACCESS_TOKEN, NAME, "clinician-1") if word.encode() in stored]


def test_what_holds_a_secret_does_not_show_it() -> None:
    """FA-9."""
    secret = "Sentinel-secret"
    for value in (
        smart.Token(access_token=secret, token_type="Bearer", id_token=secret),
        smart.Asked(secret, secret, secret, "", "", "", "", None),
        Opened("", "", secret, secret, secret, ""),
    ):
        assert secret not in f"{value} {value!r} {[value]}"


def test_searches_are_percent_encoded(browser: Browser, ehr: Ehr) -> None:
    browser.opened(ehr)
    paths = [path for path, _ in ehr.reads]
    assert len(paths) == 12
    assert any("code=http%3A%2F%2Floinc.org%7C" in path for path in paths)
    assert not [path for path in paths if "|" in path]


def test_cookies_on_loopback_are_out_of_reach_of_scripts(browser: Browser, ehr: Ehr) -> None:
    launched = browser.launch(ehr).headers["Set-Cookie"]
    assert "HttpOnly" in launched
    assert "SameSite=Lax" in launched
    assert "Path=/smart" in launched
    assert "Max-Age=600" in launched


def test_cookies_over_https_also_work_in_a_frame_of_the_record_system(
    ehr: Ehr, tmp_path: Path
) -> None:
    origin = "https://ehr.example"
    with service(ehr.iss, tmp_path, "https://cds.example/low", frame_ancestors=[origin]) as base:
        answer = Browser(base).launch(ehr)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Secure-cds-launch-")
    assert "Path=/low/smart" in cookie
    assert {"Secure", "HttpOnly", "SameSite=None", "Partitioned"} <= set(cookie.split("; "))
    assert f"frame-ancestors {origin}" in answer.headers["Content-Security-Policy"]
    assert parse_qs(urlsplit(answer.headers["Location"]).query)["redirect_uri"] == [
        "https://cds.example/low/smart/callback"
    ]


def test_cookies_of_a_host_of_our_own_are_no_neighbours_to_set(ehr: Ehr, tmp_path: Path) -> None:
    """A browser takes `__Host-` from that very host only, over TLS only, and for all of it."""
    public = "https://cds.example"
    with service(ehr.iss, tmp_path, public) as base:
        launched = Browser(base).launch(ehr)
        cookie, _, attributes = launched.headers["Set-Cookie"].partition("; ")
        assert cookie.startswith("__Host-cds-launch-")
        assert {"Secure", "Path=/"} <= set(attributes.split("; "))
        assert "Domain" not in attributes
        back = requests.get(launched.headers["Location"], allow_redirects=False, timeout=20)
        sent = {"Cookie": cookie}
        opened = requests.get(
            back.headers["Location"].replace(public, base),
            headers=sent,
            allow_redirects=False,
            timeout=20,
        )
        assert opened.status_code == 303, opened.text
        given = [line.partition(";")[0] for line in opened.raw.headers.getlist("Set-Cookie")]
        assert [name.partition("=")[0][:20] for name in given] == [
            "__Host-cds-timeline-",
            cookie.partition("=")[0][:20],
        ]
        page = base + opened.headers["Location"]
        assert requests.get(page, headers={"Cookie": given[0]}, timeout=20).status_code == 200
        bare = {"Cookie": given[0].removeprefix("__Host-")}
        assert requests.get(page, headers=bare, timeout=20).status_code == 403


def test_the_page_is_kept_by_no_cache_and_framed_by_nobody(browser: Browser, ehr: Ehr) -> None:
    headers = browser.opened(ehr).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]


def test_a_page_is_framed_by_the_client_that_it_was_launched_for(ehr: Ehr, tmp_path: Path) -> None:
    keys = {"smart_links": True, "smart_client_id": CLIENT_ID}
    tables = [
        {
            **keys,
            "name": name,
            "issuer": f"https://{name}.example",
            "jwks": WARD.jwks(),
            "fhir_servers": [server],
            "frame_ancestors": [f"https://{name}.example"],
        }
        for name, server in (("ward", ehr.iss), ("other", "https://other.example/fhir"))
    ]
    base = "http://127.0.0.1"
    database = f"sqlite:///{tmp_path}/memory.sqlite3"
    settings = Settings(
        base_url=base,
        clients=clients_file(tmp_path, *tables),
        hash_key=HASH_KEY,
        database_url=database,
    )
    http = create_app(settings, today=lambda: REFERENCE).test_client()
    own, both = "https://ward.example", "https://ward.example https://other.example"

    def ancestors(address: str) -> tuple[str, str]:
        answer = http.get(address, base_url=base)
        policy = answer.headers["Content-Security-Policy"]
        return answer.headers.get("Location", ""), policy.partition("frame-ancestors ")[2]

    authorize, framed_by = ancestors(f"/smart/launch?iss={ehr.iss}&launch={LAUNCH}")
    assert framed_by == own
    back = requests.get(authorize, allow_redirects=False, timeout=20).headers["Location"]
    page, framed_by = ancestors(back.removeprefix(base))
    assert framed_by == own
    assert ancestors(page) == ("", own)
    ehr.statuses = {"Patient": 401}
    assert ancestors(page) == ("", own), "a refusal too"
    assert ancestors("/timeline?view=unknown") == ("", both), "nobody's page, which says so"


def test_two_windows_show_two_patients(browser: Browser, ehr: Ehr) -> None:
    first = browser.get(browser.authorized(ehr)).headers["Location"]
    ehr.begin(fixture("normal-alp"))
    second = browser.get(browser.authorized(ehr)).headers["Location"]
    assert "Eleanor Whitcombe" not in browser.get(browser.base + second).text
    ehr.begin(fixture(NAME))
    assert "Eleanor Whitcombe" in browser.get(browser.base + first).text


def test_the_card_that_it_was_opened_from_is_named(browser: Browser, ehr: Ehr) -> None:
    slug = "persistent-low-alp-antiresorptive-order"
    ehr.token = {"appContext": json.dumps({"hook": "order-sign", "situation": slug})}
    page = browser.opened(ehr).text
    assert "You came from the card" in page


@pytest.mark.parametrize(
    "context", ["not JSON", '["a list"]', '{"situation": "<b>unknown</b>"}', 7]
)
def test_the_context_of_another_app_says_nothing(
    browser: Browser, ehr: Ehr, context: object
) -> None:
    ehr.token = {"appContext": context}
    page = browser.opened(ehr)
    assert page.status_code == 200
    assert "You came from the card" not in page.text
    assert "<b>unknown" not in page.text


def test_text_of_the_record_is_shown_as_text(browser: Browser, ehr: Ehr) -> None:
    person = next(r for r in ehr.resources if r["resourceType"] == "Patient")
    person["name"] = [{"text": "<script>alert(1)</script>"}]
    page = browser.opened(ehr).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page


# --- what is refused at the launch ---


def test_a_server_that_is_not_on_the_list_is_not_called(browser: Browser, ehr: Ehr) -> None:
    with running(fixture(NAME)) as stranger:
        answer = browser.launch(ehr, iss=stranger.iss)
        assert answer.status_code == 403
        assert refusal(answer) == "This record system is not one that may open pages here."
        assert (stranger.authorized, stranger.reads) == ([], [])


def test_a_refused_launch_stands_in_the_audit_trail_with_its_reason(
    browser: Browser, ehr: Ehr, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    browser.launch(ehr, iss="https://elsewhere.example/fhir")
    (line,) = [r.getMessage() for r in caplog.records if r.name == "cds_service.audit"]
    told = json.loads(line.removeprefix("audit "))
    assert (told["status"], told["reason"], told["where"]) == (403, "forbidden", "iss")
    assert "elsewhere" not in line


@pytest.mark.parametrize("left_out", ["iss", "launch"])
def test_a_launch_without_its_parameters_is_refused(
    browser: Browser, ehr: Ehr, left_out: str
) -> None:
    assert browser.launch(ehr, **{left_out: ""}).status_code == 400


def test_a_server_without_s256_is_refused(browser: Browser, ehr: Ehr) -> None:
    ehr.configuration = {"code_challenge_methods_supported": ["plain"]}
    answer = browser.launch(ehr)
    assert (answer.status_code, ehr.authorized) == (403, [])


@pytest.mark.parametrize("configuration", [{"token_endpoint": None}, {"capabilities": "all"}])
def test_a_configuration_not_as_specified_is_refused(
    browser: Browser, ehr: Ehr, configuration: Json
) -> None:
    ehr.configuration = configuration
    assert browser.launch(ehr).status_code == 502


@responses.activate
@pytest.mark.parametrize(
    "endpoint", ["http://ehr.example/token", "ftp://ehr.example/token", "https://[/token", "token"]
)
def test_an_https_server_may_not_name_an_unencrypted_endpoint(endpoint: str) -> None:
    responses.get(
        "https://ehr.example/fhir/.well-known/smart-configuration",
        json={"authorization_endpoint": "https://ehr.example/a", "token_endpoint": endpoint},
    )
    with pytest.raises(LaunchRefused, match="not https"):
        smart.discover(requests.Session(), "https://ehr.example/fhir")


@responses.activate
def test_a_server_that_redirects_is_not_followed() -> None:
    responses.get(
        "https://ehr.example/fhir/.well-known/smart-configuration",
        status=302,
        headers={"Location": "https://elsewhere.example/"},
    )
    with pytest.raises(EhrUnavailable, match="302"):
        smart.discover(requests.Session(), "https://ehr.example/fhir")


def test_a_flood_of_launches_from_one_address_is_stopped(
    ehr: Ehr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the record system nor the database hears of those beyond the rate."""
    monkeypatch.setattr(launch_rate, "A_MINUTE", 3)
    with service(ehr.iss, tmp_path) as base:
        answers = [Browser(base).launch(ehr) for _ in range(8)]  # perhaps over the end of a minute
        assert {a.status_code for a in answers} == {303, 429}
        begun = [a for a in answers if a.status_code == 303]
        assert rows(tmp_path) == len(begun) <= 6
    stopped = answers[3] if answers[3].status_code == 429 else answers[-1]
    assert 1 <= int(stopped.headers["Retry-After"]) <= 60
    assert "Too many launches" in refusal(stopped)


def test_launches_are_counted_by_address_and_minute() -> None:
    clock = [120.0]
    rate = launch_rate.LaunchRate(lambda: clock[0])

    def stopped(address: str | None) -> bool:
        try:
            rate.count(address)
        except TooManyCalls:
            return True
        return False

    for address in ("192.0.2.1", "2001:db8::1", None):
        assert [stopped(address) for _ in range(launch_rate.A_MINUTE + 1)] == [
            *[False] * launch_rate.A_MINUTE,
            True,
        ]
    assert not stopped("192.0.2.2"), "another address"
    assert stopped("2001:db8::ffff"), "the same household"
    assert not stopped("2001:db8:0:1::1"), "another one"
    clock[0] += 59
    assert stopped("192.0.2.1")
    clock[0] += 1
    assert not stopped("192.0.2.1")


# --- what is refused on the way back ---


def test_another_state_is_refused(browser: Browser, ehr: Ehr) -> None:
    back = browser.authorized(ehr)
    answer = browser.get(back.replace("state=", "state=x"))
    assert answer.status_code == 403
    assert "not begun in this browser" in refusal(answer)
    assert ehr.redeemed == []


def test_a_state_of_other_letters_is_refused_even_with_a_cookie_that_opens(
    browser: Browser, ehr: Ehr
) -> None:
    browser.launch(ehr)
    (secret,) = browser.session.cookies.values()
    state = "\N{LATIN SMALL LETTER E WITH ACUTE}"
    named = f"cds-launch-{sha256(state.encode()).hexdigest()[:12]}"
    answer = requests.get(
        f"{browser.base}/smart/callback",
        params={"state": state, "code": "code-1"},
        cookies={named: secret},
        timeout=20,
    )
    assert (answer.status_code, ehr.redeemed) == (403, [])


def test_another_browser_is_refused(browser: Browser, ehr: Ehr) -> None:
    back = browser.authorized(ehr)
    assert Browser(browser.base).get(back).status_code == 403
    assert ehr.redeemed == []


def test_a_state_is_good_once(browser: Browser, ehr: Ehr) -> None:
    back = browser.authorized(ehr)
    cookies = dict(browser.session.cookies)
    assert browser.get(back).status_code == 303
    again = requests.get(back, cookies=cookies, allow_redirects=False, timeout=20)
    assert again.status_code == 403
    assert len(ehr.redeemed) == 1


def test_a_cookie_of_another_launch_does_not_open_this_state(browser: Browser, ehr: Ehr) -> None:
    first, second = browser.authorized(ehr), browser.authorized(ehr)
    names = {urlsplit(u).query: u for u in (first, second)}
    assert len(names) == 2
    jar = {c.name: c.value or "" for c in browser.session.cookies}
    (one, other) = jar
    swapped = {one: jar[other], other: jar[one]}
    answer = requests.get(first, cookies=swapped, allow_redirects=False, timeout=20)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "error, told",
    [
        ("access_denied", "The record system did not allow it (access_denied)."),
        ("<script>alert(1)</script>", "The record system did not allow it."),
    ],
)
def test_a_refusal_of_the_record_system_is_told(
    browser: Browser, ehr: Ehr, error: str, told: str
) -> None:
    back = browser.authorized(ehr).replace("code=code-1", f"error={error}")
    answer = browser.get(back)
    assert (answer.status_code, refusal(answer)) == (403, told)


def test_an_answer_of_another_issuer_is_refused(browser: Browser, ehr: Ehr) -> None:
    back = browser.authorized(ehr) + "&iss=https%3A%2F%2Felsewhere.example"
    assert browser.get(back).status_code == 403
    assert ehr.redeemed == []


@pytest.mark.parametrize(
    "answer, told",
    [
        ((500, "application/json", b"{}"), "answered 500 instead of a token"),
        ((302, "text/html", b""), "answered 302 instead of a token"),
        ((200, "text/html", b"<html>Sign in</html>"), "token is not as the specification has it"),
        ((200, "application/json", b"\xff"), "token is not as the specification has it"),
        ((200, "application/json", b"{}"), "token is not as the specification has it"),
        ((200, "application/json", None), "token could not be had (ProtocolError)"),
    ],
)
def test_no_token_is_told_and_nothing_is_shown(
    browser: Browser, ehr: Ehr, answer: tuple[int, str, bytes | None], told: str
) -> None:
    ehr.token_answer = answer
    page = browser.opened(ehr)
    assert page.status_code == 502
    assert told in refusal(page)
    assert ehr.reads == []


def test_a_slow_token_endpoint_is_given_up(
    browser: Browser, ehr: Ehr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outward, "TIMEOUT_SECONDS", 0.2)
    ehr.token_delay_seconds = 0.6
    page = browser.opened(ehr)
    assert page.status_code == 502
    assert refusal(page) == "The record system&#39;s token could not be had (ReadTimeout)."


def test_a_token_endpoint_that_drips_its_headers_is_cut_off(
    browser: Browser, ehr: Ehr, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No single wait is long, so that only the whole of it can be limited."""
    monkeypatch.setattr(outward, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(outward, "_CUT_SECONDS", 0.1)
    ehr.token_drips_seconds = 0.1
    page = browser.opened(ehr)
    assert page.status_code == 502
    assert refusal(page) == "The record system&#39;s token took too long."


@pytest.mark.parametrize(
    "token, claims, told",
    [
        ({"patient": None}, {}, "did not say which patient is open"),
        ({"patient": "../Patient/2"}, {}, "did not say which patient is open"),
        ({"id_token": None}, {}, "did not say who is looking (no id_token)"),
        ({"id_token": "a.b"}, {}, "id_token cannot be read"),
        ({}, {"fhirUser": None}, "did not say who is looking (no fhirUser)"),
        ({}, {"aud": "another-app"}, "id_token is not for this launch"),
        ({}, {"nonce": "another"}, "id_token is not for this launch"),
        ({}, {"iss": "https://elsewhere.example"}, "id_token is not for this launch"),
        ({}, {"exp": 1}, "id_token is not for this launch"),
        ({}, {"fhirUser": "Patient/1"}, "for clinicians, not for patients"),
        ({}, {"fhirUser": "https://x.example/RelatedPerson/1"}, "for clinicians, not for patients"),
        ({"token_type": "mac"}, {}, None),
    ],
)
def test_a_token_that_does_not_fit_the_launch_is_refused(
    browser: Browser, ehr: Ehr, token: Json, claims: Json, told: str | None
) -> None:
    ehr.token, ehr.claims = token, claims
    page = browser.opened(ehr)
    assert page.status_code == (403 if told else 502)
    assert (told or "not a bearer token") in refusal(page)
    assert ehr.reads == []


# --- what may go wrong while the page is shown ---


def test_the_chart_of_another_patient_is_refused(browser: Browser, ehr: Ehr) -> None:
    ehr.token = {"patient": "somebody-else"}
    ehr.patient = "somebody-else"
    page = browser.opened(ehr)
    assert page.status_code == 412
    assert "does not hold the Patient of context.patientId" in refusal(page)
    assert "Whitcombe" not in page.text


def test_a_token_that_is_not_accepted_ends_the_session(
    browser: Browser, ehr: Ehr, folder: Path
) -> None:
    address = browser.base + browser.get(browser.authorized(ehr)).headers["Location"]
    kept = rows(folder)
    ehr.statuses = {"Patient": 401, "Observation": 401}
    assert browser.get(address).status_code == 403
    assert rows(folder) == kept - 1
    ehr.statuses = {}
    assert browser.get(address).status_code == 403


def test_what_the_server_does_not_give_is_named(browser: Browser, ehr: Ehr) -> None:
    ehr.statuses = {"Condition": 403, "Encounter": 500}
    page = browser.opened(ehr)
    assert page.status_code == 200
    assert "Not available: diagnoses." in page.text
    assert "Not available: hospital stays." in page.text


def test_without_alp_there_is_no_page_that_looks_like_an_answer(browser: Browser, ehr: Ehr) -> None:
    ehr.statuses = {"Observation": 500}
    page = browser.opened(ehr)
    assert page.status_code == 412
    assert "alp" in refusal(page)


def test_a_session_ends_with_its_token(browser: Browser, ehr: Ehr) -> None:
    ehr.token = {"expires_in": 0}
    page = browser.opened(ehr)
    assert page.status_code == 403
    assert ehr.reads == []


@pytest.mark.parametrize("query", ["", "?view=", "?view=../../x", "?view=unknown"])
def test_the_page_opens_from_the_record_system_only(browser: Browser, query: str) -> None:
    answer = browser.get(f"{browser.base}/timeline{query}")
    assert answer.status_code == 403
    assert refusal(answer) == "Open this page from a patient&#39;s card in the record system."


# --- the link on cards, and who is configured for it ---


def test_cards_carry_the_link_for_clients_that_have_it(advisor: Advisor) -> None:
    """LNK-1, LNK-3, LNK-4"""
    linking = Advisor(advisor.rulebook, base_url="https://cds.example")
    call = decode((FOLDER / "requests" / f"{NAME}.json").read_bytes(), ("patient-view",))
    client = Client("ward", smart_links=True)
    (card,) = linking.answer(call, REFERENCE, client=client).response.cards
    assert card.links is not None
    (link,) = card.links
    assert (link.type, link.url) == ("smart", "https://cds.example/smart/launch")
    assert json.loads(link.appContext or "") == {"hook": "patient-view", "situation": NAME}
    for other in (linking.answer(call, REFERENCE), advisor.answer(call, REFERENCE, client=client)):
        assert [c.links for c in other.response.cards] == [None]


def test_app_context_goes_with_smart_links_only() -> None:
    """LNK-4"""
    with pytest.raises(ValueError, match="appContext"):
        Link(label="x", url="https://example.org", type="absolute", appContext="{}")


@pytest.mark.parametrize(
    "keys, base_url, told",
    [
        ({"fhir_servers": ["https://ehr.example"]}, "https://cds.example", "smart_client_id"),
        ({"smart_client_id": "x"}, "https://cds.example", "fhir_servers"),
        (
            {"smart_client_id": "x", "fhir_servers": ["10.0.0.0/8"]},
            "https://cds.example",
            "fhir_servers",
        ),
        (
            {"smart_client_id": "x", "fhir_servers": ["https://ehr.example"]},
            None,
            "CDS_BASE_URL",
        ),
    ],
)
def test_half_a_configuration_refuses_to_start(
    keys: Json, base_url: str | None, told: str, tmp_path: Path
) -> None:
    settings = with_client(tmp_path, base_url, smart_links=True, **keys)
    with pytest.raises(KnowledgeError, match=told):
        create_app(settings)


def test_origins_that_may_frame_the_page_are_checked(tmp_path: Path) -> None:
    settings = with_client(tmp_path, "https://cds.example", frame_ancestors=["*"])
    with pytest.raises(KnowledgeError, match="frame_ancestors"):
        create_app(settings)


def test_without_such_a_client_there_is_nothing_to_launch() -> None:
    app = create_app(open_settings())
    answer = app.test_client().get("/smart/launch?iss=https://ehr.example&launch=1")
    assert answer.status_code == 404
    assert answer.content_type == "application/json"
