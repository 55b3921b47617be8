"""The sandbox EHR: real hooks over HTTP, orders, feedback, changed charts; all of it without a script."""

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
import requests

from cds_service.bundled_patients import chart, stories
from cds_service.commands.demo import Ehr
from cds_service.guidance import Advisor
from cds_service.web.pages import edit_form, edits
from cds_service.web.pages.visits import Exchange, Json, Visit, Visits
from tests.sandbox_server import demonstration
from tests.test_pages import parsed, words

_SENT = re.compile(r"<summary>Request: POST (\S+)</summary><pre[^>]*>(.*?)</pre>", re.DOTALL)
_CAME = re.compile(r"<summary>Response: (\d+)</summary><pre[^>]*>(.*?)</pre>", re.DOTALL)
_FEEDBACK = re.compile(r"POST (\S+/feedback)\n(\{.*?\n\})\n", re.DOTALL)


@pytest.fixture(scope="module")
def base(advisor: Advisor) -> Iterator[str]:
    with demonstration(advisor) as found:
        yield found


@pytest.fixture(scope="module")
def listening(advisor: Advisor) -> Iterator[tuple[str, list[Json]]]:
    """The demonstration before a service that takes feedback: the base, and what it was told."""
    told: list[Json] = []

    def send(ehr: Ehr, path: str, body: Json) -> Exchange:
        if path.endswith("/feedback"):
            told.append(body)
            return Exchange(path, body, 200, '{"taken": 1}')
        return ehr.send(path, body)

    with demonstration(advisor, send) as found:
        yield found, told


def opened(base: str, name: str, **typed: str) -> str:
    """The page of a patient."""
    answer = requests.get(f"{base}/patients/{name}", params=typed, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.text


def sent(page: str) -> Json:
    """The request that the page shows."""
    found = _SENT.search(page)
    assert found is not None
    request: Json = json.loads(unescape(found[2]))
    assert found[1] == f"/cds-services/low-alp-{request['hook']}"
    return request


def came(page: str) -> tuple[int, Any]:
    """Status and body of the response that the page shows."""
    found = _CAME.search(page)
    assert found is not None
    return int(found[1]), json.loads(unescape(found[2]))


def situation(page: str) -> str | None:
    """The situation of the first card."""
    cards = came(page)[1]["cards"]
    return cards[0]["extension"]["org.low-alp-cds.situation"] if cards else None


def visit_of(page: str) -> str:
    found = re.search(r'name="(?:visit|after)" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def answer(base: str, name: str, page: str, **form: str) -> str:
    """The page after a card was answered."""
    card = came(page)[1]["cards"][0]
    given = {"visit": visit_of(page), "card": card["uuid"], **form}
    response = requests.post(f"{base}/patients/{name}/feedback", data=given, timeout=20)
    assert response.status_code == 200, response.text
    assert [r.status_code for r in response.history] == [303]
    return response.text


def suggestion(page: str, label: str) -> str:
    """The uuid of a suggestion on the first card."""
    found = [s["uuid"] for s in came(page)[1]["cards"][0]["suggestions"] if s["label"] == label]
    return str(found[0])


def test_every_bundled_patient_is_listed_with_its_story(base: str) -> None:
    page = requests.get(f"{base}/", timeout=20).text
    for story in stories():
        assert story.story in words(page)
        assert f"/patients/{story.name}" in parsed(page).links
    assert page.count('<li><a href="/patients/') == len(stories())


@pytest.mark.parametrize("story", stories(), ids=lambda s: s.name)
def test_opening_a_chart_fires_the_hook_and_shows_the_answer(base: str, story: Any) -> None:
    page = opened(base, story.name)
    request = sent(page)
    assert request["hook"] == "patient-view"
    assert request["context"]["patientId"] == story.name
    status, body = came(page)
    assert status == 200
    for card in body["cards"]:
        assert card["summary"] in words(page)
        assert card["indicator"] in words(page)
        for offered in card.get("suggestions", []):
            assert f"+ {offered['label']}" in words(page)
        for reason in card["overrideReasons"]:
            assert reason["display"] in words(page)
    if not body["cards"]:
        assert re.search(r"No card, because [^.]+\. The rule: ", words(page))
    else:
        assert situation(page) == story.situation
    assert "ALP over time" in page
    assert "What is on record" in page


def test_each_visit_is_a_hook_instance_of_its_own(base: str) -> None:
    first, second = (sent(opened(base, "normal-alp"))["hookInstance"] for _ in range(2))
    assert first != second


def test_drafting_and_signing_fire_the_order_hooks(base: str) -> None:
    drafted = opened(base, "persistent-low-alp", drug="zoledronate", do="select")
    assert sent(drafted)["context"]["selections"] == ["MedicationRequest/draft-zoledronate"]
    assert situation(drafted) == "persistent-low-alp-antiresorptive-order"
    signed = opened(base, "persistent-low-alp", drug="zoledronate", do="sign")
    assert sent(signed)["hook"] == "order-sign"
    assert situation(signed) == "persistent-low-alp-antiresorptive-order"
    assert "zoledronate" in words(signed)


def test_an_order_can_end_the_drug(base: str) -> None:
    page = opened(base, "denosumab-gap", drug="denosumab", do="sign", ends="yes")
    assert sent(page)["context"]["draftOrders"]["entry"][0]["resource"]["status"] == "stopped"
    assert situation(page) == "denosumab-gap"


def test_an_order_of_no_drug_is_refused(base: str) -> None:
    response = requests.get(
        f"{base}/patients/normal-alp", params={"do": "sign", "drug": "<b>x</b>"}, timeout=20
    )
    assert response.status_code == 400
    assert "Choose the antiresorptive" in response.text
    assert "<b>x" not in response.text


def test_taking_a_suggestion_sends_feedback_and_keeps_the_draft(
    listening: tuple[str, list[Json]],
) -> None:
    base, told = listening
    page = opened(base, "persistent-low-alp")
    plp = suggestion(page, "Blood test: PLP (vitamin B6 level)")
    after = answer(base, "persistent-low-alp", page, suggestion=plp)
    (entry,) = told.pop()["feedback"]
    card = came(page)[1]["cards"][0]
    timestamp = entry.pop("outcomeTimestamp")
    assert re.fullmatch(r"2026-11-01T\d\d:\d\d:\d\d\.\d{3}Z", timestamp)
    assert entry == {
        "card": card["uuid"],
        "outcome": "accepted",
        "acceptedSuggestions": [{"id": plp}],
    }
    added = "Added to the draft orders: Blood test: PLP (vitamin B6 level)."
    assert f"{added} Feedback to the service: 200, taken" in words(after)
    assert "Pyridoxal 5'-phosphate (PLP) level, plasma" in words(after)
    # What is in the draft already is not offered again when the drug is signed.
    signed = opened(
        base, "persistent-low-alp", after=visit_of(after), drug="alendronate", do="sign"
    )
    kinds = [e["resource"]["resourceType"] for e in sent(signed)["context"]["draftOrders"]["entry"]]
    assert kinds == ["ServiceRequest", "MedicationRequest"]
    labels = [s["label"] for s in came(signed)[1]["cards"][0]["suggestions"]]
    assert "Blood test: PLP (vitamin B6 level)" not in labels


@pytest.mark.parametrize(
    "form, reason",
    [
        ({"reason": "already-evaluated"}, {"reason": "already-evaluated"}),
        (
            {"reason": "specialist-managing", "comment": " <i>wrong sex</i> "},
            {"reason": "specialist-managing", "userComment": "<i>wrong sex</i>"},
        ),
        ({"reason": "unheard-of"}, None),
    ],
)
def test_setting_a_card_aside_sends_the_reason(
    listening: tuple[str, list[Json]], form: dict[str, str], reason: dict[str, str] | None
) -> None:
    base, told = listening
    page = opened(base, "persistent-low-alp")
    after = answer(base, "persistent-low-alp", page, **form)
    (entry,) = told.pop()["feedback"]
    assert entry["outcome"] == "overridden"
    if reason is None:
        assert "overrideReason" not in entry
    else:
        given = entry["overrideReason"]
        assert given["reason"]["system"].endswith("/fhir/CodeSystem/override-reasons")
        assert given["reason"]["code"] == reason["reason"]
        assert given.get("userComment") == reason.get("userComment")
    assert "<i>wrong" not in after


def test_feedback_that_the_service_does_not_take_is_shown_as_such(advisor: Advisor) -> None:
    def send(ehr: Ehr, path: str, body: Json) -> Exchange:
        if path.endswith("/feedback"):
            return Exchange(path, body, 404, '{"resourceType": "OperationOutcome"}')
        return ehr.send(path, body)

    with demonstration(advisor, send) as base:
        page = opened(base, "persistent-low-alp")
        after = answer(base, "persistent-low-alp", page, reason="already-evaluated")
    assert "Feedback to the service: 404: refused, so the service does not know" in words(after)
    assert 'class="answered failed"' in after


def test_feedback_goes_to_the_service_over_http(advisor: Advisor) -> None:
    with demonstration(
        advisor
    ) as base:  # its own: what is set aside stays quiet for the tests after it
        page = opened(base, "persistent-low-alp")
        after = answer(base, "persistent-low-alp", page, reason="already-evaluated")
        again = opened(base, "persistent-low-alp")
    found = _FEEDBACK.search(unescape(after))
    assert found is not None
    assert found[1] == "/cds-services/low-alp-patient-view/feedback"
    assert json.loads(found[2])["feedback"][0]["card"] == came(page)[1]["cards"][0]["uuid"]
    assert "Feedback to the service: 200, taken" in words(after)
    assert came(again)[1]["cards"] == []


@pytest.mark.parametrize(
    "form", [{"suggestion": "unknown"}, {"card": "unknown"}, {"visit": "gone"}]
)
def test_feedback_on_what_is_not_there_is_refused(base: str, form: dict[str, str]) -> None:
    page = opened(base, "persistent-low-alp")
    given = {"visit": visit_of(page), "card": came(page)[1]["cards"][0]["uuid"], **form}
    response = requests.post(f"{base}/patients/persistent-low-alp/feedback", data=given, timeout=20)
    assert response.status_code == (404 if "visit" in form else 400)


def test_a_refusal_of_the_service_is_shown(advisor: Advisor) -> None:
    def send(ehr: Ehr, path: str, body: Json) -> Exchange:
        del body["prefetch"]["alp"]
        return ehr.send(path, body)

    with demonstration(advisor, send) as base:
        page = opened(base, "persistent-low-alp")
    assert "The service refused: 412: Prefetch key 'alp' was not sent." in words(page)
    assert "No card" not in page


def test_links_of_a_card_are_shown_as_a_record_system_shows_them(advisor: Advisor) -> None:
    """LNK-3: absolute links open beside the chart; SMART links need a server that launches."""
    links = [
        {"label": "Guideline", "url": "https://example.org/g", "type": "absolute"},
        {"label": "Timeline", "url": "https://cds.example/smart/launch", "type": "smart"},
    ]

    def send(ehr: Ehr, path: str, body: Json) -> Exchange:
        came_back = ehr.send(path, body)
        answer = came_back.answer or {}
        answer["cards"][0]["links"] = links
        return Exchange(path, body, came_back.status, json.dumps(answer))

    with demonstration(advisor, send) as base:
        page = opened(base, "persistent-low-alp")
    assert "https://example.org/g" in parsed(page).links
    assert "https://cds.example/smart/launch" not in parsed(page).links
    assert "Timeline: a SMART app, which needs an authorization server" in words(page)


def test_an_unknown_patient_is_not_there(base: str) -> None:
    assert requests.get(f"{base}/patients/nobody", timeout=20).status_code == 404


# --- changing the chart ---


def test_a_form_sent_back_as_it_was_changes_nothing(base: str, advisor: Advisor) -> None:
    for story in stories():
        bundle = chart(story.name)
        typed = {
            f.name: f.value
            for line in edit_form.form(bundle, advisor.rulebook)
            for f in line.fields
        }
        assert edits.edited(bundle, typed, advisor.rulebook) == bundle


@pytest.mark.parametrize(
    "typed, expected",
    [
        ({"alp-2-value": "60"}, None),
        ({"alp-2-unit": "mg/dL"}, "persistent-low-alp"),
        ({"alp-0-value": "", "alp-1-value": ""}, "single-low-alp"),
        ({"alp-2-value": "4", "alp-2-unit": "ukat/L"}, None),
        ({"alp-0-date": "2026-09-20", "alp-1-date": "2026-09-22"}, "single-low-alp"),
        ({"born": "2020-10-12", "alp-0-value": "100"}, "child-persistent-low-alp"),
        (
            {"drug-new-drug": "alendronate", "drug-new-start": "2024-06-01"},
            "low-on-antiresorptive-no-baseline",
        ),
        (
            {"drug-new-drug": "alendronate", "drug-new-start": "2026-03-01"},
            "low-before-antiresorptive",
        ),
        ({"alp-new-value": "55", "alp-new-date": "2026-10-30"}, None),
    ],
)
def test_what_is_typed_is_what_the_service_is_asked(
    base: str, typed: dict[str, str], expected: str | None
) -> None:
    assert situation(opened(base, "persistent-low-alp", **typed)) == expected


def test_a_drug_can_be_changed_and_taken_away(base: str) -> None:
    name = "low-before-antiresorptive"
    fields = {f"drug-{i}-drug": "" for i in range(7)}
    assert situation(opened(base, name)) == name
    assert situation(opened(base, name, **fields)) == "persistent-low-alp"
    page = opened(base, name, **{f"drug-{i}-drug": "denosumab" for i in range(7)})
    assert "Last denosumab" in words(page)


@pytest.mark.parametrize(
    "typed",
    [
        {"alp-0-value": "<script>alert(1)</script>"},
        {"alp-0-unit": "<b>U/L</b>"},
        {"alp-0-date": "yesterday"},
        {"born": "<i>"},
        {"sex": '"><script>'},
        {"drug-new-drug": "<script>", "drug-new-start": "?"},
        {"alp-new-value": "1e400"},
        {"alp-new-value": "nan"},
        {"unknown-field": "x", "visit": "y", "after": "z"},
    ],
)
def test_anything_may_be_typed_and_nothing_of_it_is_markup(
    base: str, typed: dict[str, str]
) -> None:
    page = opened(base, "persistent-low-alp", **typed)
    assert came(page)[0] in (200, 400, 412)
    for text in typed.values():
        if "<" in text:
            assert text not in page


def test_the_form_keeps_what_was_typed_and_the_order_form_carries_it(base: str) -> None:
    page = opened(base, "persistent-low-alp", **{"alp-2-value": "61"})
    assert 'name="alp-2-value" value="61"' in page
    assert '<input type="hidden" name="alp-2-value" value="61">' in page


# --- what is remembered ---


def test_the_oldest_visits_are_forgotten() -> None:
    visits = Visits()
    exchange = Exchange("/", {}, 200, "{}")
    for number in range(300):
        visits.keep(Visit(str(number), "p", "patient-view", {}, exchange))
    assert visits.get("0") is None
    assert visits.get("299") is not None


@pytest.mark.parametrize("text", ["", "<html>", "[]", "7"])
def test_an_answer_that_is_no_object_is_none(text: str) -> None:
    assert Exchange("/", {}, 200, text).answer is None
