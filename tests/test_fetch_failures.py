"""A FHIR server that hangs, lies, redirects or refuses: said by name, in time, and never an empty answer."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from cds_service.clients import Client as Site
from cds_service.errors import DataUnavailable
from cds_service.fhir.budget import FetchFailed, Limits
from cds_service.fhir.failures import retry_after
from cds_service.fhir.referenced import References
from cds_service.guidance import Advisor
from tests.charts import PATIENT, Json, alp, condition, day, draft, patient, taking
from tests.conftest import Client
from tests.fetching import BRISK, ROOMY, TOKEN, Ehr, ehr, without
from tests.fhir_stub import FhirStub, flood, running

LOW = (patient(), alp(29, -300, 35), alp(27, -45, 35))
CALL: Json = {
    "hook": "patient-view",
    "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
    "context": {"userId": "Practitioner/1", "patientId": PATIENT},
}
GRANT: Json = {
    "access_token": TOKEN,
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "patient/*.read",
    "subject": "low-alp-cds",
    "patient": PATIENT,
}
SLACK_SECONDS = 2.0
"""What a busy test machine may add to a budget."""

# What goes wrong, and the words for it.
TROUBLES = [
    ("401", r"answered 401 (it wants a valid token)"),
    ("403", r"answered 403 (it does not allow it)"),
    ("404", r"answered 404 (it has no such thing)"),
    ("500", r"answered 500"),
    ("429 600", r"wants to be asked again in 600 s, which is more than this hook has left"),
    ("503 600", r"answered 503 (it is too busy)"),
    ("html", r"answered HTML, not FHIR JSON"),
    ("garbage", r"something that is not FHIR JSON"),
    ("outcome", r"is an OperationOutcome"),
    ("hang", r"gave no whole answer within 1 s"),
    ("drip", r"gave no whole answer within 1 s"),
    ("drip-headers", r"gave no whole answer within 1 s"),
    ("dies", r"no connection to the FHIR server"),
    ("redirect", r"redirects to another server or base"),
    ("redirect http://[", r"links to something that is no address"),
    ("loop", r"go round in a circle"),
    ("endless", r"there are more than 40 pages"),
    ("next-away", r"leads to another server or base"),
    ("next-nowhere", r"links to something that is no address"),
    ("flood", r"larger than"),
    ("redirect-flood", r"larger than"),
]


SLOW = ("hang", "drip", "drip-headers")


@pytest.fixture
def elsewhere() -> Any:
    """Somebody else's server, which must never hear of this call."""
    with running(FhirStub()) as stub:
        yield stub


def site_with_trouble(site: Ehr, elsewhere: FhirStub, kind: str, trouble: str) -> None:
    if "flood" in trouble:
        flood()  # made beforehand, so that it comes in time
    site.stub.trouble[kind] = trouble
    site.stub.elsewhere = f"{elsewhere.base}/{kind}?patient={PATIENT}"
    if trouble == "next-nowhere":
        site.stub.trouble[kind], site.stub.elsewhere = "next-away", "//["


def limits_for(trouble: str) -> Limits:
    if trouble in SLOW:
        return BRISK
    return Limits(ROOMY.call_seconds, ROOMY.hook_seconds, hook_bytes=5_000_000)


def unheard(elsewhere: FhirStub) -> None:
    assert [a.target for a in elsewhere.asked] == []


@pytest.mark.parametrize("trouble, words", TROUBLES, ids=[t for t, _ in TROUBLES])
def test_required_data_that_cannot_be_had_is_412_with_key_and_cause(
    advisor: Advisor, elsewhere: FhirStub, trouble: str, words: str
) -> None:
    """PF-8, FA-11, FA-24."""
    small = limits_for(trouble)
    with ehr(advisor, *LOW, limits=small) as site:
        site_with_trouble(site, elsewhere, "Observation", trouble)
        # What floods a hook may leave no room for what comes beside it: the patient is there already.
        given = {**CALL, "prefetch": {"patient": LOW[0]}}
        with pytest.raises(DataUnavailable) as refusal:
            site.answer(given, fhirAuthorization=GRANT)
        text = refusal.value.diagnostics
        assert refusal.value.where == "prefetch.alp"
        assert words in text or (trouble in SLOW and "were over" in text)
        assert "Prefetch key 'alp' was not sent" in text
        assert site.last_seconds < small.hook_seconds + SLACK_SECONDS
        for secret in (TOKEN, PATIENT, "127.0.0.1", "http://"):
            assert secret not in text
    unheard(elsewhere)


@pytest.mark.parametrize("trouble", [t for t, _ in TROUBLES])
def test_optional_data_that_cannot_be_had_stands_on_the_card_as_not_known(
    advisor: Advisor, elsewhere: FhirStub, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    """PF-9, FA-11, FA-24."""
    small = limits_for(trouble)
    with ehr(advisor, *LOW, limits=small) as site, caplog.at_level("DEBUG"):
        site_with_trouble(site, elsewhere, "Procedure", trouble)
        (card,) = site.cards(CALL, fhirAuthorization=GRANT)
        assert card["extension"]["org.low-alp-cds.situation"] == "persistent-low-alp"
        gaps = [line for line in card["detail"].splitlines() if "procedures" in line]
        assert gaps, card["detail"]
        assert site.last_seconds < small.hook_seconds + SLACK_SECONDS
    assert "key=procedures" in caplog.text
    assert TOKEN not in caplog.text
    assert PATIENT not in caplog.text
    unheard(elsewhere)


def test_all_at_once_still_cost_no_more_than_the_budget(
    advisor: Advisor, elsewhere: FhirStub
) -> None:
    """FA-24."""
    with ehr(advisor, *LOW, limits=BRISK) as site:
        site_with_trouble(site, elsewhere, "*", "drip-headers")
        with pytest.raises(DataUnavailable):
            site.answer(CALL)
        assert site.last_seconds < BRISK.hook_seconds + SLACK_SECONDS
        site.stub.trouble.clear()
        assert site.slugs(CALL) == ["persistent-low-alp"], "the threads are free again"


def test_a_patient_read_by_itself_costs_no_more_than_the_budget_either(advisor: Advisor) -> None:
    """As the timeline reads one, before anything else."""
    with ehr(advisor, *LOW, limits=BRISK) as site:
        site.stub.trouble["Patient"] = "drip-headers"
        server = site.advisor.fhir.server_of(site.stub.base, None, Site("ehr", site.servers))
        assert server is not None
        began = time.perf_counter()
        with server, pytest.raises(FetchFailed):
            server.patient(PATIENT)
        assert time.perf_counter() - began < BRISK.hook_seconds + SLACK_SECONDS


def test_one_clients_hanging_server_takes_no_thread_from_another(advisor: Advisor) -> None:
    ids = References({"Medication": [str(n) for n in range(400)]})  # eight searches
    limits = Limits(call_seconds=8.0, hook_seconds=8.0)
    with ehr(advisor, *LOW, limits=limits) as site, running(FhirStub()) as hanging:
        hanging.trouble["*"] = "hang"
        access, slow = site.advisor.fhir, Site("slow", (hanging.base,))
        servers = [access.server_of(hanging.base, None, slow) for _ in range(10)]
        with ThreadPoolExecutor(len(servers)) as calls:
            for server in servers:
                assert server is not None
                calls.submit(server.complete, {}, {}, PATIENT, ids)
            while len(hanging.asked) < 64:
                time.sleep(0.02)
            assert site.slugs(CALL) == ["persistent-low-alp"]
            assert site.last_seconds < limits.hook_seconds / 2
            for server in servers:
                server.__exit__()  # type: ignore[union-attr]


def test_all_medication_sources_failing_is_412_with_the_cause(advisor: Advisor) -> None:
    with ehr(advisor, *LOW) as site:
        for kind in ("Statement", "Request", "Administration", "Dispense"):
            site.stub.trouble[f"Medication{kind}"] = "403"
        with pytest.raises(DataUnavailable, match="answered 403") as refusal:
            site.answer(CALL)
        assert "medicationStatements" in refusal.value.diagnostics
        del site.stub.trouble["MedicationDispense"]
        assert site.slugs(CALL) == ["persistent-low-alp"], "one source is enough"


@pytest.mark.parametrize("later", ["0", "", "date"])
def test_a_busy_server_is_asked_once_more(advisor: Advisor, later: str) -> None:
    soon = format_datetime(datetime.now(UTC) - timedelta(seconds=5), usegmt=True)
    with ehr(advisor, *LOW, limits=ROOMY) as site:
        site.stub.trouble["*"] = f"busy-once {soon if later == 'date' else later}".strip()
        assert site.slugs(CALL) == ["persistent-low-alp"]
        assert len(site.stub.asked) == 24
        site.stub.trouble["*"] = "503 0"
        before = len(site.stub.asked)
        with pytest.raises(DataUnavailable, match="answered 503"):
            site.answer(CALL)
        assert len(site.stub.asked) == before + 2 * 9, "once more, and no more"


@pytest.mark.parametrize(
    "text",
    ["Mon, 01 Jan 2024 00:00:00 +99999999999", "Mon, 01 Jan 9999999999 00:00:00 GMT", "soon", ""],
)
def test_a_time_to_wait_that_is_none_is_taken_for_soon(text: str) -> None:
    assert retry_after(text) == retry_after(None)


@pytest.mark.parametrize("status", ["405", "414", "431", "400"])
def test_searches_are_posted_where_the_server_says_so(advisor: Advisor, status: str) -> None:
    with ehr(advisor, *LOW) as site:
        for kind in ("Observation", "Condition"):
            site.stub.trouble[kind] = f"get-refused {status}"
        assert site.slugs(CALL) == ["persistent-low-alp"]
        posted = [a for a in site.stub.asked if a.method == "POST"]
        assert {a.path for a in posted} == {"/fhir/Observation/_search", "/fhir/Condition/_search"}
        assert all(a.parameters["patient"] == PATIENT for a in posted)


def test_an_order_of_results_that_the_server_does_not_know_is_left_out(advisor: Advisor) -> None:
    with ehr(advisor, *LOW) as site:
        site.stub.refuses = frozenset({"_sort"})
        assert site.slugs(CALL) == ["persistent-low-alp"]


def test_searches_are_encoded_and_ask_for_fhir_json(advisor: Advisor) -> None:
    """FA-3, FA-9."""
    with ehr(advisor, *LOW) as site:
        site.answer(CALL, fhirAuthorization=GRANT)
        for asked in site.stub.asked:
            assert not set("|,:") & set(asked.target)
            assert asked.headers["Accept"].startswith("application/fhir+json")
            assert asked.headers["Accept-Encoding"] == "gzip"
            assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
            assert "Cookie" not in asked.headers, "nothing ties one call to the next"
        site.answer(CALL)
        assert "Authorization" not in site.stub.asked[-1].headers, (
            "a token serves its own call only"
        )


def test_a_redirect_within_the_base_is_followed(advisor: Advisor) -> None:
    with ehr(advisor, *LOW, condition("CKD stage 3")) as site:
        site.stub.trouble["Procedure"] = f"redirect {site.stub.base}/Condition"
        (card,) = site.cards(CALL)
        assert "procedures" in card["detail"], "Conditions are no procedures, and that is said"
        site.stub.trouble["Procedure"] = f"redirect {site.stub.base}/Procedure"
        site.answer(CALL)
        assert site.stub.kinds().count("Procedure") == 5, "a circle ends after three redirects"


@pytest.mark.parametrize("total", [0, 1, 7, 100_000])
def test_a_lie_about_the_total_costs_no_result(advisor: Advisor, total: int) -> None:
    with ehr(advisor, *LOW, taking("atorvastatin", -100)) as site:
        (honest,) = site.cards(CALL)
        site.stub.page_size = 1
        site.stub.total = total
        (card,) = site.cards(CALL)
        values = honest["detail"].split("**Not known")[0]
        assert card["detail"].split("**Not known")[0] == values
        if total:
            assert "diagnoses" in card["detail"], "said to be there and not shown is not known"


def test_parameters_that_the_server_ignores_are_no_reason_to_use_anothers_results(
    advisor: Advisor,
) -> None:
    other = {**alp(12, -10, 35), "id": "other", "subject": {"reference": "Patient/pat-2"}}
    with ehr(advisor, *LOW, other, condition("zinc deficiency")) as site:
        site.stub.ignores = frozenset({"patient", "code", "_count", "_sort", "status"})
        (card,) = site.cards(CALL)
        assert "12 U/L" not in card["detail"]


def test_a_prefetched_bundle_of_several_pages_is_followed_with_the_token(
    service: Client, elsewhere: FhirStub
) -> None:
    """PF-24, FA-11."""
    with ehr(service.advisor, *LOW) as site:
        site.stub.token = TOKEN
        request = service.request(*LOW)
        whole = site.cards(request)
        first = request["prefetch"]["alp"]
        first["entry"] = first["entry"][:1]
        next_page = f"{site.stub.base}/Observation?patient={PATIENT}&_page=1&_count=1"
        first["link"] = [{"relation": "next", "url": next_page}]
        first["entry"][0]["resource"] = LOW[1]
        assert site.cards(request, fhirAuthorization=GRANT) == whole
        first["link"][0]["url"] = f"{elsewhere.base}/Observation"
        (card,) = site.cards(request, fhirAuthorization=GRANT)
        assert "ALP results beyond what could be fetched" in card["detail"]
    unheard(elsewhere)


def test_pf_16_pf_14_what_the_ehr_could_not_find_or_not_look_up_is_not_asked_again(
    service: Client,
) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "x"}]}
    with ehr(service.advisor, *LOW, condition("hypophosphatasia")) as site:
        request = service.request(*LOW)
        request["prefetch"] |= {"conditions": outcome, "procedures": None}
        (card,) = site.cards(request)
        assert "diagnoses" in card["detail"]
        assert site.stub.asked == []


def test_a_server_that_is_not_listed_is_never_called(service: Client, elsewhere: FhirStub) -> None:
    """FA-11, FA-20."""
    with ehr(service.advisor, *LOW) as site:
        for servers in ((), (elsewhere.base,), (f"{site.stub.base}/r4",)):
            site.servers = servers
            with pytest.raises(DataUnavailable, match="not among those that may be called"):
                site.answer(CALL, fhirAuthorization=GRANT)
        assert site.stub.asked == []
    unheard(elsewhere)


def test_drugs_that_are_only_referred_to_are_fetched_together(advisor: Advisor) -> None:
    uses = [taking("alendronate", -400, id=f"use-{n}") for n in range(3)]
    drugs = []
    for n, use in enumerate(uses):
        drug = {
            "resourceType": "Medication",
            "id": f"m{n}",
            "code": use["medicationCodeableConcept"],
        }
        drugs.append(drug)
        del use["medicationCodeableConcept"]
        use["medicationReference"] = {"reference": f"Medication/m{n}/_history/1"}
    uses[2]["medicationReference"]["reference"] = "http://other.example/fhir/Medication/m2"
    with ehr(advisor, *LOW, *uses, *drugs) as site:
        (card,) = site.cards(CALL)
        assert "lendronate" in card["detail"]
        asked = [a.parameters["_id"] for a in site.stub.asked if a.path == "/fhir/Medication"]
        assert asked == ["m0,m1"], "one search, and none for another server's Medication"
        site.stub.trouble["Medication"] = "500"
        (card,) = site.cards(CALL)
        assert "drugs that are only referred to" in card["detail"]


def test_the_drug_of_a_draft_may_be_only_referred_to(advisor: Advisor) -> None:
    drug = {"resourceType": "Medication", "id": "m1", "code": {"text": "alendronate 70 mg"}}
    order = {
        "resourceType": "MedicationRequest",
        "id": "d1",
        "status": "draft",
        "medicationReference": {"reference": "Medication/m1"},
    }
    call = {**CALL, "hook": "order-sign"}
    call["context"] = {**CALL["context"], "draftOrders": {"entry": [{"resource": order}]}}
    call["context"]["draftOrders"]["resourceType"] = "Bundle"
    with ehr(advisor, *LOW, drug) as site:
        assert site.slugs(call) == ["persistent-low-alp-antiresorptive-order"]
        site.stub.trouble["Medication"] = "500"
        with pytest.raises(DataUnavailable, match="draft order cannot be recognised"):
            site.answer(call)


def test_few_queries_where_few_are_needed(advisor: Advisor) -> None:
    nine = 9
    with ehr(advisor, patient(30, "male"), alp(80, -30, 35)) as site:
        assert site.slugs(CALL) == []
        assert len(site.stub.asked) == nine
    with ehr(advisor, patient(30, "male"), alp(80, -30, 35), condition("hypophosphatasia")) as site:
        assert site.slugs(CALL) == []
        assert len(site.stub.asked) == 12, "hypophosphatasia on record: everything is looked at"
    with ehr(advisor, patient(30, "female"), alp(37, -30, 35)) as site:
        site.answer(CALL)
        assert len(site.stub.asked) == 12, "low, should she be in the third trimester"
    lay = {**CALL, "context": {**CALL["context"], "userId": "Patient/pat-1"}}
    with ehr(advisor, *LOW) as site:
        assert site.slugs(lay) == []
        assert site.stub.asked == []
        dead = {**patient(), "deceasedDateTime": day(-3)}
        assert site.slugs({**CALL, "prefetch": {"patient": dead}}) == []
        assert site.stub.asked == []


def test_an_order_that_is_no_antiresorptive_costs_no_query(service: Client) -> None:
    with ehr(service.advisor, *LOW) as site:
        request = service.request(*LOW, hook="order-sign", drafts=[draft("atorvastatin")])
        assert site.slugs(without(request)) == []
        assert site.stub.asked == []


def test_searches_run_side_by_side(advisor: Advisor) -> None:
    """PF-39."""
    with ehr(advisor, *LOW) as site:
        site.answer(CALL)
        site.stub.delay_seconds = 0.2
        began = time.perf_counter()
        site.answer(CALL)
        assert time.perf_counter() - began < 12 * site.stub.delay_seconds / 2
