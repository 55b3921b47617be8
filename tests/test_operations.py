"""Health, metrics, canary, request ids, traces and logs: what operators see, and what they never see."""

import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import text as sql
from werkzeug.serving import make_server

from cds_service import canary, rulebook
from cds_service.app import create_app
from cds_service.canary import Canary, Report
from cds_service.database import open_database
from cds_service.database.readiness import database_probe
from cds_service.database.upgrading import upgrade
from cds_service.drugs import DrugList
from cds_service.errors import KnowledgeError
from cds_service.fhir.access import FhirAccess
from cds_service.fhir.templates import TYPES
from cds_service.guidance import Advisor
from cds_service.logs import AUDIT, ORIGIN, JsonLine, Origin, TextLine
from cds_service.metrics import Metrics, _public_code
from cds_service.networks import listed, networks
from cds_service.settings import Settings, from_environment
from cds_service.terminology import LOINC, Terminology
from cds_service.web import operations, origin, tracing
from cds_service.web.proxies import THROUGH_A_STRANGER, TrustedProxies
from tests.charts import REFERENCE, Json, alp, patient
from tests.conftest import CANONICAL, Client, open_settings
from tests.databases import PostgreSQL
from tests.fetching import ROOMY, Ehr
from tests.fetching import without as left_out
from tests.fhir_stub import FhirStub, running
from tests.processes import ROOT
from tests.remembering import accepted, overridden
from tests.signing import Signer, key_server
from tests.signing import settings as required

EHR = Signer("https://ehr.hospital.example")
VIEW = "/cds-services/low-alp-patient-view"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The base of an application on a real port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def database(folder: Path) -> str:
    url = f"sqlite:///{folder / 'memory.sqlite3'}"
    engine = open_database(url)
    upgrade(engine)
    engine.dispose()
    return url


@pytest.fixture
def app(tmp_path: Path) -> Iterator[str]:
    """A service of its own, so that what it counts is what the test did."""
    settings = Settings(auth="off", database_url=database(tmp_path))
    with served(create_app(settings, today=lambda: REFERENCE)) as base:
        yield base


def series(base: str) -> dict[str, float]:
    """Every series that is not a histogram's bucket."""
    text = requests.get(f"{base}/metrics", timeout=10).text
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines if "_created" not in name}


def fire(base: str, request: Json) -> requests.Response:
    return requests.post(f"{base}/cds-services/low-alp-{request['hook']}", json=request, timeout=10)


# health


def test_ready_when_every_part_is(app: str) -> None:
    answer = requests.get(f"{app}/health/ready", timeout=10)
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "parts": dict.fromkeys(("knowledge", "database", "keys", "canary"), "ready"),
    }
    assert series(app)['cds_ready{part="canary"}'] == 1


def test_alive_whatever_the_parts_are(tmp_path: Path) -> None:
    settings = Settings(auth="off", database_url=f"sqlite:///{tmp_path}/nowhere/memory.sqlite3")
    with served(create_app(settings)) as base:
        assert requests.get(f"{base}/health/live", timeout=10).json() == {"status": "alive"}


def test_not_ready_says_which_part_and_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(auth="off", database_url=f"sqlite:///{tmp_path}/nowhere/memory.sqlite3")
    with served(create_app(settings)) as base:
        for _ in range(3):
            answer = requests.get(f"{base}/health/ready", timeout=10)
        assert answer.status_code == 503
        assert answer.json() == {
            "status": "not ready",
            "parts": {
                "knowledge": "ready",
                "database": "not ready",
                "keys": "ready",
                "canary": "ready",
            },
        }
        assert series(base)['cds_ready{part="database"}'] == 0
        assert series(base)['cds_memory_failures_total{operation="open"}'] == 1
        told = [r.getMessage() for r in caplog.records if "not ready" in r.getMessage()]
        assert len(told) == 1, "one line a change, not one a probe"
        assert "reached" in told[0]
        assert str(tmp_path) not in told[0]
        (tmp_path / "nowhere").mkdir()
        assert requests.get(f"{base}/health/ready", timeout=10).status_code == 200, (
            "it mends itself"
        )


def test_a_schema_ahead_of_this_version_is_no_reason_to_stop(postgresql: PostgreSQL) -> None:
    """While a new version is rolled out, the old one goes on."""
    engine = open_database(postgresql.migrated())
    probe = database_probe(engine)
    assert probe() is None
    for version, ready in (("9999", True), ("0001", False)):
        with engine.begin() as connection:
            connection.execute(sql("UPDATE alembic_version SET version_num = :v"), {"v": version})
        assert (probe() is None) is ready
    assert "db upgrade" in (probe() or "")
    engine.dispose()


def test_whoever_watches_needs_no_token_and_no_place(tmp_path: Path) -> None:
    settings = required(tmp_path, {"name": "ehr", "issuer": EHR.issuer, "jwks": EHR.jwks()})
    settings = msgspec.structs.replace(settings, max_concurrent=1)
    app = create_app(settings)
    room = threading.Event()
    entered = threading.Event()

    @app.get("/waits")
    def waits() -> str:
        entered.set()
        room.wait(30)
        return ""

    with served(app) as base, ThreadPoolExecutor(1) as caller:
        try:
            held = caller.submit(
                requests.get, f"{base}/waits", headers=EHR.bearer("/waits"), timeout=30
            )
            assert entered.wait(30)
            assert requests.get(f"{base}/cds-services", timeout=10).status_code == 503
            for path in ("/health/live", "/health/ready", "/metrics"):
                assert requests.get(base + path, timeout=10).status_code == 200, path
        finally:
            room.set()
        assert held.result().status_code == 200
        assert requests.get(f"{base}/cds-services", timeout=10).status_code == 401


def test_keys_are_ready_while_one_client_has_some(tmp_path: Path) -> None:
    with key_server() as keys:
        keys.status = 500
        away = {"name": "away", "issuer": "https://away.example", "jwks_url": keys.url}
        with served(create_app(required(tmp_path, away))) as base:
            parts = requests.get(f"{base}/health/ready", timeout=10).json()["parts"]
            assert parts["keys"] == "not ready"
            requests.get(f"{base}/health/ready", timeout=10)
            assert keys.asked == 1, "not at every probe"
        keys.status, keys.document = 200, EHR.jwks()
        with served(create_app(required(tmp_path, away))) as base:
            assert requests.get(f"{base}/health/ready", timeout=10).status_code == 200
        keys.status = 500
        at_hand = {"name": "ehr", "issuer": EHR.issuer, "jwks": EHR.jwks()}
        with served(create_app(required(tmp_path, away, at_hand))) as base:
            assert requests.get(f"{base}/health/ready", timeout=10).status_code == 200


def test_audit_line_and_json_log_name_one_request(
    app: str, service: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    request = service.request(patient(), alp(25, -10), alp(26, -80))
    answer = requests.post(
        app + VIEW, json=request, headers={"X-Request-ID": "request-0001"}, timeout=10
    )
    assert answer.status_code == 200
    requests.get(f"{app}/health/live", timeout=10)
    (record,) = [r for r in caplog.records if r.name == AUDIT]
    token = ORIGIN.set(Origin("request-0001", "127.0.0.1"))
    try:
        line = json.loads(JsonLine().format(record))
        text = TextLine().format(record)
    finally:
        ORIGIN.reset(token)
    assert line["message"] == "audit"
    assert line["request_id"] == line["audit"]["request_id"] == "request-0001"
    assert line["audit"]["situation"] == "persistent-low-alp"
    assert json.loads(text.partition(" audit ")[2]) == line["audit"], "JSON to the end of the line"


def test_audit_line_names_what_is_in_shadow(
    tmp_path: Path, service: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    policy = tmp_path / "site.toml"
    policy.write_text('[situations]\nevery = "shadow"\n', encoding="utf-8")
    settings = Settings(auth="off", database_url=database(tmp_path), policy=policy)
    with served(create_app(settings, today=lambda: REFERENCE)) as base:
        assert fire(base, service.request(patient(), alp(25, -10), alp(26, -80))).json() == {
            "cards": []
        }
    (record,) = [r for r in caplog.records if r.name == AUDIT]
    line: dict[str, Any] = vars(record)["audit"]
    assert line["shadow"][0] == "persistent-low-alp"


# metrics


def test_what_came_of_calls_is_counted(app: str, service: Client) -> None:
    low = service.request(patient(), alp(25, -10), alp(26, -80))
    refused = service.request(patient(), alp(25, -10))
    del refused["prefetch"]["alp"]
    assert [fire(app, low).status_code, fire(app, low).status_code] == [200, 200]
    assert fire(app, service.request(patient(), alp(70, -10))).json() == {"cards": []}
    assert fire(app, refused).status_code == 412
    assert requests.post(f"{app}/cds-services/jane-doe", json={}, timeout=10).status_code == 404
    assert requests.get(f"{app}/jane-doe", timeout=10).status_code == 404
    counted = series(app)
    view = 'service="low-alp-patient-view"'
    assert counted[f'cds_requests_total{{{view},status="200"}}'] == 3
    assert counted[f'cds_requests_total{{{view},status="412"}}'] == 1
    assert counted['cds_request_seconds_count{hook="patient-view"}'] == 4
    assert counted['cds_situations_total{outcome="card",situation="persistent-low-alp"}'] == 2
    assert counted['cds_situations_total{outcome="silence",situation="nothing-low"}'] == 1
    assert counted['cds_data_unavailable_total{key="alp"}'] == 1
    assert not [name for name in counted if "jane" in name], "no word of the caller is a label"


@pytest.mark.parametrize(
    "leave_out, key",
    [
        (("patient",), "patient"),
        (
            (
                "medicationStatements",
                "medicationRequests",
                "medicationAdministrations",
                "medicationDispenses",
            ),
            "medications",
        ),
    ],
)
def test_the_cause_of_a_412_is_its_key(
    app: str, service: Client, leave_out: tuple[str, ...], key: str
) -> None:
    request = service.request(patient(), alp(25, -10))
    for name in leave_out:
        del request["prefetch"][name]
    assert fire(app, request).status_code == 412
    assert series(app)[f'cds_data_unavailable_total{{key="{key}"}}'] == 1


def test_alp_with_a_code_or_unit_not_known_here_is_counted(app: str, service: Client) -> None:
    request = service.request(
        patient(), alp(25, -10), alp(31, -40, unit="furlong"), alp(31, -50, unit=None)
    )
    entries = request["prefetch"]["alp"]["entry"]
    for system, code in (
        (LOINC, "2345-7"),  # a real code, of something else
        (LOINC, "Jane Doe"),
        ("urn:oid:1.2.3", "Jane Doe"),
        (None, None),
    ):
        strange = json.loads(json.dumps(entries[0]))
        strange["resource"]["id"] = f"strange-{len(entries)}"
        strange["resource"]["code"] = {"coding": [{"system": system, "code": code}]}
        entries.append(strange)
    assert fire(app, request).status_code == 200
    counted = series(app)
    assert {k: v for k, v in counted.items() if k.startswith("cds_alp_")} == {
        'cds_alp_code_unknown_total{code="2345-7",system="LOINC"}': 1,
        'cds_alp_code_unknown_total{code="other",system="LOINC"}': 1,
        'cds_alp_code_unknown_total{code="other",system="other"}': 1,
        'cds_alp_code_unknown_total{code="other",system="none"}': 1,
        'cds_alp_unit_not_accepted_total{unit="not accepted"}': 1,
        'cds_alp_unit_not_accepted_total{unit="none"}': 1,
    }


def test_every_loinc_code_of_the_value_sets_counts_as_one() -> None:
    """So the check digit is computed as LOINC does."""
    value_sets = rulebook.load(CANONICAL).terminology.value_sets.values()
    codes = {c.code for v in value_sets for c in v.concepts if c.system == LOINC}
    assert codes
    # LA codes are answers, not observations.
    assert all(_public_code(LOINC, c)[1] == c for c in codes if not c.startswith("LA"))


@given(st.text(), st.text())
def test_no_word_of_a_record_becomes_a_label(system: str, code: str) -> None:
    metrics = Metrics()
    metrics.unknown_alp_code(system, code)
    metrics.fhir_query(system, "failed", 0.1)
    metrics.memory_failure(code)
    labels = re.findall(
        r'(?:code|system|resource|operation)="([^"]*)"', metrics.exposition().decode()
    )
    known = {"other", "none", "LOINC", "NPU"}
    assert {v for v in labels if not re.fullmatch(r"[A-Za-z][A-Za-z -]{0,39}", v)} <= known


def test_the_number_of_codes_told_is_capped() -> None:
    metrics = Metrics()
    valid = [f"{n}-{d}" for n in range(1000, 1100) for d in range(10)]
    for code in valid:
        metrics.unknown_alp_code(LOINC, code)
    lines = [
        line
        for line in metrics.exposition().decode().splitlines()
        if line.startswith("cds_alp_code_unknown_total{")
    ]
    assert len(lines) == 50, "forty-nine by name, the rest together"
    assert sum(float(line.rpartition(" ")[2]) for line in lines) == len(valid)


def test_what_other_parts_tell_is_counted() -> None:
    metrics = Metrics()
    metrics.fhir_query("Observation", "answered", 0.03)
    metrics.feedback("overridden", "single-low-alp")
    metrics.feedback("accepted", None)
    metrics.memory_failure("feedback")
    text = metrics.exposition().decode()
    for line in (
        'cds_fhir_query_seconds_bucket{le="0.05",outcome="answered",resource="Observation"} 1.0',
        'cds_feedback_total{outcome="overridden",situation="single-low-alp"} 1.0',
        'cds_feedback_total{outcome="accepted",situation="other"} 1.0',
        'cds_memory_failures_total{operation="feedback"} 1.0',
    ):
        assert line in text


def test_feedback_and_its_failures_are_counted(tmp_path: Path, service: Client) -> None:
    settings = Settings(auth="off", database_url=database(tmp_path))
    created = create_app(settings, today=lambda: REFERENCE)
    created.extensions["feedback_store"].answer_seconds = 10
    with served(created) as base:
        request = service.request(patient(), alp(25, -10), alp(26, -80))
        (card,) = fire(base, request).json()["cards"]
        entries = [overridden(card["uuid"], "monitoring"), accepted(card, 0)]
        entries.append(overridden("another-card"))
        answer = requests.post(f"{base}{VIEW}/feedback", json={"feedback": entries}, timeout=10)
        assert answer.status_code == 200, answer.text
        (tmp_path / "memory.sqlite3").write_bytes(b"no database any more, whatever it was" * 200)
        created.extensions["feedback_store"].close()
        again = requests.post(f"{base}{VIEW}/feedback", json={"feedback": entries}, timeout=10)
        assert again.status_code == 503
        counted = series(base)
    situation = 'situation="persistent-low-alp"'
    assert counted[f'cds_feedback_total{{outcome="overridden",{situation}}}'] == 1
    assert counted[f'cds_feedback_total{{outcome="accepted",{situation}}}'] == 1
    assert counted['cds_feedback_total{outcome="overridden",situation="other"}'] == 1
    assert counted['cds_memory_failures_total{operation="feedback"}'] == 1
    assert counted['cds_requests_total{service="feedback.receive",status="200"}'] == 1
    assert counted['cds_requests_total{service="feedback.receive",status="503"}'] == 1
    assert counted['cds_request_seconds_count{hook="patient-view"}'] == 1, "feedback is no hook"


def test_what_is_counted_seldom_stands_at_zero_before(app: str) -> None:
    """A series that begins with its first event has no increase, and no alert sees that event."""
    counted = series(app)
    for operation in ("open", "recall", "remember", "feedback"):
        assert counted[f'cds_memory_failures_total{{operation="{operation}"}}'] == 0
    assert counted['cds_reloads_total{outcome="refused"}'] == 0
    for service_id in ("low-alp-patient-view", "low-alp-order-select", "low-alp-order-sign"):
        assert counted[f'cds_requests_total{{service="{service_id}",status="500"}}'] == 0


def test_queries_of_fhir_servers_are_timed(advisor: Advisor, service: Client) -> None:
    metrics = Metrics()
    chart = [patient(), alp(25, -10), alp(26, -80)]
    access = FhirAccess(ROOMY, metrics)
    with running(FhirStub()) as stub:
        stub.store(chart)
        ehr = Ehr(stub, Advisor(advisor.rulebook, fhir=access, observer=metrics))
        assert ehr.slugs(left_out(service.request(*chart))) == ["persistent-low-alp"]
        access.close()
    text = metrics.exposition().decode()
    for kind in ("Patient", "Observation", "MedicationRequest"):
        assert f'cds_fhir_query_seconds_count{{outcome="answered",resource="{kind}"}}' in text
    labels = set(
        re.findall(r'cds_fhir_query_seconds_count{outcome="[a-z ]+",resource="(\w+)"', text)
    )
    assert labels <= {t.__name__ for t in TYPES.values()} | {"Medication", "Specimen", "other"}


def test_the_canary_is_neither_remembered_nor_counted(tmp_path: Path) -> None:
    url = database(tmp_path)
    with served(create_app(Settings(auth="off", database_url=url))) as base:
        assert requests.get(f"{base}/health/ready", timeout=10).status_code == 200
        assert not [s for s in series(base) if s.startswith(("cds_situations", "cds_alp"))]
    engine = open_database(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM issued_cards").scalar() == 0
    engine.dispose()


@pytest.mark.parametrize("readers, status", [("10.0.0.0/8", 403), ("127.0.0.1", 200), ("", 403)])
def test_metrics_are_for_listed_addresses(tmp_path: Path, readers: str, status: int) -> None:
    settings = Settings(auth="off", database_url=database(tmp_path), metrics_from=networks(readers))
    with served(create_app(settings)) as base:
        assert requests.get(f"{base}/metrics", timeout=10).status_code == status


# canary


def noted(built_in: Advisor, in_force: Advisor) -> Report:
    return Canary(built_in, in_force, lambda _: None).report()


def without(advisor: Advisor, slug: str) -> Advisor:
    """A rule that was lost."""
    rows = [row for row in advisor.rulebook.rows if row.slug != slug]
    return Advisor(msgspec.structs.replace(advisor.rulebook, rows=rows))


def test_every_situation_has_a_canary_patient(advisor: Advisor) -> None:
    asked = canary.patients()
    covered = {p.expects for p in asked} | {p.beside for p in asked if p.beside}
    assert covered == set(advisor.rulebook.situations)
    assert len({p.name for p in asked}) == len(asked)


def test_canary_patients_expect_what_a_clinician_wrote_of_them() -> None:
    """The list of bundled patients is written by hand beside their stories; the two agree."""
    told = json.loads((ROOT / "fhir_fixtures" / "index.json").read_text(encoding="utf-8"))
    stories = {entry["name"]: entry for entry in told}
    for asked in canary.patients():
        if asked.draft is None:
            story = stories[asked.patient]
            assert (asked.expects, asked.beside) == (story["situation"], story.get("beside"))


def test_every_canary_patient_is_as_expected(advisor: Advisor) -> None:
    report = noted(advisor, advisor)
    assert [f for f in report.built_in if not f.as_expected] == []
    assert report.cause is None


def test_a_rule_that_falls_silent_is_seen(advisor: Advisor) -> None:
    for slug, situation in advisor.rulebook.situations.items():
        if situation.kind != "silence":
            broken = without(advisor, slug)
            cause = noted(broken, broken).cause
            assert cause is not None, slug
            assert slug in cause or "canary patients are" in cause


def test_a_drug_code_that_changed_is_seen(advisor: Advisor) -> None:
    """It once happened: a drug code changed, and an alert stopped without anybody noticing."""
    book = advisor.rulebook
    codes = {p.code for p in canary.patients() if p.code}
    assert codes
    for lost in codes:
        value_sets = [
            msgspec.structs.replace(
                v, concepts=tuple(c for c in v.concepts if f"{c.system}|{c.code}" != lost)
            )
            for v in book.terminology.value_sets.values()
        ]
        terminology = Terminology(value_sets)
        broken = Advisor(
            msgspec.structs.replace(
                book, terminology=terminology, drug_list=DrugList(book.drugs, terminology)
            )
        )
        assert noted(broken, broken).cause is not None, lost


def test_a_pipeline_that_fails_is_seen(advisor: Advisor) -> None:
    broken = Advisor(msgspec.structs.replace(advisor.rulebook, units={}))
    assert noted(broken, broken).cause is not None
    no_citations = Advisor(msgspec.structs.replace(advisor.rulebook, override_reasons={}))
    report = noted(advisor, no_citations)
    assert [f for f in report.in_force if f.came is None]
    assert "gets no answer under the policy in force" in (report.cause or "")


def test_what_a_site_decided_is_told_and_not_judged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cds_service")
    policy = tmp_path / "site.toml"
    policy.write_text('[situations]\npersistent-low-alp = "off"\n', encoding="utf-8")
    settings = Settings(auth="off", database_url=database(tmp_path), policy=policy)
    with served(create_app(settings)) as base:
        assert requests.get(f"{base}/health/ready", timeout=10).status_code == 200
        counted = series(base)
    patient_series = 'cds_canary_as_expected{{patient="persistent-low-alp",policy="{}"}}'
    assert counted[patient_series.format("built-in")] == 1
    assert counted[patient_series.format("in force")] == 0
    told = [r.getMessage() for r in caplog.records if "canary" in r.getMessage()]
    assert len(told) == 1, "at the start, and not again while nothing changes"
    assert "this site's policy answers" in told[0]
    assert "persistent-low-alp" in told[0]


def test_a_canary_that_is_wrong_is_told_by_itself(
    advisor: Advisor, caplog: pytest.LogCaptureFixture
) -> None:
    broken = without(advisor, "persistent-low-alp")
    note = operations.canary_note(Metrics())
    for _ in range(2):
        Canary(broken, broken, note).report()
    told = [
        r.getMessage() for r in caplog.records if "patient='persistent-low-alp'" in r.getMessage()
    ]
    assert len(told) == 1
    assert "expected='persistent-low-alp (warning)'" in told[0]


def test_a_wrong_canary_makes_the_service_not_ready(advisor: Advisor) -> None:
    metrics = Metrics()
    broken = without(advisor, "hpp-antiresorptive-order")
    watched = Canary(broken, broken, operations.canary_note(metrics))
    app = Flask(__name__)
    probes = {"canary": operations.canary_probe(watched)}
    operations.install(app, Settings(auth="off"), metrics, probes)
    with served(app) as base:
        answer = requests.get(f"{base}/health/ready", timeout=10)
        assert answer.status_code == 503
        assert answer.json()["parts"] == {"canary": "not ready"}
        name = "specialist-managed order-sign denosumab"
        assert series(base)[f'cds_canary_as_expected{{patient="{name}",policy="built-in"}}'] == 0


def test_a_report_holds_for_a_minute(advisor: Advisor) -> None:
    now = [0.0]
    reports: list[Report] = []
    watched = Canary(advisor, advisor, reports.append, clock=lambda: now[0])
    for now[0] in (0.0, 59.9, 60.1, 90.0):
        watched.report()
    assert len(reports) == 2


@pytest.mark.parametrize(
    "row, says",
    [
        ('patient = "nobody"\nexpects = "nothing-low"', "no bundled patient nobody"),
        ('patient = "normal-alp"\nexpects = "nothing"', "no situation nothing"),
        ('patient = "normal-alp"\nexpects = "nothing-low"\ndraft = "alendronate"', "goes with"),
        (
            'patient = "normal-alp"\nexpects = "nothing-low"\nhook = "order-sign"\ndraft = "gold"',
            "no drug gold",
        ),
        ('patient = "normal-alp"\nexpect = "nothing-low"', "expect"),
    ],
)
def test_a_canary_that_cannot_be_asked_stops_the_start(
    tmp_path: Path, advisor: Advisor, monkeypatch: pytest.MonkeyPatch, row: str, says: str
) -> None:
    file = tmp_path / "canary.toml"
    file.write_text(f"as_of = 2026-11-01\n[[patients]]\n{row}\n", encoding="utf-8")
    monkeypatch.setattr(canary, "_FILE", file)
    with pytest.raises(KnowledgeError, match=re.escape(says)):
        Canary(advisor, advisor, lambda _: None)


# where a call comes from


@pytest.mark.parametrize(
    "header, found",
    [
        (TRACEPARENT, (TRACE, SPAN)),
        (f"  {TRACEPARENT} ", (TRACE, SPAN)),
        (f"01-{TRACE}-{SPAN}-01-of-the-future", (TRACE, SPAN)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE[:-1]}-{SPAN}-01", None),
        ("", None),
        ("Jane Doe", None),
    ],
)
def test_traceparent_is_read_as_w3c_has_it(header: str, found: tuple[str, str] | None) -> None:
    assert origin.trace_of(header) == found


@pytest.mark.parametrize(
    "given_id, kept",
    [
        ("a1b2c3d4", True),
        ("0b9f6a3e-5f0e-4d5c-9b7e-2f1c5a7d8e9f", True),
        ("short", False),
        ("x" * 65, False),
        ("Jane Doe 1970-01-01", False),
        ("a1b2c3d4;drop", False),
        ("", False),
    ],
)
def test_a_well_formed_request_id_is_kept_and_returned(app: str, given_id: str, kept: bool) -> None:
    for path in ("/cds-services", "/nowhere", "/health/live"):
        answer = requests.get(app + path, headers={"X-Request-ID": given_id}, timeout=10)
        returned = answer.headers["X-Request-ID"]
        assert (returned == given_id) is kept
        assert kept or re.fullmatch("[0-9a-f]{32}", returned)


def line(form: logging.Formatter, message: str, *arguments: object) -> str:
    return form.format(
        logging.LogRecord("cds_service", logging.INFO, __file__, 1, message, arguments, None)
    )


def test_pairs_of_a_line_become_fields() -> None:
    before = ORIGIN.set(Origin("request-1", "10.0.0.5", TRACE, SPAN))
    try:
        written = json.loads(line(JsonLine(), "answered %s service=%s ms=%.1f 5%%", "x", "a", 1.25))
        text = line(TextLine(), "answered service=%s", "a")
    finally:
        ORIGIN.reset(before)
    assert written.pop("time")
    assert written == {
        "severity": "INFO",
        "logger": "cds_service",
        "message": "answered x service=a ms=1.2 5%",
        "service": "a",
        "ms": 1.25,
        "request_id": "request-1",
        "address": "10.0.0.5",
        "trace_id": TRACE,
        "span_id": SPAN,
    }
    assert text.endswith(
        f" INFO answered service=a request=request-1 address=10.0.0.5 trace={TRACE}"
    )


@pytest.mark.parametrize(
    "message, arguments, told",
    [
        ("plain", (), "plain"),
        ("severity=%s", ("high",), "severity=high"),  # a pair cannot replace what is ours
        ("two\nlines %s", ("a\nb",), "two\nlines a\nb"),
        ("%(name)s", ({"name": "mapping"},), "mapping"),
        ("path=%s", (Path("/x"),), "path=/x"),
    ],
)
def test_a_json_line_is_one_line(message: str, arguments: tuple[object, ...], told: str) -> None:
    text = line(JsonLine(), message, *arguments)
    assert "\n" not in text
    assert json.loads(text)["message"] == told
    assert json.loads(text)["severity"] == "INFO"


# proxies

PROXIES = networks("10.0.0.1, 10.1.0.0/16, ::1")


def seen(peer: str, headers: Mapping[str, str]) -> tuple[str, str, bool]:
    """Caller, scheme, and whether a stranger passed it on, as the application sees them."""
    found: dict[str, object] = {}

    def inner(environ: dict[str, object], _: object) -> list[bytes]:
        found.update(environ)
        return []

    names = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()}
    environ = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", **names}
    TrustedProxies(inner, PROXIES)(environ, lambda *_: lambda _: None)
    assert not [name for name in found if name.startswith("HTTP_X_F") or name == "HTTP_FORWARDED"]
    return (
        str(found["REMOTE_ADDR"]),
        str(found["wsgi.url_scheme"]),
        THROUGH_A_STRANGER in found,
    )


@pytest.mark.parametrize(
    "peer, headers, sees",
    [
        ("203.0.113.9", {}, ("203.0.113.9", "http", False)),
        ("203.0.113.9", {"X-Forwarded-For": "10.0.0.1"}, ("203.0.113.9", "http", True)),
        ("203.0.113.9", {"X-Forwarded-Proto": "https"}, ("203.0.113.9", "http", True)),
        ("203.0.113.9", {"Forwarded": "for=10.0.0.1"}, ("203.0.113.9", "http", True)),
        ("127.0.0.1", {"Via": "1.1 proxy"}, ("127.0.0.1", "http", True)),
        ("10.0.0.1", {"Via": "1.1 proxy"}, ("10.0.0.1", "http", False)),
        ("10.0.0.1", {}, ("10.0.0.1", "http", False)),
        (
            "10.0.0.1",
            {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"},
            ("203.0.113.9", "https", False),
        ),
        (
            "10.0.0.1",
            {"X-Forwarded-For": "127.0.0.1, 203.0.113.9, 10.1.2.3"},
            ("203.0.113.9", "http", False),
        ),
        ("10.0.0.1", {"X-Forwarded-For": "10.1.2.3"}, ("10.1.2.3", "http", False)),
        ("10.0.0.1", {"X-Forwarded-For": "Jane Doe"}, ("10.0.0.1", "http", True)),
        ("10.0.0.1", {"X-Forwarded-For": "203.0.113.9:4711"}, ("10.0.0.1", "http", True)),
        ("10.0.0.1", {"X-Forwarded-For": "127.0.0.1, Jane Doe"}, ("10.0.0.1", "http", True)),
        ("10.0.0.1", {"X-Forwarded-Proto": "javascript"}, ("10.0.0.1", "http", False)),
        ("10.0.0.1", {"X-Forwarded-Proto": "http, https"}, ("10.0.0.1", "https", False)),
        ("::ffff:10.0.0.1", {"X-Forwarded-For": "2001:db8::7"}, ("2001:db8::7", "http", False)),
        ("::1", {"X-Forwarded-For": "203.0.113.9"}, ("203.0.113.9", "http", False)),
        ("", {"X-Forwarded-For": "10.0.0.1"}, ("", "http", True)),
    ],
)
def test_forwarded_headers_count_only_from_listed_proxies(
    peer: str, headers: Mapping[str, str], sees: tuple[str, str, bool]
) -> None:
    assert seen(peer, headers) == sees


def test_a_network_with_host_bits_is_no_network() -> None:
    assert networks(" ") == ()
    assert listed("192.168.3.4", networks("192.168.0.0/16"))
    assert not listed("unix:", networks("0.0.0.0/0, ::/0"))
    for wrong in ("10.0.0.1/8", "proxy.example", "10.0.0.1;10.0.0.2"):
        with pytest.raises(ValueError, match="addresses or networks such as"):
            networks(wrong)


# settings


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("k" * 40 + "\n", encoding="utf-8")
    assert from_environment({"CDS_HASH_KEY_FILE": str(file)}).hash_key == b"k" * 40


@pytest.mark.parametrize(
    "environment, says",
    [
        ({"CDS_HASH_KEY_FILE": "/nowhere"}, "CDS_HASH_KEY_FILE: /nowhere cannot be read"),
        ({"CDS_AUTH_FILE": "/nowhere"}, "CDS_AUTH_FILE is no setting"),
        ({"CDS_HASH_KEY_FILE": "/x", "CDS_HASH_KEY": "k" * 40}, "both set"),
        ({"CDS_TRUSTED_PROXIES": "proxy"}, "CDS_TRUSTED_PROXIES is 'proxy'"),
        ({"CDS_METRICS_FROM": "10.0.0.1/8"}, "CDS_METRICS_FROM is '10.0.0.1/8'"),
        ({"CDS_LOG_FORMAT": "xml"}, "it is to be 'text' or 'json'"),
        ({"CDS_DATABASE_URL": "postgres://cds:secret@db/cds"}, "CDS_DATABASE_URL is not usable"),
    ],
)
def test_a_setting_of_operations_that_is_wrong(environment: dict[str, str], says: str) -> None:
    with pytest.raises(KnowledgeError, match=re.escape(says)) as refused:
        from_environment(environment)
    assert "secret" not in str(refused.value).replace("a secret", "")


# traces


def test_spans_carry_nothing_of_a_patient(service: Client) -> None:
    exported = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    app = create_app(open_settings(), today=lambda: REFERENCE)
    tracing.trace_with(app, provider)
    with served(app) as base:
        request = service.request(patient(), alp(25, -10), alp(26, -80))
        answer = requests.post(
            f"{base}{VIEW}?patient=Jane-Doe",
            json=request,
            headers={"traceparent": TRACEPARENT, "Authorization": "Bearer secret"},
            timeout=10,
        )
        assert answer.status_code == 200
        requests.get(f"{base}/Jane-Doe", timeout=10)
    first, second = exported.get_finished_spans()
    assert first.name == "POST /cds-services/<service_id>"
    assert dict(first.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/cds-services/<service_id>",
        "http.response.status_code": 200,
    }
    assert first.context is not None
    assert f"{first.context.trace_id:032x}" == TRACE
    assert first.parent is not None
    assert f"{first.parent.span_id:016x}" == SPAN
    assert second.name == "GET unknown"
    for span in (first, second):
        assert span.events == ()
        assert not re.search(r"Jane|secret|Authorization", span.to_json())


def test_no_endpoint_no_traces() -> None:
    app = Flask(__name__)
    tracing.install(app, {})
    assert not app.before_request_funcs


def test_an_endpoint_without_the_extra_is_told_in_one_line() -> None:
    """In an interpreter to which opentelemetry is not importable."""
    program = """
import sys, logging
sys.modules["opentelemetry.sdk"] = None
from flask import Flask
from cds_service.web import tracing
logging.basicConfig()
app = Flask("x")
tracing.install(app, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
assert not app.before_request_funcs
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=True,
    )
    assert done.stderr.splitlines() == [
        "WARNING:cds_service:no traces are sent: OTEL_EXPORTER_OTLP_ENDPOINT needs the extra otel installed"
    ]
