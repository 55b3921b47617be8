"""The bundled synthetic patients: one for every answer, and one for every shape that vendors send.

Nobody here exists. Each chart holds what decides the answer among the results, drugs and diagnoses
that any real record has beside it; those are coded only where a public source confirms the code.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from tests.charts import (
    ATC,
    ICD,
    LOINC,
    NPU,
    PATIENT,
    RXNORM,
    SNOMED,
    Json,
    alp,
    alpl,
    bundle,
    concept,
    condition,
    day,
    dose,
    lab,
    ordered,
    patient,
    pregnant,
    prescribed,
    procedure,
    quantity,
    stay,
    taking,
)

HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
SYNTHETIC = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "code": "HTEST",
    "display": "test health data",
}
NEW_YORK = "08:20:00-05:00"
STOCKHOLM = "07:45:00+01:00"
NOT_ZONED = "a dateTime with a time of day has to name its zone"


class Fixture(msgspec.Struct, frozen=True):
    """A bundled patient and the expected answer at patient-view."""

    name: str
    """File stem, and id of the patient."""
    story: str
    chart: list[Json]
    situation: str
    """Slug of the primary card, or of the silence."""
    beside: str | None = None
    """Slug of the card beside it."""
    invalid: Mapping[str, str] = {}
    """Ids, as in the chart, of resources that are no valid R4 on purpose, with the reason."""


def patient_bundle(fixture: Fixture) -> Json:
    """The chart as a Bundle, under ids that no other bundled patient uses."""
    local = {f"{r['resourceType']}/{r['id']}" for r in fixture.chart}
    addresses = {a: f"{a.split('/')[0]}/{own_id(fixture, a.split('/')[1])}" for a in local}
    resources = []
    for resource in sorted(fixture.chart, key=_natural):
        own = _readdressed(_labelled(resource), addresses)
        own["id"] = own_id(fixture, resource["id"])
        if own["resourceType"] == "Patient":
            own = {"resourceType": "Patient", "id": own["id"], "meta": {"tag": [SYNTHETIC]}} | own
        resources.append(own)
    return bundle(*resources)


def own_id(fixture: Fixture, id_in_chart: str) -> str:
    """The id that a resource of the chart has in the Bundle."""
    return fixture.name if id_in_chart == PATIENT else f"{fixture.name}.{id_in_chart}"


_ORDER = (
    "Patient",
    "Encounter",
    "Condition",
    "Procedure",
    "Medication",
    "MedicationRequest",
    "MedicationStatement",
    "MedicationAdministration",
    "MedicationDispense",
    "Specimen",
    "Observation",
    "ServiceRequest",
)
_NAMES = {
    "6768-6": "Alkaline phosphatase, serum or plasma",
    "62236-5": "Pyridoxal phosphate (vitamin B6), plasma",
    "2823-3": "Potassium, serum or plasma",
    "17861-6": "Calcium, total, serum or plasma",
    "2000-8": "Calcium, total, serum or plasma",
    "2777-1": "Phosphate, serum or plasma",
    "19123-9": "Magnesium, serum or plasma",
    "5763-8": "Zinc, serum or plasma",
    "2132-9": "Vitamin B12, serum or plasma",
    "3016-3": "Thyrotropin (TSH), serum or plasma",
    "2324-2": "Gamma-glutamyl transferase (GGT), serum or plasma",
    "1975-2": "Bilirubin, total, serum or plasma",
    "1742-6": "Alanine aminotransferase (ALT), serum or plasma",
    "1920-8": "Aspartate aminotransferase (AST), serum or plasma",
    "2731-8": "Parathyrin (PTH), intact, serum or plasma",
    "2160-0": "Creatinine, serum or plasma",
    "14682-9": "Creatinine, serum or plasma",
    "1751-7": "Albumin, serum or plasma",
    "1988-5": "C-reactive protein (CRP), serum or plasma",
    "31017-7": "Tissue transglutaminase IgA antibody, serum",
    "62292-8": "25-hydroxyvitamin D, serum or plasma",
    "38267-1": "DXA lumbar spine, T-score",
    "77084-2": "ALPL gene, full mutation analysis",
    "69548-6": "Genetic variant assessment",
    "82810-3": "Pregnancy status",
    "11778-8": "Estimated date of delivery",
    "24323-8": "Comprehensive metabolic panel",
}


def _natural(resource: Json) -> tuple[int, str]:
    """As a chart is read: the person, the story, the drugs, then results by date."""
    period = resource.get("effectivePeriod") or resource.get("period") or {}
    dates = ("effectiveDateTime", "authoredOn", "onsetDateTime", "performedDateTime")
    when = next((resource[d] for d in (*dates, "whenHandedOver") if d in resource), None)
    return _ORDER.index(resource["resourceType"]), when or period.get("start") or ""


def _labelled(resource: Json) -> Json:
    """With the name of the test beside its LOINC code, as laboratories print it."""
    code = resource.get("code")
    if not isinstance(code, dict) or "text" in code:
        return resource
    name = next((_NAMES[c["code"]] for c in code.get("coding", ()) if c["code"] in _NAMES), None)
    return {**resource, "code": {**code, "text": name}} if name else resource


def _readdressed(value: Any, addresses: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            k: addresses.get(v, v) if k == "reference" else _readdressed(v, addresses)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [_readdressed(v, addresses) for v in value]
    return value


def person(given: str, family: str, age: float, sex: str, **more: Any) -> Json:
    """The Patient, with an invented name."""
    name = [{"use": "official", "family": family, "given": [given]}]
    return patient(age, sex, name=name, **more)


def noted(text: str, on: int, system: str | None = None, code: str | None = None) -> Json:
    """A Condition that no rule reads; without code, by its text alone."""
    named = concept(system, code, text) if system and code else {"text": text}
    spelt = text.lower().replace(" ", "-").replace(",", "")
    return condition("rickets", on, id=f"{spelt[:24]}{on}", code=named)


def osteoporosis(on: int) -> Json:
    """The usual reason for an antiresorptive."""
    return noted("Osteoporosis", on, SNOMED, "64859006")


def also(text: str, on: int, system: str | None = None, code: str | None = None) -> Json:
    """A prescription that goes on; without code, by its text alone."""
    named = concept(system, code, text) if system and code else {"text": text}
    word = text.split()[0].lower()
    return prescribed(
        "atorvastatin", on, id=f"{word}-rx-{abs(on)}", medicationCodeableConcept=named
    )


def vitamin_d(on: int) -> Json:
    """What nearly every patient with osteoporosis takes beside it."""
    return also("Cholecalciferol 1000 units daily", on, RXNORM, "2418")


def panel(
    on: int,
    value: float,
    low: float | None = 35,
    high: float = 104,
    *,
    creatinine: float = 0.82,
    calcium: float = 9.4,
    potassium: float = 4.2,
    albumin: float = 4.3,
    alt: float = 21,
    **more: Any,
) -> list[Json]:
    """One blood sample at a US laboratory: total ALP and what is drawn with it."""
    shared = {"time": NEW_YORK, **more}
    return [
        alp(value, on, low, high=high if low else None, **shared),
        lab("2160-0", creatinine, "mg/dL", on, low=0.5, high=1.1, **shared),
        lab("1751-7", albumin, "g/dL", on, low=3.5, high=5.2, **shared),
        lab("calcium", calcium, "mg/dL", on, low=8.6, high=10.2, **shared),
        lab("potassium", potassium, "mmol/L", on, low=3.5, high=5.1, **shared),
        lab("alt", alt, "U/L", on, low=7, high=40, **shared),
    ]


def beside_alp(
    on: int, *, creatinine: float = 68, calcium: float = 2.34, crp: float = 1.8, **more: Any
) -> list[Json]:
    """What a European laboratory measured in the sample of an ALP."""
    shared = {"time": STOCKHOLM, **more}
    return [
        lab("14682-9", creatinine, "umol/L", on, low=45, high=90, **shared),
        lab("2000-8", calcium, "mmol/L", on, low=2.15, high=2.5, **shared),
        lab("1988-5", crp, "mg/L", on, high=5, **shared),
    ]


def greek_microkatal(on: int, measured: Json) -> Json:
    """A total ALP in microkatal, as it is printed: a Greek mu, and no code for the unit."""
    unit = {"unit": "\N{GREEK SMALL LETTER MU}kat/L"}
    return {
        **alp(measured["value"], on, time=STOCKHOLM),
        "valueQuantity": measured | unit,
        "referenceRange": [{"low": {"value": 0.7} | unit, "high": {"value": 1.9} | unit}],
    }


def tsh(on: int, value: float = 1.9) -> Json:
    """Thyrotropin; never a finding here."""
    return lab("tsh", value, "m[IU]/L", on, low=0.4, high=4.5, time=NEW_YORK)


def dxa(on: int, t_score: float) -> Json:
    """Bone density of the lumbar spine."""
    found = lab("38267-1", t_score, "{T-score}", on, id=f"dxa-{abs(on)}")
    return {**found, "category": [{"coding": [{"code": "imaging"}]}]}


def plp(value: float, on: int) -> Json:
    """A PLP with the limits of its laboratory."""
    return lab("plp", value, "nmol/L", on, low=20, high=125, time=NEW_YORK)


def referring(use: Json, **reference: str) -> Json:
    """The same medication resource, with its drug as a Reference in place of a concept."""
    rest = {k: v for k, v in use.items() if k != "medicationCodeableConcept"}
    return {**rest, "medicationReference": reference}


def handed_over(drug: str, on: int, days_supply: int) -> Json:
    """A MedicationDispense that says for how long it lasts."""
    return {
        "resourceType": "MedicationDispense",
        "id": f"{drug}-dispense-{abs(on)}",
        "status": "completed",
        "medicationCodeableConcept": taking(drug, on)["medicationCodeableConcept"],
        "subject": {"reference": f"Patient/{PATIENT}"},
        "quantity": {"value": days_supply / 7, "unit": "tablet"},
        "daysSupply": quantity(days_supply, "d"),
        "whenHandedOver": day(on),
    }


def venous_blood(id_in_chart: str, on: int) -> Json:
    """A Specimen."""
    return {
        "resourceType": "Specimen",
        "id": id_in_chart,
        "status": "available",
        "type": {"text": "Venous blood"},
        "subject": {"reference": f"Patient/{PATIENT}"},
        "collection": {"collectedDateTime": f"{day(on)}T{NEW_YORK}"},
    }


def seven_characters(code: str, text: str, on: int) -> Json:
    """A Condition coded as a US claim needs it: the seventh character tells the encounter."""
    return condition("rickets", on, id=code.replace(".", "-"), code=concept(ICD, code, text))


def somebody_else(resource: Json) -> Json:
    """The same resource about another patient."""
    return {
        **resource,
        "id": f"foreign-{resource['id']}",
        "subject": {"reference": "Patient/somebody-else"},
    }


CARDS = [
    Fixture(
        "hpp-antiresorptive-exposure",
        "Woman of 61 with a heterozygous pathogenic ALPL variant, two years on alendronate.",
        chart=[
            person("Ingrid", "Halvorsen", 61, "female"),
            osteoporosis(-720),
            noted("Chronic musculoskeletal pain", -1300),
            taking("alendronate", -700),
            vitamin_d(-700),
            dxa(-715, -2.7),
            *panel(-420, 31, creatinine=0.78),
            *panel(-40, 29, creatinine=0.8),
            alpl("P", -300, "heterozygous"),
        ],
        situation="hpp-antiresorptive-exposure",
    ),
    Fixture(
        "fracture-low-alp",
        "Woman of 69, atypical femoral fracture after six years of alendronate, and low ALP.",
        chart=[
            person("Marguerite", "Delacourt", 69, "female"),
            osteoporosis(-2300),
            noted("Essential hypertension", -3100),
            condition("atypical femoral fracture", -150),
            stay("IMP", -150, -143),
            taking("alendronate", -2250, -150),
            also("Lisinopril 10 mg tablet daily", -3000),
            vitamin_d(-2250),
            *panel(-148, 26, albumin=3.1, encounter={"reference": "Encounter/enc-imp-150"}),
            lab("1988-5", 84, "mg/L", -148, high=5, time=NEW_YORK),
            *panel(-50, 30),
        ],
        situation="fracture-low-alp",
    ),
    Fixture(
        "raised-substrate",
        "Woman of 47, ALP low twice and PLP far above its limit, no ALPL test yet.",
        chart=[
            person("Noemi", "Castellani", 47, "female"),
            noted("Chondrocalcinosis", -400, SNOMED, "239832006"),
            also("Ibuprofen 400 mg tablet as needed", -380),
            *panel(-500, 24),
            *panel(-120, 25, creatinine=0.86),
            plp(410, -100),
            tsh(-120),
        ],
        situation="raised-substrate",
    ),
    Fixture(
        "substrate-confounded-by-b6",
        "Woman of 45, low ALP, and a raised PLP that was drawn while she took vitamin B6.",
        chart=[
            person("Hannah", "Osgood", 45, "female"),
            noted("Carpal tunnel syndrome", -950),
            taking("pyridoxine", -900),
            *panel(-500, 27),
            *panel(-120, 28),
            plp(390, -100),
        ],
        situation="substrate-confounded-by-b6",
    ),
    Fixture(
        "incomplete-workup",
        "Woman of 52, low ALP, PLP normal, ALPL not tested.",
        chart=[
            person("Rosalind", "Achterberg", 52, "female"),
            noted("Migraine", -2600),
            also("Sumatriptan 50 mg tablet as needed", -900),
            *panel(-300, 33),
            *panel(-60, 31),
            lab("magnesium", 2.1, "mg/dL", -60, low=1.7, high=2.4, time=NEW_YORK),
            plp(60, -50),
            tsh(-60, 2.2),
        ],
        situation="incomplete-workup",
    ),
    Fixture(
        "child-persistent-low-alp",
        "Girl of 4 who lost milk teeth early, ALP low for her age twice.",
        chart=[
            person("Saoirse", "Kinnaird", 4.2, "female"),
            condition("early tooth loss", -200),
            *panel(-120, 78, 142, 335, creatinine=0.34),
            *panel(-20, 82, 142, 335, creatinine=0.36),
            lab("62292-8", 31, "ng/mL", -120, low=20, high=50, time=NEW_YORK),
        ],
        situation="child-persistent-low-alp",
    ),
    Fixture(
        "child-single-low-alp",
        "Boy of 11, one ALP below the range of his age, printed with the range of an adult.",
        chart=[
            person("Tobias", "Lindqvist", 11.3, "male"),
            noted("Asthma", -1400),
            also("Salbutamol inhaler as needed", -1400),
            *panel(-10, 120, 40, 129, creatinine=0.52, calcium=9.7),
            lab("1988-5", 1.1, "mg/L", -10, high=5, time=NEW_YORK),
        ],
        situation="child-single-low-alp",
    ),
    Fixture(
        "ckd-low-alp",
        "Man of 66 on haemodialysis, ALP low twice and PTH low for dialysis.",
        chart=[
            person("Anselm", "Bergstrand", 66, "male"),
            noted("End-stage renal disease", -2100, SNOMED, "46177005"),
            condition("dialysis", -2000),
            noted("Type 2 diabetes mellitus", -6200),
            procedure("302497006", -4),
            procedure("302497006", -2),
            also("Calcium carbonate 500 mg with meals", -1900, RXNORM, "1897"),
            also("Insulin glargine 18 units at night", -4000),
            *panel(-200, 33, 40, 129, creatinine=7.9, potassium=5.0, albumin=3.7, calcium=9.3),
            *panel(-30, 30, 40, 129, creatinine=8.3, potassium=4.9, albumin=3.6, calcium=9.5),
            lab("pth", 55, "pg/mL", -30, low=15, high=65, time=NEW_YORK),
            lab("phosphate", 5.4, "mg/dL", -30, low=2.5, high=4.5, time=NEW_YORK),
        ],
        situation="ckd-low-alp",
    ),
    Fixture(
        "denosumab-gap",
        "Woman of 69 whose last denosumab was ten months ago, ALP low before it and still.",
        chart=[
            person("Philippa", "Everard", 69, "female"),
            osteoporosis(-700),
            noted("Osteoarthritis of knee", -2900),
            dose("denosumab", -665),
            dose("denosumab", -480),
            dose("denosumab", -300),
            vitamin_d(-680),
            *panel(-1200, 26),
            *panel(-900, 27),
            dxa(-690, -3.1),
            *panel(-20, 28, creatinine=0.91),
        ],
        situation="persistent-low-alp",
        beside="denosumab-gap",
    ),
    Fixture(
        "pregnancy-low-alp",
        "Woman of 33, 35 weeks pregnant, ALP far below what late pregnancy brings.",
        chart=[
            person("Amaia", "Etxeberria", 33, "female"),
            condition("pregnancy", -190),
            *pregnant(35),
            also("Folic acid 400 micrograms daily", -200),
            *panel(-170, 27, creatinine=0.55, albumin=3.9),
            *panel(-5, 30, creatinine=0.5, albumin=3.3),
        ],
        situation="pregnancy-low-alp",
    ),
    Fixture(
        "low-before-antiresorptive",
        "Woman of 64, ALP low in 2018, zoledronate every year since 2019, ALP lower still.",
        chart=[
            person("Wilhelmina", "Stoorvogel", 64, "female"),
            osteoporosis(-2720),
            *(dose("zoledronate", on) for on in (-2680, -2310, -1945, -1580, -1215, -850, -485)),
            vitamin_d(-2680),
            *panel(-3100, 24, 30, 120),
            *panel(-2760, 26, 30, 120),
            dxa(-2730, -2.9),
            *panel(-90, 22, 30, 120, creatinine=0.88),
        ],
        situation="low-before-antiresorptive",
    ),
    Fixture(
        "reversible-cause",
        "Woman of 36 with newly found coeliac disease and zinc deficiency, ALP mildly low twice.",
        chart=[
            person("Beatriz", "Montalvo", 36, "female"),
            condition("coeliac disease", -30),
            condition("zinc deficiency", -20),
            also("Ferrous sulfate 325 mg daily", -28),
            *panel(-100, 33, albumin=3.5),
            lab("31017-7", 118, "U/mL", -40, high=10, time=NEW_YORK),
            *panel(-20, 32, albumin=3.4),
            lab("zinc", 48, "ug/dL", -20, low=60, high=130, time=NEW_YORK),
        ],
        situation="reversible-cause",
    ),
    Fixture(
        "persistent-low-alp",
        "Woman of 52, ALP low three times in two years, no treatment and no recorded cause.",
        chart=[
            person("Eleanor", "Whitcombe", 52, "female"),
            noted("Plantar fasciitis", -410),
            also("Sertraline 50 mg tablet daily", -820),
            *panel(-640, 29),
            *panel(-300, 31, creatinine=0.79),
            *panel(-35, 27),
            tsh(-35, 2.4),
            lab("2132-9", 412, "pg/mL", -35, low=200, high=900, time=NEW_YORK),
        ],
        situation="persistent-low-alp",
    ),
    Fixture(
        "single-low-alp",
        "Man of 44, one ALP below the limit after a normal one two years before.",
        chart=[
            person("Desmond", "Okonjo", 44, "male"),
            noted("Seasonal allergic rhinitis", -3000),
            also("Cetirizine 10 mg tablet as needed", -500),
            *panel(-800, 52, 40, 129, creatinine=0.97),
            *panel(-20, 36, 40, 129, creatinine=1.02),
        ],
        situation="single-low-alp",
    ),
    Fixture(
        "low-on-antiresorptive-no-baseline",
        "Woman of 73, three years on alendronate, low ALP, nothing on file from before.",
        chart=[
            person("Constance", "Harrowgate", 73, "female"),
            osteoporosis(-1120),
            noted("Essential hypertension", -5200),
            taking("alendronate", -1100),
            also("Amlodipine 5 mg tablet daily", -2400),
            vitamin_d(-1100),
            *panel(-400, 31),
            *panel(-30, 29, creatinine=0.93),
        ],
        situation="low-on-antiresorptive-no-baseline",
    ),
    Fixture(
        "low-explained-by-antiresorptive",
        "Woman of 66, ALP normal before alendronate and low a year into it.",
        chart=[
            person("Lorraine", "Pettigrove", 66, "female"),
            osteoporosis(-440),
            prescribed("alendronate", -400),
            also("Levothyroxine 75 micrograms daily", -2100),
            vitamin_d(-400),
            *panel(-430, 72),
            dxa(-425, -2.6),
            *panel(-30, 31),
            tsh(-30, 2.1),
        ],
        situation="low-explained-by-antiresorptive",
    ),
    Fixture(
        "masked-low-alp",
        "Woman of 57, ALP low in earlier years, now normal beside a raised GGT and bilirubin.",
        chart=[
            person("Theodora", "Vasquez-Lindgren", 57, "female"),
            noted("Gallstones", -20),
            *panel(-1500, 25),
            *panel(-900, 27),
            *panel(-15, 88, alt=96),
            lab("ggt", 310, "U/L", -15, high=40, time=NEW_YORK),
            lab("bilirubin", 2.1, "mg/dL", -15, low=0.2, high=1.2, time=NEW_YORK),
        ],
        situation="masked-low-alp",
    ),
    Fixture(
        "suspect-specimen",
        "Woman of 50 whose only low ALP came from a tube with high potassium and low calcium.",
        chart=[
            person("Gwendolyn", "Marchetti", 50, "female"),
            noted("Iron deficiency", -420),
            venous_blood("S1", -12),
            *panel(-400, 61),
            *panel(-12, 9, potassium=7.9, calcium=5.4, specimen="S1"),
            lab("magnesium", 0.9, "mg/dL", -12, low=1.7, high=2.4, time=NEW_YORK, specimen="S1"),
        ],
        situation="suspect-specimen",
    ),
]

SILENCES = [
    Fixture(
        "out-of-scope",
        "Woman of 84 in palliative care, ALP low on alendronate.",
        chart=[
            person("Adelheid", "Sommerfeld", 84, "female"),
            noted("Heart failure", -1500),
            condition("palliative care", -25),
            taking("alendronate", -2500, -40),
            also("Furosemide 40 mg tablet daily", -1400),
            *panel(-300, 28, creatinine=1.3, albumin=3.2),
            *panel(-60, 26, creatinine=1.5, albumin=2.9),
        ],
        situation="out-of-scope",
    ),
    Fixture(
        "specialist-managed",
        "Woman of 30 with hypophosphatasia on asfotase alfa, ALP 4000.",
        chart=[
            person("Freya", "Abernathy", 30, "female"),
            condition("hypophosphatasia", -2000),
            taking("asfotase alfa", -500),
            *panel(-900, 18),
            *panel(-30, 4000),
        ],
        situation="specialist-managed",
    ),
    Fixture(
        "workup-complete-negative",
        "Woman of 41, ALP persistently low, PLP normal and ALPL negative.",
        chart=[
            person("Odile", "Fairweather", 41, "female"),
            noted("Anxiety", -1200),
            *panel(-700, 31),
            *panel(-120, 30),
            plp(70, -110),
            alpl("negative", -60),
        ],
        situation="workup-complete-negative",
    ),
    Fixture(
        "workup-in-progress",
        "Man of 48, one low ALP, the repeat is ordered.",
        chart=[
            person("Caspian", "Thorne", 48, "male"),
            noted("Gout", -900),
            also("Allopurinol 100 mg tablet daily", -850),
            *panel(-12, 33, 40, 129, creatinine=1.05),
            ordered("24323-8", -2),
        ],
        situation="workup-in-progress",
    ),
    Fixture(
        "acute-illness-only",
        "Man of 55 whose only low ALPs were taken in and soon after intensive care.",
        chart=[
            person("Rufus", "Hallingdal", 55, "male"),
            noted("Pneumonia", -41),
            stay("IMP", -40, -25),
            also("Prednisone 10 mg tablet, tapering", -25, RXNORM, "8640"),
            *panel(-420, 66, 40, 129, creatinine=0.98),
            *panel(-33, 24, 40, 129, albumin=2.4, encounter={"reference": "Encounter/enc-imp-40"}),
            lab("1988-5", 241, "mg/L", -33, high=5, time=NEW_YORK),
            *panel(-12, 38, 40, 129, albumin=3.3),
        ],
        situation="acute-illness-only",
    ),
    Fixture(
        "normal-alp",
        "Woman of 67 on alendronate, ALP normal before and on it.",
        chart=[
            person("Josephine", "Ravensworth", 67, "female"),
            osteoporosis(-800),
            taking("alendronate", -780),
            vitamin_d(-780),
            *panel(-810, 74),
            dxa(-805, -2.5),
            *panel(-60, 58, creatinine=0.85),
        ],
        situation="nothing-low",
    ),
    Fixture(
        "oncology",
        "Woman of 63 with bone metastases, ALP low on four-weekly denosumab 120 mg.",
        chart=[
            person("Valentina", "Brisebois", 63, "female"),
            noted("Malignant neoplasm of breast", -2100),
            condition("bone metastases", -240),
            *(dose("denosumab 120 mg", on) for on in (-196, -168, -140, -112, -84, -56, -28)),
            also("Letrozole 2.5 mg tablet daily", -1900, RXNORM, "72965"),
            *panel(-230, 88),
            *panel(-10, 30, albumin=3.8),
        ],
        situation="explained-by-antiresorptive",
    ),
]

SHAPES = [
    Fixture(
        "contained-medication",
        "The prescription carries its drug inside, as a contained Medication.",
        chart=[
            person("Maren", "Oldenkamp", 64, "female"),
            osteoporosis(-390),
            {
                **referring(prescribed("alendronate", -380), reference="#drug"),
                "contained": [
                    {
                        "resourceType": "Medication",
                        "id": "drug",
                        "code": concept(RXNORM, "904431", "Alendronic acid 70 MG Oral Tablet"),
                    }
                ],
            },
            *panel(-400, 69),
            *panel(-25, 32),
        ],
        situation="low-explained-by-antiresorptive",
    ),
    Fixture(
        "separate-medication",
        "The prescription refers to a Medication that has a brand name for text, and a code.",
        chart=[
            person("Henrike", "Zandvoort", 70, "female"),
            osteoporosis(-520),
            {
                "resourceType": "Medication",
                "id": "weekly-tablet",
                "code": concept(ATC, "M05BA07", "Weekly bone tablet"),
            },
            referring(prescribed("risedronate", -500), reference="Medication/weekly-tablet"),
            *panel(-530, 71),
            *panel(-18, 33),
        ],
        situation="low-explained-by-antiresorptive",
    ),
    Fixture(
        "local-code-beside-loinc",
        "Results carry the laboratory's own code first and LOINC second.",
        chart=[
            person("Cordelia", "Ashgrove", 55, "female"),
            *(
                alp(
                    value,
                    on,
                    35,
                    high=104,
                    time=NEW_YORK,
                    code={
                        "coding": [
                            {
                                "system": "https://laboratory.example/tests",
                                "code": "ALKP",
                                "display": "ALK PHOS",
                            },
                            {"system": LOINC, "code": "6768-6"},
                        ],
                        "text": "ALK PHOS",
                    },
                )
                for value, on in ((30, -420), (28, -50))
            ),
            tsh(-50),
        ],
        situation="persistent-low-alp",
    ),
    Fixture(
        "text-only-drug",
        "The antiresorptive stands in the medication list as typed, without any code.",
        chart=[
            person("Dorothea", "Blackwood", 76, "female"),
            noted("Age-related osteoporosis", -900, ICD, "M81.0"),
            also("FOSAMAX 70 MG TAB 1 TAB PO WEEKLY", -880),
            also("METFORMIN 500 MG TAB 1 TAB PO BID", -1500),
            *panel(-410, 31, creatinine=0.97),
            *panel(-28, 30, creatinine=1.01),
        ],
        situation="low-on-antiresorptive-no-baseline",
    ),
    Fixture(
        "missing-unit",
        "ALP and its range came without any unit: compared as printed. One has no range either.",
        chart=[
            person("Perpetua", "Langholm", 49, "female"),
            alp(31, -250, 35, unit=None, high=104, time=NEW_YORK),
            alp(12, -120, unit=None, time=NEW_YORK),
            alp(29, -40, 35, unit=None, high=104, time=NEW_YORK),
            lab("2160-0", 0.8, None, -40, time=NEW_YORK),
        ],
        situation="persistent-low-alp",
    ),
    Fixture(
        "microkatal-with-greek-mu",
        "ALP in μkat/L, written with a Greek letter and no UCUM code; the latest as 'less than'.",
        chart=[
            person("Solveig", "Nordenfelt", 46, "female"),
            greek_microkatal(-400, {"value": 0.45}),
            greek_microkatal(-30, {"value": 0.4, "comparator": "<"}),
            *beside_alp(-400),
            *beside_alp(-30, creatinine=71),
        ],
        situation="persistent-low-alp",
    ),
    Fixture(
        "result-as-text",
        "The laboratory interface sends results as text: '24 U/L', then '<20 U/L'.",
        chart=[
            person("Clementine", "Farrow", 53, "female"),
            alp("24 U/L", -300, 35, high=104, time=NEW_YORK, id="alp-text-300"),
            alp("<20 U/L", -30, 35, high=104, time=NEW_YORK, id="alp-text-30"),
            lab("2160-0", "0.8 mg/dL", None, -30, time=NEW_YORK, id="creatinine-text-30"),
        ],
        situation="persistent-low-alp",
    ),
    Fixture(
        "npu-code",
        "A Danish chart: results carry NPU codes and no LOINC.",
        chart=[
            person("Birgitte", "Kragelund", 58, "female"),
            *(
                result
                for value, on in ((29, -380), (28, -45))
                for result in (
                    alp(
                        value,
                        on,
                        35,
                        high=105,
                        time=STOCKHOLM,
                        code=concept(NPU, "NPU27783", "Basisk phosphatase;P"),
                    ),
                    lab(
                        "alt",
                        19,
                        "U/L",
                        on,
                        low=10,
                        high=45,
                        time=STOCKHOLM,
                        code=concept(NPU, "NPU19651", "Alanintransaminase [ALAT];P"),
                    ),
                )
            ),
        ],
        situation="persistent-low-alp",
    ),
    Fixture(
        "drug-by-display-only",
        "An injection given refers to its drug by a display text alone.",
        chart=[
            person("Augusta", "Penhaligon", 72, "female"),
            osteoporosis(-130),
            referring(dose("denosumab", -62), display="Prolia 60 mg/mL prefilled syringe"),
            *panel(-120, 68),
            *panel(-3, 31),
        ],
        situation="low-explained-by-antiresorptive",
    ),
    Fixture(
        "zone-less-date-time",
        "Times without a zone; only by them do potassium and calcium belong to the low ALP.",
        chart=[
            person("Leopold", "Grantham", 61, "male"),
            alp(58, -380, 40, high=129, time="09:05:00", id="alp-before"),
            alp(14, -15, 40, high=129, time="08:15:00", id="alp-low"),
            lab("potassium", 7.2, "mmol/L", -15, high=5.1, time="08:18:00", id="potassium-high"),
            lab("calcium", 5.9, "mg/dL", -15, low=8.6, time="08:18:00", id="calcium-low"),
        ],
        situation="suspect-specimen",
        invalid=dict.fromkeys(
            ("alp-before", "alp-low", "potassium-high", "calcium-low"), NOT_ZONED
        ),
    ),
    Fixture(
        "category-as-object",
        "Observation.category as one object where R4 has a list, as a reference sandbox sends it.",
        chart=[
            person("Isolde", "Verhaegen", 60, "female"),
            *(
                alp(value, on, 35, high=104, id=id_, category={"coding": [{"code": "laboratory"}]})
                for value, on, id_ in ((32, -260, "alp-first"), (30, -25, "alp-second"))
            ),
        ],
        situation="persistent-low-alp",
        invalid=dict.fromkeys(("alp-first", "alp-second"), "category is a list in R4"),
    ),
    Fixture(
        "unreadable-entry",
        "One of three ALP results has a word where its number should be; the others still count.",
        chart=[
            person("Barnaby", "Westergaard", 57, "male"),
            *panel(-700, 36, 40, 129, creatinine=1.0),
            alp(0, -300, 40, id="alp-word")
            | {"valueQuantity": {"value": "haemolysed", "unit": "U/L"}},
            *panel(-22, 34, 40, 129, creatinine=1.04),
        ],
        situation="persistent-low-alp",
        invalid={"alp-word": "Quantity.value is a number"},
    ),
    Fixture(
        "icd-10-cm-seven-characters",
        "Stress fractures of both feet, each coded again at its later visits.",
        chart=[
            person("Quentin", "Ashdown", 42, "male"),
            seven_characters("M84.374A", "Stress fracture, right foot, initial encounter", -900),
            seven_characters("M84.374D", "Stress fracture, right foot, subsequent", -860),
            seven_characters("M84.375A", "Stress fracture, left foot, initial encounter", -420),
            seven_characters("M84.375G", "Stress fracture, left foot, delayed healing", -330),
            *panel(-50, 34, 40, 129, creatinine=0.96),
        ],
        situation="fracture-low-alp",
    ),
    Fixture(
        "one-fracture-coded-twice",
        "One stress fracture, coded at the first and at a later visit: not two fractures.",
        chart=[
            person("Rowena", "Castlebury", 39, "female"),
            seven_characters("M84.374A", "Stress fracture, right foot, initial encounter", -400),
            seven_characters("M84.374D", "Stress fracture, right foot, subsequent", -360),
            *panel(-50, 32),
        ],
        situation="single-low-alp",
    ),
    Fixture(
        "dispense-with-days-supply",
        "A pharmacy record: alendronate handed over every quarter, no prescription on file.",
        chart=[
            person("Mathilde", "Engstrom", 68, "female"),
            osteoporosis(-375),
            *(handed_over("alendronate", on, 91) for on in (-364, -273, -182, -91)),
            *panel(-380, 66),
            *panel(-20, 33),
        ],
        situation="low-explained-by-antiresorptive",
    ),
    Fixture(
        "denosumab-billed-as-procedure",
        "Denosumab is on record only as billed, under HCPCS J0897.",
        chart=[
            person("Winifred", "Talmadge", 74, "female"),
            noted("Age-related osteoporosis", -600, ICD, "M81.0"),
            *(procedure("J0897", on, HCPCS) for on in (-560, -375, -190)),
            *panel(-590, 62),
            *panel(-16, 30),
        ],
        situation="low-explained-by-antiresorptive",
    ),
    Fixture(
        "same-result-three-times",
        "One low ALP under three ids, from laboratory, portal and referral: one low, not three.",
        chart=[
            person("Ottoline", "Merriweather", 51, "female"),
            *(
                alp(32, -33, 35, high=104, time=NEW_YORK, id=f"alp-{source}")
                for source in ("laboratory", "portal", "referral")
            ),
            lab("2160-0", 0.8, "mg/dL", -33, low=0.5, high=1.1, time=NEW_YORK),
        ],
        situation="single-low-alp",
    ),
    Fixture(
        "corrected-result",
        "A low ALP came twice under one id: the copy updated last is corrected, and normal.",
        chart=[
            person("Ambrose", "Fitzwarren", 59, "male"),
            *(
                alp(
                    value,
                    -21,
                    40,
                    high=129,
                    time=NEW_YORK,
                    id="alp-21",
                    status=status,
                    meta={"lastUpdated": f"{day(updated)}T15:00:00Z"},
                )
                for value, status, updated in ((62, "corrected", -19), (26, "final", -21))
            ),
        ],
        situation="nothing-low",
    ),
    Fixture(
        "entry-of-another-patient",
        "Normal ALP; the low results and the drug in the chart belong to somebody else.",
        chart=[
            person("Sylvester", "Hargreave", 63, "male"),
            *panel(-200, 71, 40, 129, creatinine=1.1),
            somebody_else(alp(22, -300, 40, time=NEW_YORK)),
            somebody_else(alp(21, -30, 40, time=NEW_YORK)),
            somebody_else(taking("alendronate", -600)),
        ],
        situation="nothing-low",
    ),
    Fixture(
        "partial-dates",
        "Only years and months: born 1958, ALP low in 2019, alendronate since April 2021.",
        chart=[
            person("Hortensia", "Valbuena", 68, "female", birthDate="1958"),
            osteoporosis(-2100) | {"onsetDateTime": "2021"},
            taking("alendronate", -2040, effectivePeriod={"start": "2021-04"}),
            alp(27, -2700, 35, high=104, effectiveDateTime="2019"),
            alp(28, -90, 35, high=104, effectiveDateTime="2026-08"),
        ],
        situation="low-before-antiresorptive",
    ),
]

FIXTURES = [*CARDS, *SILENCES, *SHAPES]
