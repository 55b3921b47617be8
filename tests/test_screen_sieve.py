"""The sieve drops nothing that the readers would read, however it is written."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import partial

import pytest

from cds_service.fhir import resources as r
from cds_service.guidance import Advisor
from cds_service.hooks.request import decode
from cds_service.record import PatientRecord
from cds_service.screen.chart import Chart
from cds_service.screen.hindsight import Moment, as_then
from cds_service.screen.lines import Line, LineReader, Reject
from cds_service.screen.patient import Asker, reading_aids
from cds_service.screen.plan import Plan
from cds_service.screen.results import PatientResult
from cds_service.screen.sieve import Sieve
from tests.charts import (
    ATC,
    CONDITIONS,
    DRUGS,
    ICD,
    LOINC,
    PATIENT,
    REFERENCE,
    RXNORM,
    Json,
    alp,
    alpl,
    concept,
    condition,
    dose,
    lab,
    ordered,
    patient,
    pregnant,
    prescribed,
    procedure,
    stay,
    taking,
)
from tests.vignettes import PATIENT_VIEW, Vignette

MOMENT = Moment(REFERENCE)


@pytest.fixture(scope="module")
def sieve(advisor: Advisor) -> Sieve:
    aids = reading_aids([advisor.rulebook])
    return Sieve([advisor.rulebook.terminology], LineReader(aids, every_encounter=False))


def as_block(resources: Iterable[Json], dump: Callable[[Json], str] = json.dumps) -> bytes:
    return "".join(dump(resource) + "\n" for resource in resources).encode()


def kept(sieve: Sieve, block: bytes) -> list[Line]:
    found = list(sieve.block(block))
    assert not [f for f in found if isinstance(f, Reject)]
    return [f for f in found if isinstance(f, Line)]


def facts(record: PatientRecord) -> tuple[object, ...]:
    results = [list(record.results.newest_first(c)) for c in ("potassium", "plp", "ggt", "zinc")]
    return (
        record.alp,
        results,
        record.genes,
        record.drugs,
        record.diagnoses,
        record.procedures,
        record.stays,
        record.orders,
        record.pregnancies,
        record.due_dates,
    )


def read(lines: Iterable[bytes], late: Iterable[bytes], advisor: Advisor) -> PatientRecord:
    (aids,) = reading_aids([advisor.rulebook])
    return Chart(sorted(lines), partial(sorted, late)).record(MOMENT, aids)


def ascii_hidden(resource: Json) -> str:
    """Every letter and digit of every code written as an escape."""
    text = json.dumps(resource)
    hidden = text
    for coding in _codings(resource):
        code = coding["code"]
        escaped = "".join(f"\\u{ord(c):04x}" for c in code)
        hidden = hidden.replace(json.dumps(code), f'"{escaped}"')
    assert hidden != text
    return hidden


def _codings(value: object) -> list[Json]:
    if isinstance(value, list):
        return [c for v in value for c in _codings(v)]
    if not isinstance(value, dict):
        return []
    own = [value] if "code" in value and isinstance(value["code"], str) else []
    return own + [c for v in value.values() for c in _codings(v)]


EVERYTHING: list[Json] = [
    alp(29, -40, 35),
    lab("potassium", 6.2, "mmol/L", -40),
    lab("plp", 240, "nmol/L", -20),
    lab("ggt", 300, "U/L", -40, high=60),
    alpl("VUS"),
    alpl("negative"),
    *pregnant(20),
    *(taking(drug, -400) for drug in DRUGS if drug != "atorvastatin"),
    dose("denosumab", -30),
    prescribed("alendronate", -50),
    *(condition(name) for name in CONDITIONS if name not in ("E83.39", "CKD stage 3")),
    stay("IMP", -60, -50),
    ordered("62236-5", -3),
    procedure("302497006", -4),
]


def test_everything_known_is_kept(sieve: Sieve, advisor: Advisor) -> None:
    lines = kept(sieve, as_block([patient(), *EVERYTHING]))
    assert len(lines) == 1 + len(EVERYTHING)
    everything = [json.dumps(x).encode() for x in (patient(), *EVERYTHING)]
    early = [x.content for x in lines if x.kind != "late"]
    late = [x.content for x in lines if x.kind == "late"]
    assert len(late) == 3
    assert facts(read(early, late, advisor)) == facts(read(everything, [], advisor))


@pytest.mark.parametrize("resource", EVERYTHING, ids=lambda x: x["id"])
def test_code_hidden_behind_escapes_is_kept(sieve: Sieve, resource: Json) -> None:
    assert len(kept(sieve, as_block([resource], ascii_hidden))) == 1


@pytest.mark.parametrize(
    "system, code, kind",
    [
        (LOINC, " 6768-6", "Observation"),
        (LOINC, "6768-6  ", "Observation"),
        (LOINC, "\t6768-6\n", "Observation"),
        (LOINC, "\u00a06768-6\u2003", "Observation"),
        ("https://loinc.org/", "6768-6", "Observation"),
        (ICD, "M84750A", "Condition"),
        (ICD, "M84.750D", "Condition"),
        (ICD, "M84.759S", "Condition"),
        (ATC, "M05BA99", "MedicationStatement"),
        ("http://hl7.org/fhir/sid/ndc", "55513-710-01", "MedicationStatement"),
        ("http://hl7.org/fhir/sid/ndc", "55513071001", "MedicationStatement"),
        ("http://hl7.org/fhir/sid/ndc", "55513-0710", "MedicationStatement"),
    ],
)
@pytest.mark.parametrize("dump", [json.dumps, lambda x: json.dumps(x, ensure_ascii=False)])
def test_another_spelling_of_a_code_is_kept(
    sieve: Sieve, advisor: Advisor, system: str, code: str, kind: str, dump
) -> None:
    resource = {
        "Observation": alp(29, -40, 35),
        "Condition": condition("atypical femoral fracture"),
        "MedicationStatement": taking("alendronate", -400),
    }[kind]
    name = "medicationCodeableConcept" if kind == "MedicationStatement" else "code"
    resource = {**resource, name: concept(system, code)}
    (line,) = kept(sieve, as_block([resource], dump))
    found = read([json.dumps(patient()).encode(), line.content], [], advisor)
    assert found.alp or found.diagnoses or found.drugs


@pytest.mark.parametrize(
    "text", ["Alendronsäure 70 mg", "ALENDRONATE", "Acide zolédronique", "Prolia 60 mg s.c."]
)
def test_drug_named_in_words_is_kept(sieve: Sieve, text: str) -> None:
    use = {**taking("alendronate", -400), "medicationCodeableConcept": {"text": text}}
    for dump in (json.dumps, lambda x: json.dumps(x, ensure_ascii=False)):
        assert len(kept(sieve, as_block([use], dump))) == 1


def test_drug_of_no_concern_is_dropped(sieve: Sieve) -> None:
    assert kept(sieve, as_block([taking("atorvastatin", -400)] * 2)) == []


def test_drug_that_is_only_referred_to_is_kept_with_its_reference(sieve: Sieve) -> None:
    use = prescribed("alendronate", -50)
    del use["medicationCodeableConcept"]
    use["medicationReference"] = {"reference": "Medication/m1/_history/2"}
    known = {"resourceType": "Medication", "id": "m1", "code": concept(*DRUGS["alendronate"])}
    other = {"resourceType": "Medication", "id": "m2", "code": concept(RXNORM, "1")}
    lines = kept(sieve, as_block([use, known, other]))
    assert [(x.kind, x.refers, x.known) for x in lines] == [
        ("resource", "m1", False),
        ("medication", "m1", True),
        ("medication", "m2", False),
    ]


def test_what_no_rule_reads_is_dropped(sieve: Sieve) -> None:
    others = [
        lab("8302-2", 171, "cm", -5),
        stay("AMB", -5, -5),
        {"resourceType": "Specimen", "id": "s", "subject": {"reference": f"Patient/{PATIENT}"}},
        {"resourceType": "DiagnosticReport", "id": "d", "code": concept(LOINC, "6768-6")},
        condition("CKD stage 3"),
    ]
    assert kept(sieve, as_block(others)) == []


@pytest.mark.parametrize(
    "line, reason",
    [
        (b'{"resourceType":"Observation","id":"1","status":"fin', "cut off"),
        (b"\x00\x00\x00", "cut off"),
        (b'{"resourceType":"Observation","code":{"coding":[{"code":"6768-6"}]}', "not valid JSON"),
        (b'{"resourceType":"Observation","note":"\xff","code":"6768-6"}', "not valid UTF-8"),
        (b'{"resourceType":"Observation","code":{"coding":[{"code":"6768-6"}]}}', "no patient"),
        (b'{"id":"1","code":"6768-6"}', "no resourceType"),
        (b'{"resourceType":"Patient"}', "usable id"),
        (b'{"resourceType":"Patient","id":"a/b"}', "usable id"),
    ],
)
def test_unreadable_line_is_named_and_costs_no_other(
    sieve: Sieve, line: bytes, reason: str
) -> None:
    around = json.dumps(alp(29, -40, 35)).encode()
    found = list(sieve.block(around + b"\n" + line + b"\r\n" + around + b"\n"))
    assert [type(f) for f in found] == [Line, Reject, Line]
    assert isinstance(found[1], Reject)
    assert reason in found[1].reason
    assert found[1].content == line


def test_byte_order_mark_and_windows_line_ends_do_no_harm(sieve: Sieve) -> None:
    lines = json.dumps(patient()) + "\r\n\r\n" + json.dumps(alp(29, -40, 35)) + "\r\n"
    found = kept(sieve, b"\xef\xbb\xbf" + lines.encode())
    assert [f.patient for f in found] == [PATIENT, PATIENT]


@pytest.mark.parametrize("vignette", PATIENT_VIEW, ids=lambda v: v.id)
def test_screening_says_what_the_service_says(
    sieve: Sieve, advisor: Advisor, service, vignette: Vignette
) -> None:
    request = service.request(*vignette.chart)
    at_bedside = advisor.answer(
        decode(json.dumps(request).encode(), ("patient-view",)), REFERENCE
    ).response.cards
    chart = [request["prefetch"]["patient"], *vignette.chart]
    lines = kept(sieve, as_block(x for x in chart if x["resourceType"] != "Patient"))
    own = [json.dumps(chart[0]).encode(), *(x.content for x in lines if x.kind != "late")]
    late = [x.content for x in lines if x.kind == "late"]
    asker = Asker(Plan(as_of=REFERENCE), [advisor.rulebook])
    result = asker.ask(PATIENT, sorted(own), partial(sorted, late))
    assert isinstance(result, PatientResult)
    shown = [(t.answers[0].indicator, t.answers[0].summary) for t in result.told]
    assert shown == [(c.indicator, c.summary) for c in at_bedside[:1]]


def other_version(resource: Json, *left_out: str, **more: object) -> Json:
    return {k: v for k, v in {**resource, **more}.items() if k not in left_out}


DRUG = {"resourceType": "Medication", "id": "m1", "code": concept(*DRUGS["alendronate"])}
STATEMENT = other_version(taking("alendronate", -400), "medicationCodeableConcept")
R5_CLASS = [{"coding": [{"code": "IMP"}]}]


@pytest.mark.parametrize(
    "resources",
    [
        [{**STATEMENT, "status": "recorded", "medication": {"concept": DRUG["code"]}}],
        [{**STATEMENT, "medication": {"concept": {"text": "alendronate 70 mg"}}}],
        [{**STATEMENT, "medication": {"reference": {"reference": "Medication/m1"}}}, DRUG],
        [
            {
                **STATEMENT,
                "medication": {"reference": {"reference": "#m1"}},
                "contained": [DRUG],
            }
        ],
        [{**STATEMENT, "medication": {"reference": {"display": "alendronate"}}}],
        [{**taking("alendronate", -400), "taken": "y"}],
        [
            other_version(
                dose("denosumab", -30), "effectiveDateTime", occurenceDateTime="2026-10-02"
            )
        ],
        [
            other_version(
                stay("IMP", -60, -50),
                "period",
                **{"class": R5_CLASS, "actualPeriod": {"start": "2026-09-02", "end": "2026-09-12"}},
            )
        ],
        [
            other_version(
                procedure("302497006", -4), "performedDateTime", occurrenceDateTime="2026-10-02"
            )
        ],
        [{**ordered("62236-5", -3), "code": {"concept": concept(LOINC, "62236-5")}}],
        [
            other_version(
                condition("hypophosphatasia"),
                "recordedDate",
                assertedDate="2024-01-01",
                clinicalStatus="active",
                verificationStatus="confirmed",
            )
        ],
    ],
    ids=lambda found: f"{found[0]['resourceType']}-{list(found[0])[-1]}",
)
def test_what_other_versions_write_elsewhere_is_kept(
    sieve: Sieve, advisor: Advisor, resources: list[Json]
) -> None:
    lines = kept(sieve, as_block(resources))
    assert len(lines) == len(resources)
    own = json.dumps(patient()).encode()
    found = read([own, *(x.content for x in lines)], [], advisor)
    assert facts(found) == facts(read([own, *as_block(resources).splitlines()], [], advisor))
    assert found.drugs or found.diagnoses or found.stays or found.procedures or found.orders


def test_statement_of_a_drug_not_taken_is_kept_but_is_no_exposure(
    sieve: Sieve, advisor: Advisor
) -> None:
    (line,) = kept(sieve, as_block([{**taking("alendronate", -400), "taken": "n"}]))
    assert read([json.dumps(patient()).encode(), line.content], [], advisor).drugs == ()


def test_other_drug_in_the_shape_of_r5_is_dropped(sieve: Sieve) -> None:
    use = {**STATEMENT, "medication": {"concept": concept(RXNORM, "197361")}}
    assert kept(sieve, as_block([use])) == []


def test_r5_drug_that_is_referred_to_is_kept_with_its_reference(sieve: Sieve) -> None:
    use = {**STATEMENT, "medication": {"reference": {"reference": "Medication/m2"}}}
    (line,) = kept(sieve, as_block([use]))
    assert (line.refers, line.known) == ("m2", False)


DATES = re.compile(r"(Date|DateTime|Period|Instant|On|Over|Prepared|issued|period)$")
NOT_WHEN_KNOWN = {
    "birthDate",
    "deceasedDateTime",  # `patient_then` looks at it
    "abatementDateTime",
    "abatementPeriod",
    "valueDateTime",  # what the result says, such as a due date
}
"""Dates that do not say from when on an entry could be seen."""
PLANS = {r.ServiceRequest: {"occurrenceDateTime", "occurrencePeriod"}}


def dated() -> Iterator[tuple[type, str]]:
    for kind in r.AboutPatient.__args__:
        names = set(kind.__struct_fields__) - NOT_WHEN_KNOWN - PLANS.get(kind, set())
        yield from ((kind, name) for name in sorted(names) if DATES.search(name))


@pytest.mark.parametrize("kind, name", list(dated()), ids=lambda v: getattr(v, "__name__", v))
def test_every_date_that_is_read_can_hide_what_came_later(kind: type, name: str) -> None:
    """A date that the readers learn has to be known here as well."""
    tomorrow = "2026-11-02"
    value = r.Period(start=tomorrow) if "eriod" in name else tomorrow
    entry = r.Entry(resource=kind(**{name: value}))
    assert list(as_then([entry], Moment(date(2026, 11, 2)))) == [entry]
    assert list(as_then([entry], Moment(date(2026, 11, 1)))) == []


def test_stay_of_r5_had_not_ended_before_its_end() -> None:
    stayed = r.Encounter(status="completed", actualPeriod=r.Period("2026-10-01", "2026-10-20"))
    (then,) = as_then([r.Entry(resource=stayed)], Moment(date(2026, 10, 10)))
    assert then.resource == r.Encounter(status="in-progress", period=r.Period("2026-10-01"))


def test_every_type_that_is_read_reaches_the_reader() -> None:
    """A type that the readers learn has to be looked at here as well."""
    own = {"Observation", "Condition", "Procedure", "ServiceRequest", "OperationOutcome"}
    looked_at = {"Patient", "Specimen", "Encounter", *own}
    drugs = {t for t in r.READ_TYPES if t.startswith("Medication")}
    assert looked_at | drugs == r.READ_TYPES
