"""Whatever is sent, the answer is cards or a refusal that says why; nothing breaks, leaks or guesses."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds_service.app import create_app
from cds_service.guidance import Advisor
from tests.charts import (
    DRUGS,
    LOINC,
    REFERENCE,
    TESTS,
    UCUM,
    Json,
    alp,
    concept,
    condition,
    day,
    dose,
    lab,
    patient,
    pregnant,
    stay,
    taking,
)
from tests.conftest import Client, open_settings, quickest, slug
from tests.hostile import (
    ADDRESS,
    DISPENSED,
    LOW,
    MEDICATIONS,
    RICH,
    Path,
    answer,
    at,
    bundle_of,
    is_silent,
    judged,
    paths,
    replaced,
    required_data_came,
    send,
    serving,
    text,
    with_prefetch,
    without,
)
from tests.vignettes import PATIENT_VIEW

SMALL = 64 * 1024
KEYS = (
    "alp",
    "laboratory",
    *MEDICATIONS,
    "conditions",
    "procedures",
    "encounters",
    "serviceRequests",
    "pregnancy",
)
OPTIONAL = [k for k in KEYS if k != "alp"]


@pytest.fixture(scope="module")
def low(service: Client) -> Json:
    """A valid request that gets one card, with results read and unread."""
    return service.request(*LOW)


@pytest.fixture(scope="module")
def rich(service: Client) -> Json:
    """A valid request with something of every kind."""
    return service.request(*RICH)


@pytest.fixture(scope="module")
def small(advisor: Advisor) -> Iterator[Client]:
    """A service that accepts 64 KiB."""
    app = create_app(open_settings(max_body_bytes=SMALL), today=lambda: REFERENCE)
    with serving(app, advisor) as client:
        yield client


def test_the_valid_requests_get_a_card(service: Client, low: Json, rich: Json) -> None:
    assert len(answer(service, low)[1]["cards"]) == 1
    assert len(answer(service, rich)[1]["cards"]) == 1


# --- Not JSON at all -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \r\n\t",
        b"{",
        b'{"hook":"patient-view"',
        b'{"hook":"patient-view",}',
        b"{'hook':'patient-view'}",
        b'{"hook":"patient-view"} {}',
        b'{"hook":"patient-view"}]',
        b'{"hook" "patient-view"}',
        b'// comment\n{"hook":"patient-view"}',
        b"patient-view",
        b"hook=patient-view&context=",
        b"<!DOCTYPE html><html><body>Sign in</body></html>",
        b"\x00",
        b"\xff\xfe{\x00}\x00",
        "{}".encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
        b'{"hook":"patient-view\x00"}',
        b'{"hook":"\xff"}',
        b'{"hook":"\xc0\xaf"}',
        b'{"hook":"\xed\xa0\x80"}',
    ],
    ids=repr,
)
def test_a_body_that_is_not_json_is_400(service: Client, body: bytes) -> None:
    assert answer(service, body)[0] == 400


@pytest.mark.parametrize(
    "body", [[], {}, "", "patient-view", 0, 1.5, True, None, [[]], [{}]], ids=repr
)
def test_a_body_that_is_not_a_call_is_400(service: Client, body: Any) -> None:
    assert answer(service, body)[0] == 400


def test_a_call_cut_short_anywhere_is_400(service: Client, low: Json) -> None:
    body = json.dumps(low).encode()
    for length in range(1, len(body), len(body) // 60):
        assert answer(service, body[:length])[0] == 400


def test_a_byte_order_mark_is_400(service: Client, low: Json) -> None:
    assert answer(service, b"\xef\xbb\xbf" + json.dumps(low).encode())[0] == 400


def test_utf_16_is_400(service: Client, low: Json) -> None:
    assert answer(service, json.dumps(low).encode("utf-16"))[0] == 400


# --- Size ----------------------------------------------------------------------------------------


def padded(request: Json, size: int) -> bytes:
    """A request of exactly that many bytes; the padding is valid JSON."""
    body = json.dumps(request).encode()
    return body + b" " * (size - len(body))


def pieces(body: bytes) -> Iterator[bytes]:
    """A body of unknown length: `requests` sends a generator in chunks, without Content-Length."""
    for start in range(0, len(body), 8192):
        yield body[start : start + 8192]


@pytest.mark.parametrize("chunked", [False, True], ids=["with length", "chunked"])
@pytest.mark.parametrize("beyond, status", [(-1, 200), (0, 200), (1, 413), (SMALL, 413)])
def test_a_body_beyond_the_limit_is_413(
    small: Client, low: Json, beyond: int, status: int, chunked: bool
) -> None:
    body = padded(low, SMALL + beyond)
    response = small.post(
        ADDRESS,
        data=pieces(body) if chunked else body,
        headers={"Content-Type": "application/json"},
    )
    judged(response)
    assert response.status_code == status


@pytest.mark.parametrize("chunked", [False, True], ids=["with length", "chunked"])
def test_what_stands_beyond_the_limit_is_not_cut_off_unseen(
    small: Client, low: Json, chunked: bool
) -> None:
    body = padded(low, SMALL) + b"]]] not JSON"
    response = small.post(
        ADDRESS,
        data=pieces(body) if chunked else body,
        headers={"Content-Type": "application/json"},
    )
    judged(response)
    assert response.status_code == 413


def test_the_limit_that_is_built_in_is_10_mib(service: Client, low: Json) -> None:
    assert answer(service, padded(low, 10 * 1024 * 1024))[0] == 200
    assert answer(service, padded(low, 10 * 1024 * 1024 + 1))[0] == 413


@pytest.mark.parametrize(
    "element", [("valueQuantity", "unit"), ("valueQuantity", "value"), ("status",), ("id",)]
)
def test_a_card_does_not_grow_with_a_string_of_the_record(
    service: Client, low: Json, element: Path
) -> None:
    place = ("prefetch", "alp", "entry", 0, "resource", *element)
    assert len(json.dumps(answer(service, replaced(low, place, "9" * 1_000_000))[1])) < 50_000


MANY = 5000


def _stays_and_values() -> list[Json]:
    stays = [stay("IMP", -8000 - i, -7999 - i, id=f"stay-{i}") for i in range(MANY)]
    return [*stays, *(alp(29, -1 - i % 3000, 35, id=f"alp-{i}") for i in range(MANY))]


def _potassium_and_values() -> list[Json]:
    high = [lab("potassium", 8, "mmol/L", -1 - i % 3000, id=f"k-{i}") for i in range(MANY)]
    return [*high, *(alp(29, -1 - i % 3000, 35, id=f"alp-{i}") for i in range(MANY))]


def _doses() -> list[Json]:
    return [*LOW, *(dose("denosumab", -1 - i, id=f"dose-{i}") for i in range(2 * MANY))]


@pytest.mark.parametrize("chart", [_stays_and_values, _potassium_and_values, _doses])
def test_a_huge_chart_is_answered_in_time(service: Client, chart: Any) -> None:
    body = json.dumps(service.request(*chart())).encode()
    assert answer(service, body)[0] == 200
    parsing = quickest(lambda: json.loads(body))
    # Twice the parsing as a rule; what grows with the square of the chart takes hundreds.
    assert quickest(lambda: answer(service, body)) < 10 * parsing, f"{len(body)} bytes"


# --- Depth ---------------------------------------------------------------------------------------

ENTRY = ("prefetch", "alp", "entry", 0, "resource")
PLACES: dict[str, Path] = {
    "unread member": ("unread",),
    "extension": ("extension",),
    "authorization": ("fhirAuthorization",),
    "context": ("context", "unread"),
    "patientId": ("context", "patientId"),
    "unread prefetch key": ("prefetch", "unread"),
    "required prefetch key": ("prefetch", "alp"),
    "optional prefetch key": ("prefetch", "conditions"),
    "Bundle": ("prefetch", "alp", "unread"),
    "Bundle entry": ("prefetch", "alp", "entry", 0),
    "resource": ENTRY,
    "unread element": (*ENTRY, "unread"),
    "read element": (*ENTRY, "code"),
    "contained": (*ENTRY, "contained"),
    "number": (*ENTRY, "valueQuantity", "value"),
    "text": (*ENTRY, "valueQuantity", "unit"),
}
anywhere = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)


def spliced(request: Json, place: Path, raw: bytes) -> bytes:
    """The request with these very bytes as the value at that place."""
    return json.dumps(replaced(request, place, "@here@")).encode().replace(b'"@here@"', raw)


DEPTH = 100_000
DEEP = {
    "arrays": b"[" * DEPTH + b"]" * DEPTH,
    "objects": b'{"a":' * DEPTH + b"1" + b"}" * DEPTH,
    "never closed": b"[" * DEPTH,
}


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
@anywhere
def test_100_000_brackets_are_refused(service: Client, low: Json, place: Path, deep: bytes) -> None:
    assert answer(service, spliced(low, place, deep))[0] == 400


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
def test_a_body_of_brackets_is_400(service: Client, deep: bytes) -> None:
    assert answer(service, deep)[0] == 400


@anywhere
def test_no_depth_on_the_way_there_breaks_anything(service: Client, low: Json, place: Path) -> None:
    for depth in (10, 100, 300, 500, 700, 850, *range(900, 1010, 10)):
        answer(service, spliced(low, place, b"[" * depth + b"]" * depth))
        answer(service, spliced(low, place, b'{"contained":[' * depth + b"]}" * depth))


# --- Numbers and strings -------------------------------------------------------------------------

NOT_JSON = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"nan",
    b"+1",
    b"01",
    b"1.",
    b".5",
    b"1e",
    b"0x10",
    b"-",
    b"undefined",
    b"None",
    b"True",
    b"'x'",
    b'"\x01"',
    b'"\n"',
    b'"\\q"',
    b'"\\u12"',
    b'"\xff"',
    b'"\xc3"',
    b'"\xed\xa0\x80"',
    b'"\xf4\x90\x80\x80"',
    b"[1,]",
    b'{"a":1,}',
    b"[1 2]",
    b"/**/1",
]


@pytest.mark.parametrize("raw", NOT_JSON, ids=repr)
def test_what_is_not_json_is_400_even_where_nobody_reads(
    service: Client, low: Json, raw: bytes
) -> None:
    for name, place in PLACES.items():
        assert answer(service, spliced(low, place, raw))[0] == 400, name


def test_bad_utf_8_in_a_key_that_nobody_reads_is_400(service: Client, low: Json) -> None:
    body = json.dumps({**low, "@key@": 1}).encode().replace(b"@key@", b"\xff\xfe")
    assert answer(service, body)[0] == 400


ODD = [
    b"1" * 6000,
    b"-" + b"9" * 6000,
    b"1E+400",
    b"-1E+400",
    b"1E-400",
    b"0E+999999999",
    b"1E+999999999999999999999",
    b"0." + b"0" * 6000 + b"1",
    b"-0",
    b"18446744073709551616",
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\u0000"',
    b'"\\u0001\\u001f\\u007f\\u0085"',
    b'"\\u202e\\u2066"',
    b'"\\ufeff\\ufffe\\uffff"',
    b'"\xf0\x9f\xa6\xb4"',
    b'""',
    b'" "',
    b'"NaN"',
    b'"sNaN"',
    b'"-Infinity"',
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"[null]",
    b'[""]',
    b"[[]]",
    b"[{}]",
    b'{"":null}',
]


@pytest.mark.parametrize("raw", ODD, ids=lambda raw: repr(raw[:30]))
def test_odd_values_are_read_or_refused(service: Client, low: Json, raw: bytes) -> None:
    for place in PLACES.values():
        answer(service, spliced(low, place, raw))


# A lone surrogate is no Unicode text: refusing the body is right, too.
@pytest.mark.parametrize(
    "raw", [raw for raw in ODD if not raw.startswith(b'"\\ud')], ids=lambda raw: repr(raw[:30])
)
def test_odd_values_in_unread_elements_change_nothing(
    service: Client, low: Json, raw: bytes
) -> None:
    for name in ("unread member", "extension", "context", "unread prefetch key", "unread element"):
        status, document = answer(service, spliced(low, PLACES[name], raw))
        assert status == 200, name
        assert len(document["cards"]) == 1, name


# Every number of every vignette, and of two charts with numbers that no vignette has.
NUMBERS = ["NaN", "sNaN", "Infinity", "1E+400", -1, 0, True, "", [], 10**4200]
DATES = [
    "9999-12-31",
    "0001-01-01",
    "9999",
    "0001-01",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "0000-00-00",
    "2026-02-30",
    "2026-W01-1",
    "2026-13",
    "٢٠٢٦-٠١-٠١",
    "",
    "tomorrow",
    20260101,
]
SWEPT = [
    *(v.chart for v in PATIENT_VIEW),
    list(RICH),
    [patient(58), *LOW, DISPENSED],
    [patient(31), *LOW, *pregnant(11), condition("pregnancy", -60)],
]


def swept(service: Client, new: Any, is_meant: Any) -> list[str]:
    """Puts `new` in the place of each leaf that is meant; the places where the answer was a 500."""
    failed: set[str] = set()
    for chart in SWEPT:
        request = service.request(*chart)
        for path in paths(request["prefetch"], ("prefetch",)):
            if is_meant(path, at(request, path)):
                response = send(service, replaced(request, path, new))
                if response.status_code >= 500:
                    failed.add(".".join(str(p) for p in path if not isinstance(p, int)))
                else:
                    judged(response)
    return sorted(failed)


@pytest.mark.parametrize("new", NUMBERS, ids=lambda n: repr(n)[:10])
def test_no_number_of_a_chart_breaks_the_service(service: Client, new: Any) -> None:
    assert not swept(service, new, lambda _, old: isinstance(old, int | float))


@pytest.mark.parametrize("new", DATES, ids=str)
def test_no_date_of_a_chart_breaks_the_service(service: Client, new: Any) -> None:
    dated = re.compile(r"\d{4}-\d\d-\d\d")
    assert not swept(service, new, lambda _, old: isinstance(old, str) and dated.match(old))


# --- Members of the wrong type -------------------------------------------------------------------

WRONG: dict[str, list[Any]] = {
    "hook": [None, 1, 1.5, True, [], {}, ["patient-view"], "", "x" * 5000],
    "hookInstance": [None, 1, True, [], {}, ""],
    "context": [None, 1, True, "", "x", [], [{}], {}],
    "prefetch": [1, True, "", "x", [], [{}]],
    "fhirServer": [1, True, [], {}, "x", "file:///etc/passwd", "javascript:alert(1)", "http://["],
    "fhirAuthorization": [1, True, "x", [], {}],
}


@pytest.mark.parametrize(
    "member, value",
    [(m, v) for m, values in WRONG.items() for v in values],
    ids=lambda v: repr(v)[:20],
)
def test_a_member_of_the_wrong_type_is_400(
    service: Client, low: Json, member: str, value: Any
) -> None:
    status, document = answer(service, {**low, member: value})
    assert status == 400
    assert member in json.dumps(document) or member == "fhirAuthorization"


@pytest.mark.parametrize("member", ["userId", "patientId", "encounterId"])
@pytest.mark.parametrize("value", [1, True, [], {}, [""], "\x00", "a b", "ü"], ids=repr)
def test_a_context_field_of_the_wrong_type_is_400(
    service: Client, low: Json, member: str, value: Any
) -> None:
    assert answer(service, replaced(low, ("context", member), value))[0] == 400


@pytest.mark.parametrize(
    "value",
    [
        "../Patient",
        "a/b",
        "a?_include=*",
        "a&patient=b",
        "a#b",
        "a%2fb",
        "a|b",
        "a,b",
        "Patient/pat-1",
        "http://evil.example/Patient/1",
        "pat-1\n",
        " pat-1",
        "pat-1\r\nX-Evil: 1",
        "${jndi:ldap://evil}",
        "{{context.userId}}",
        "' OR 1=1 --",
        "<script>",
        "é",
        "a" * 65,
        "",
    ],
    ids=repr,
)
def test_ctx_8_an_id_that_is_none_is_400(service: Client, low: Json, value: str) -> None:
    changed = replaced(low, ("context", "patientId"), value)
    assert answer(service, replaced(changed, ("prefetch", "patient", "id"), value))[0] == 400
    if value:
        assert answer(service, replaced(low, ("context", "encounterId"), value))[0] == 400


@pytest.mark.parametrize(
    "members",
    [
        '"hook":"order-sign"',
        '"hook":1',
        '"context":{}',
        '"context":{"userId":"Practitioner/a","patientId":"somebody-else"}',
        '"prefetch":null',
        '"prefetch":{"alp":null}',
    ],
)
def test_a_member_that_comes_twice_is_one_of_the_two(
    service: Client, low: Json, members: str
) -> None:
    body = json.dumps(low).removeprefix("{")
    first = answer(service, f"{{{members},{body}".encode())
    last = answer(service, f"{{{body.removesuffix('}')},{members}}}".encode())
    assert not is_silent(first[1])
    assert not is_silent(last[1])


def test_an_element_that_comes_twice_is_read_or_named(service: Client, low: Json) -> None:
    body = json.dumps(low)
    for twice in (
        body.replace(
            '"resourceType": "Observation"',
            '"resourceType": "Patient", "resourceType": "Observation"',
        ),
        body.replace('"status": "final"', '"status": "final", "status": 5'),
        body.replace('"code": {', '"code": null, "code": {'),
    ):
        assert twice != body
        assert not is_silent(answer(service, twice.encode())[1])


# --- Prefetch that is not what was asked for -----------------------------------------------------

HTML = "<!DOCTYPE html><html><head><title>Sign in</title></head><body></body></html>"
RUBBISH: dict[str, Any] = {
    "html": HTML,
    "empty string": "",
    "number": 404,
    "boolean": False,
    "array": [],
    "array of resources": list(LOW),
    "object": {},
    "no resourceType": {"type": "searchset", "entry": [{"resource": LOW[0]}]},
    "resourceType null": {"resourceType": None},
    "resourceType number": {"resourceType": 1},
    "unknown resourceType": {"resourceType": "Sentinel"},
    "resource that nobody asked for": {"resourceType": "Practitioner", "id": "1"},
    "wrong case": {"resourceType": "bundle", "entry": []},
    "pre-1.0 wrapping": {"response": {"status": "200 OK"}, "resource": bundle_of(*LOW)},
    "entry is an object": {"resourceType": "Bundle", "entry": {"resource": LOW[0]}},
    "entry is a string": {"resourceType": "Bundle", "entry": "none"},
    "entries are null": {"resourceType": "Bundle", "entry": [None, None]},
    "entries are strings": {"resourceType": "Bundle", "entry": ["Observation/1", HTML]},
    "entries without resource": {"resourceType": "Bundle", "entry": [{}, {"fullUrl": "urn:x"}]},
    "resources are null": bundle_of(None),
    "resources are strings": bundle_of(HTML, "Observation/1"),
    "resources are arrays": bundle_of([LOW[0]]),
    "resources have no type": bundle_of({}, {"id": "1"}),
    "resources are of unknown types": bundle_of({"resourceType": "DiagnosticReport", "id": "1"}),
    "a Bundle in a Bundle": bundle_of(bundle_of(*LOW)),
}
rubbish = pytest.mark.parametrize("value", RUBBISH.values(), ids=RUBBISH)


@rubbish
@pytest.mark.parametrize("key", ["patient", "alp"])
def test_rubbish_under_a_required_key_is_412(
    service: Client, low: Json, key: str, value: Any
) -> None:
    status, document = answer(service, with_prefetch(low, **{key: value}))
    assert status == 412
    assert f"'{key}'" in document["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    "value", [patient(), bundle_of(patient()), bundle_of(condition("dialysis"))]
)
def test_resources_of_another_kind_are_no_alp(service: Client, low: Json, value: Any) -> None:
    assert answer(service, with_prefetch(low, alp=value))[0] == 412


@rubbish
def test_rubbish_under_every_medication_key_is_412(service: Client, low: Json, value: Any) -> None:
    status, document = answer(service, with_prefetch(low, **dict.fromkeys(MEDICATIONS, value)))
    assert status == 412
    assert all(key in document["issue"][0]["diagnostics"] for key in MEDICATIONS)


@rubbish
def test_rubbish_under_any_other_key_is_named_on_the_card(
    service: Client, low: Json, value: Any
) -> None:
    for key in OPTIONAL:
        status, document = answer(service, with_prefetch(low, **{key: value}))
        assert status == 200, key
        assert re.search(r"Not available in this call|Not used: \d", text(document["cards"])), key


@pytest.mark.parametrize(
    "value",
    [
        {"resourceType": "Bundle", "entry": []},
        {"resourceType": "Bundle", "entry": None},
        {"resourceType": "Bundle", "total": 0},
        {"resourceType": "Bundle", "link": 5},
        {"resourceType": "Bundle", "link": [{"relation": 5}]},
        {"resourceType": "Bundle", "type": 7, "meta": "x", "id": []},
    ],
    ids=repr,
)
def test_a_bundle_that_is_odd_but_empty_is_read_or_refused(
    service: Client, low: Json, value: Any
) -> None:
    for key in KEYS:
        answer(service, with_prefetch(low, **{key: value}))


# --- Entries that cannot be read -----------------------------------------------------------------

MEASURED = alp(31, -120, 35)
BROKEN: dict[str, Any] = {
    "not an object": 5,
    "html": HTML,
    "no type": without(MEASURED, "resourceType"),
    "code is text": {**MEASURED, "code": "6768-6"},
    "code is an array": {**MEASURED, "code": [MEASURED["code"]]},
    "coding is an object": {**MEASURED, "code": {"coding": MEASURED["code"]["coding"][0]}},
    "value is a word": {**MEASURED, "valueQuantity": {"value": "low", "unit": "U/L"}},
    "value is an object": {**MEASURED, "valueQuantity": {"value": {}, "unit": "U/L"}},
    "unit is a number": {**MEASURED, "valueQuantity": {"value": 29, "unit": 1}},
    "value is not finite": {**MEASURED, "valueQuantity": {"value": "1E+9999999999999999999"}},
    "date is a number": {**MEASURED, "effectiveDateTime": 20260101},
    "subject is text": {**MEASURED, "subject": "Patient/pat-1"},
    "status is an array": {**MEASURED, "status": ["final"]},
    "id is a number": {**MEASURED, "id": 5},
    "range is an object": {**MEASURED, "referenceRange": {"low": {"value": 35}}},
    "integer of 6000 digits": {**without(MEASURED, "valueQuantity"), "valueInteger": "@integer@"},
}
broken = pytest.mark.parametrize("entry", BROKEN.values(), ids=BROKEN)


def with_alp(request: Json, *found: Any) -> bytes:
    """The request with these as its ALP results."""
    body = json.dumps(with_prefetch(request, alp=bundle_of(*found)))
    return body.replace('"@integer@"', "7" * 6000).encode()


def numbered(entry: Any, count: int) -> list[Any]:
    """That many entries, each a resource of its own."""
    if not isinstance(entry, dict) or isinstance(entry.get("id"), int):
        return [entry] * count
    return [{**entry, "id": f"broken-{i}"} for i in range(count)]


@broken
def test_alp_of_which_no_entry_can_be_read_is_412(service: Client, low: Json, entry: Any) -> None:
    specimen = {"resourceType": "Specimen", "id": "S1"}
    for found in ([entry], numbered(entry, 3), [entry, specimen]):
        status, document = answer(service, with_alp(low, *found))
        assert status == 412
        assert "'alp'" in document["issue"][0]["diagnostics"]


@broken
@pytest.mark.parametrize("count", [1, 3])
def test_a_card_says_how_many_entries_could_not_be_read(
    service: Client, low: Json, entry: Any, count: int
) -> None:
    status, document = answer(service, with_alp(low, *numbered(entry, count), *LOW))
    assert status == 200
    (card,) = document["cards"]
    assert slug(card) == "persistent-low-alp"
    said = re.findall(r"Not used: (\d+) entr(?:y|ies)", card["detail"])
    assert sum(map(int, said)) == count


@broken
def test_an_unreadable_entry_beside_normal_values_is_200(
    service: Client, low: Json, entry: Any
) -> None:
    status, document = answer(service, with_alp(low, alp(70, -20, 35), entry))
    assert (status, document["cards"]) == (200, [])


@broken
def test_an_unreadable_copy_does_not_cost_the_readable_one(
    service: Client, low: Json, entry: Any
) -> None:
    copy = {**entry, "id": LOW[0]["id"]} if isinstance(entry, dict) else entry
    for found in ((copy, *LOW), (*LOW, copy)):
        (card,) = answer(service, with_alp(low, *found))[1]["cards"]
        assert slug(card) == "persistent-low-alp"


@pytest.mark.parametrize(
    "subject",
    [None, {}, {"identifier": {"value": "1"}}, {"display": "Somebody"}, {"reference": ""}],
    ids=repr,
)
def test_alp_that_names_no_patient_at_all_is_412(service: Client, low: Json, subject: Any) -> None:
    """Nothing of it can be used, so nothing was checked."""
    found = [{**x, "subject": subject} for x in LOW]
    assert answer(service, with_alp(low, *found))[0] == 412


@pytest.mark.parametrize("key", sorted(MEDICATIONS))
def test_medications_that_are_all_unreadable_or_nobodys_are_412(
    service: Client, low: Json, key: str
) -> None:
    drug = {**taking("alendronate", -300), "resourceType": MEDICATIONS[key]}
    only = dict.fromkeys(MEDICATIONS, ...)
    for entry in ({**drug, "status": 5}, without(drug, "subject"), patient()):
        request = with_prefetch(low, **{**only, key: bundle_of(entry)})
        assert answer(service, request)[0] == 412, entry


# --- Text of the record on the card --------------------------------------------------------------

MARKUP = {
    "html": "<img src=x onerror=alert(1)>",
    "short html": "<b>U/L",
    "pipe": "U/L | x",
    "escaped pipe": "U/L\\| x",
    "image": "![x](//e.co)",
    "link": "[x](javascript:alert(1))",
    "code": "`U/L",
    "emphasis": "**U/L**",
    "new block": "U/L\n\n# Heading",
    "line break": "U/L\r\n| a | b |",
}


def coded(value: float, unit: str, code: str = "U/L") -> Json:
    """A Quantity that is recognised by its UCUM code, with any text as its printed unit."""
    return {"value": value, "unit": unit, "system": UCUM, "code": code}


def charts_with(words: str) -> dict[str, list[Json]]:
    """Charts that bring these words of the record as near to a card as words can come."""
    earlier = [alp(25, -1500, 35), alp(27, -900, 35), alp(88, -15, 35)]
    tube = {"resourceType": "Specimen", "id": "S1", "container": [{"description": f"EDTA {words}"}]}
    drug: dict[str, Any] = {"medicationCodeableConcept": {"text": f"alendronate {words}"}}
    zinc = {**concept("http://snomed.info/sct", "73281004"), "text": words}
    high_potassium: dict[str, Any] = {"valueQuantity": coded(7.9, words, "mmol/L")}
    dialysed = [patient(66), alp(33, -200, 40), alp(30, -30, 40), condition("dialysis", -2000)]
    return {
        "unit of ALP beside its code": [
            alp(29, -300, 35, valueQuantity=coded(29, words)),
            alp(27, -45, 35, valueQuantity=coded(27, words)),
        ],
        "unit of a limit": [
            alp(29, -300, referenceRange=[{"low": coded(35, words)}]),
            alp(27, -45, referenceRange=[{"low": coded(35, words)}]),
        ],
        "unit of ALP": [*LOW, alp(20, -5, 35, unit=words)],
        "ALP as text": [*LOW, alp(f"20 {words}", -5, 35)],
        "comparator": [*LOW, alp(20, -5, 35, comparator=words)],
        "status": [*LOW, alp(20, -5, 35, status=words)],
        "date": [*LOW, alp(20, -5, 35, effectiveDateTime=words)],
        "unit of GGT": [*earlier, lab("ggt", 310, words, -15, high=40)],
        "unit of PTH": [*dialysed, lab("pth", 55, words, -30)],
        "unit of zinc": [*LOW, lab("zinc", 3, words, -30, low=10)],
        "unit of PLP": [*LOW, lab("plp", 310, words, -30, high=125)],
        "unit of PEA": [*LOW, lab("pea", 310, words, -30, high=125)],
        "unit of potassium": [
            alp(9, -12, 35, specimen="S1"),
            lab("potassium", 7.9, "mmol/L", -12, specimen="S1", **high_potassium),
            lab("calcium", 1.35, "mmol/L", -12, specimen="S1"),
        ],
        "name of a drug": [*LOW, taking("alendronate", -100, **drug)],
        "name of a diagnosis": [*LOW, condition("zinc deficiency", -20, code=zinc)],
        "tube": [alp(29, -45, 35, specimen="S1"), tube],
    }


def structure(detail: str) -> dict[str, int]:
    """What a renderer of GitHub-flavoured markdown makes more of than words."""
    lines = detail.splitlines()
    rows = [line for line in lines if line.startswith("|")]
    return {
        "lines": len(lines),
        "HTML": len(re.findall(r"(?<!\\)(?:\\\\)*<", detail)),
        "columns": sum(len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows),
        "links": len(re.findall(r"(?<!\\)(?:\\\\)*\[", detail)),
        "code": len(re.findall(r"(?<!\\)(?:\\\\)*`", detail)),
        "emphasis": len(re.findall(r"(?<!\\)(?:\\\\)*\*", detail)),
    }


@pytest.mark.parametrize("where", charts_with(""))
@pytest.mark.parametrize("hostile", MARKUP.values(), ids=MARKUP)
def test_text_of_the_record_is_never_markup_on_a_card(
    service: Client, where: str, hostile: str
) -> None:
    """A card with hostile words is built like the same card with harmless ones."""
    cards = service.fire(*charts_with(hostile)[where])
    harmless = service.fire(*charts_with("harmless")[where])
    assert [slug(c) for c in cards] == [slug(c) for c in harmless]
    for card, model in zip(cards, harmless, strict=True):
        assert structure(card["detail"]) == structure(model["detail"])
        assert card["summary"].isprintable()


@pytest.mark.parametrize(
    "name",
    ["a b", "../Patient/2", "<b>", "a?b=c", "a" * 65, "a" * 5000, "é", "a\nb", "#1"],
    ids=lambda n: repr(n)[:12],
)
def test_an_id_that_is_none_goes_into_no_draft_order(service: Client, name: str) -> None:
    (card,) = service.fire(alp(29, -300, 35), alp(27, -45, 35, id=name))
    for suggestion in card["suggestions"]:
        resource = suggestion["actions"][0]["resource"]
        for reason in resource.get("reasonReference", []):
            assert re.fullmatch(r"Observation/[A-Za-z0-9\-.]{1,64}", reason["reference"])


# --- What was sent does not come back ------------------------------------------------------------

SENTINEL = "Sentinel-4f1d"


def test_no_refusal_repeats_a_value_of_the_request(service: Client, rich: Json) -> None:
    request = {
        **rich,
        "fhirServer": "https://ehr.example/fhir",
        "fhirAuthorization": {"access_token": "t", "token_type": "Bearer", "scope": "s"},
    }
    for path in paths(request):
        leaf = not isinstance(at(request, path), dict | list)
        new = SENTINEL if leaf else {"resourceType": SENTINEL, "status": SENTINEL, "hook": SENTINEL}
        document = answer(service, replaced(request, path, new))[1]
        if "cards" not in document:
            assert SENTINEL not in json.dumps(document), path


@pytest.mark.parametrize("status", [400, 412])
def test_a_refusal_holds_nothing_of_a_request_full_of_secrets(
    service: Client, rich: Json, status: int
) -> None:
    def marked(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: v if k == "resourceType" else marked(v) for k, v in value.items()}
        if isinstance(value, list):
            return [marked(v) for v in value]
        return SENTINEL if isinstance(value, str) else 987654321.125

    request = {**rich, "prefetch": marked(rich["prefetch"]), "fhirServer": f"https://{SENTINEL}/"}
    request["fhirAuthorization"] = {"access_token": SENTINEL, "subject": SENTINEL}
    request["hook"] = SENTINEL if status == 400 else "patient-view"
    response = send(service, request, headers={"Authorization": f"Bearer {SENTINEL}"})
    judged(response)
    assert response.status_code == status
    assert SENTINEL not in response.text + str(response.headers)
    assert "987654321" not in response.text


# --- Anything at all -----------------------------------------------------------------------------

NAMES = sorted({p[-1] for p in paths(list(RICH)) if isinstance(p[-1], str)} | {"issue", "severity"})
WORDS = [
    "Bundle",
    "Observation",
    "Patient",
    "Specimen",
    "MedicationStatement",
    "OperationOutcome",
    "Patient/pat-1",
    "pat-1",
    "final",
    "error",
    "information",
    "next",
    LOINC,
    TESTS["alp"],
    DRUGS["alendronate"][1],
    day(-10),
    "9999-12-31",
    "U/L",
    "<",
    "NaN",
    "",
]
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=5)
        | st.fixed_dictionaries(
            {"resourceType": st.sampled_from(WORDS[:6])},
            optional=dict.fromkeys(("entry", "code", "issue", "subject", "id", "value"), inner),
        )
        | st.builds(
            lambda found: {"resourceType": "Bundle", "entry": found}, st.lists(inner, max_size=3)
        )
        | st.builds(lambda found: bundle_of(*found), st.lists(inner, max_size=3))
    ),
    max_leaves=12,
)
fuzzed = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def check(service: Client, request: Any) -> None:
    """The answer is judged, and is a refusal when required data did not come."""
    status, document = answer(service, request)
    if not required_data_came(request):
        assert status != 200, document


@fuzzed
@given(body=anything)
def test_any_json_at_all(service: Client, body: Any) -> None:
    assert answer(service, body)[0] == 400


@fuzzed
@given(body=st.binary(max_size=200))
def test_any_bytes_at_all(service: Client, body: bytes) -> None:
    assert answer(service, body)[0] == 400


@pytest.mark.parametrize(
    "member",
    ["hook", "hookInstance", "context", "prefetch", "fhirServer", "fhirAuthorization", "extension"],
)
@settings(fuzzed, max_examples=20)
@given(value=anything)
def test_anything_as_a_member(service: Client, low: Json, member: str, value: Any) -> None:
    check(service, {**low, member: value})


@pytest.mark.parametrize("key", ["patient", *KEYS])
@settings(fuzzed, max_examples=20)
@given(value=anything)
def test_anything_under_a_prefetch_key(service: Client, low: Json, key: str, value: Any) -> None:
    check(service, with_prefetch(low, **{key: value}))


@settings(fuzzed, max_examples=250)
@given(choices=st.data())
def test_a_valid_request_with_a_few_nodes_broken(
    service: Client, rich: Json, choices: st.DataObject
) -> None:
    request: Any = rich
    for _ in range(choices.draw(st.integers(1, 3))):
        places = list(paths(request))
        path = choices.draw(st.sampled_from(places))
        request = replaced(request, path, choices.draw(st.just(...) | anything))
    check(service, request)


def test_a_valid_request_with_any_one_node_dropped(service: Client, rich: Json) -> None:
    for path in paths(rich):
        check(service, replaced(rich, path, ...))
