"""What is asked of the EHR with a call, or of its FHIR server in place of it: keys and templates."""

from collections.abc import Mapping

from cds_service.fhir import resources as r
from cds_service.terminology import Terminology

PATIENT = "patient"
ALP = "alp"
MEDICATIONS = (
    "medicationStatements",
    "medicationRequests",
    "medicationAdministrations",
    "medicationDispenses",
)
_LABORATORY = [
    "plp",
    "pea-urine",
    "alpl-gene-test",
    "alpl-familial-test",
    "variant-assessment",
    "variant-significance",
    "alp-bone-specific",
    "calcium-total",
    "potassium",
    "phosphate",
    "magnesium",
    "zinc",
    "vitamin-b12",
    "tsh",
    "pth",
    "ggt",
    "bilirubin",
    "alt",
    "ast",
]
NAMES = {
    PATIENT: "the patient",
    ALP: "ALP results",
    "laboratory": "other laboratory and ALPL results",
    "medicationStatements": "medication statements",
    "medicationRequests": "prescriptions",
    "medicationAdministrations": "administered doses and infusions",
    "medicationDispenses": "dispensed medicines",
    "conditions": "diagnoses",
    "procedures": "procedures",
    "encounters": "hospital stays",
    "serviceRequests": "orders already placed",
    "pregnancy": "pregnancy status and due date",
}

TYPES: Mapping[str, type[r.Resource]] = {
    PATIENT: r.Patient,
    ALP: r.Observation,
    "laboratory": r.Observation,
    "medicationStatements": r.MedicationStatement,
    "medicationRequests": r.MedicationRequest,
    "medicationAdministrations": r.MedicationAdministration,
    "medicationDispenses": r.MedicationDispense,
    "conditions": r.Condition,
    "procedures": r.Procedure,
    "encounters": r.Encounter,
    "serviceRequests": r.ServiceRequest,
    "pregnancy": r.Observation,
}


def templates(terminology: Terminology) -> dict[str, str]:
    """The prefetch templates: only parameters of the subset that every EHR is asked to support.

    `_include` is none of them, so referenced Medications and Specimens are not asked for here.
    """
    mine = "patient={{context.patientId}}"
    return {
        PATIENT: "Patient/{{context.patientId}}",
        ALP: f"Observation?{mine}&code={_codes(terminology, 'alp-total')}&_sort=-date&_count=200",
        "laboratory": (
            f"Observation?{mine}&code={_codes(terminology, *_LABORATORY)}&_sort=-date&_count=200"
        ),
        "medicationStatements": f"MedicationStatement?{mine}&_count=200",
        "medicationRequests": f"MedicationRequest?{mine}&_sort=-authoredon&_count=200",
        "medicationAdministrations": (
            f"MedicationAdministration?{mine}&_sort=-effective-time&_count=200"
        ),
        "medicationDispenses": f"MedicationDispense?{mine}&_sort=-whenhandedover&_count=200",
        "conditions": f"Condition?{mine}&_count=200",
        "procedures": f"Procedure?{mine}&_sort=-date&_count=200",
        "encounters": f"Encounter?{mine}&_sort=-date&_count=200",
        "serviceRequests": f"ServiceRequest?{mine}&status=draft,active,on-hold&_count=200",
        "pregnancy": (
            f"Observation?{mine}"
            f"&code={_codes(terminology, 'pregnancy-status', 'delivery-date-estimated')}"
            "&_sort=-date&_count=20"
        ),
    }


def _codes(terminology: Terminology, *value_sets: str) -> str:
    return ",".join(f"{c.system}|{c.code}" for c in terminology.codings(*value_sets))


def parameters(template: str, patient_id: str) -> tuple[str, list[tuple[str, str]]]:
    """A template for one patient: resource type, and names with values that are not encoded yet."""
    kind, _, query = template.partition("?")
    named = (p.partition("=") for p in query.split("&") if p)
    return kind, [(n, v.replace("{{context.patientId}}", patient_id)) for n, _, v in named]
