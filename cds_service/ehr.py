"""Plays the EHR: makes the hook request that a record system holding a Bundle would send."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cds_service.drugs import DrugList
from cds_service.fhir.references import redirected
from cds_service.fhir.templates import PATIENT, templates
from cds_service.hooks.request import ORDER_HOOKS, ORDER_SELECT
from cds_service.terminology import Terminology

Json = dict[str, Any]
_USER = "Practitioner/example"


class NotAPatientBundle(ValueError):
    """The Bundle holds no Patient to ask about."""


def hook_requests(
    bundle: Mapping[str, Any],
    hook: str,
    terminology: Terminology,
    drafts: Sequence[Json] = (),
) -> Iterator[Json]:
    """One request for each Patient in the Bundle. `drafts` are the orders being written.

    Raises NotAPatientBundle when there is none.
    """
    resources = list(_resources(bundle))
    patients = [r for r in resources if r.get("resourceType") == "Patient" and r.get("id")]
    if not patients:
        raise NotAPatientBundle("the Bundle holds no Patient with an id")
    for patient in patients:
        mine = (
            [r for r in resources if _about(r, patient["id"])] if len(patients) > 1 else resources
        )
        yield hook_request(patient, mine, hook, terminology, drafts)


def hook_request(
    patient: Json,
    resources: Sequence[Json],
    hook: str,
    terminology: Terminology,
    drafts: Sequence[Json] = (),
) -> Json:
    """The request for one patient, every prefetch key satisfied and every draft selected."""
    prefetch: Json = {}
    for key, template in templates(terminology).items():
        if key == PATIENT:
            prefetch[key] = patient
        else:
            prefetch[key] = _search(template, resources)
    context: Json = {"userId": _USER, "patientId": patient["id"]}
    if hook in ORDER_HOOKS:
        context |= order_context(hook, drafts)
    return {
        "hook": hook,
        "hookInstance": str(uuid5(NAMESPACE_URL, f"{hook}/{patient['id']}")),
        "context": context,
        "prefetch": prefetch,
    }


def order_context(hook: str, drafts: Sequence[Json]) -> Json:
    """The orders being written, as an order hook has them in its context, every one selected."""
    entries = [{"resource": draft} for draft in drafts]
    context: Json = {
        "draftOrders": {"resourceType": "Bundle", "type": "collection", "entry": entries}
    }
    if hook == ORDER_SELECT:
        context["selections"] = [f"{d['resourceType']}/{d['id']}" for d in drafts]
    return context


def draft_order(drug: str, drugs: DrugList, *, ended: bool = False) -> Json:
    """A draft MedicationRequest for a drug of the list, as a prescriber begins it."""
    coding = drugs.example(drug)
    concept: Json = {"text": drugs[drug].label}
    if coding is not None:
        concept["coding"] = [
            {"system": coding.system, "code": coding.code, "display": coding.display}
        ]
    return {
        "resourceType": "MedicationRequest",
        "id": f"draft-{drug}",
        "status": "stopped" if ended else "draft",
        "intent": "order",
        "medicationCodeableConcept": concept,
    }


def _search(template: str, resources: Sequence[Json]) -> Json:
    """What a server would answer to one of our own templates."""
    kind, _, query = template.partition("?")
    parameters = dict(p.split("=", 1) for p in query.split("&"))
    found = [r for r in resources if r.get("resourceType") == kind and _matches(r, parameters)]
    # A server would not send these unasked; here they stand for the follow-up read by reference.
    companions = {"Observation": "Specimen"}.get(kind, "Medication")
    if found and (kind.startswith("Medication") or kind == "Observation"):
        found += [r for r in resources if r.get("resourceType") == companions]
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": resource} for resource in found],
    }


def _matches(resource: Json, parameters: Mapping[str, str]) -> bool:
    if "code" in parameters:
        codes = set(parameters["code"].split(","))
        concept = resource.get("code")
        codings = concept.get("coding") if isinstance(concept, dict) else None
        return any(
            f"{c.get('system')}|{c.get('code')}" in codes
            for c in (codings if isinstance(codings, list) else ())
            if isinstance(c, dict)
        )
    if "status" in parameters:
        return resource.get("status") in parameters["status"].split(",")
    return True


def _resources(bundle: Mapping[str, Any]) -> Iterator[Json]:
    """The resources, with references to `urn:uuid` entries rewritten as a server does on loading."""
    given = bundle.get("entry")
    entries = [e for e in (given if isinstance(given, list) else ()) if isinstance(e, dict)]
    addresses: dict[str, str] = {}
    for entry in entries:
        resource = entry.get("resource")
        address = entry.get("fullUrl")
        if isinstance(resource, dict) and resource.get("id") and isinstance(address, str):
            addresses[address] = f"{resource.get('resourceType')}/{resource['id']}"
    for entry in entries:
        if isinstance(entry.get("resource"), dict):
            yield redirected(entry["resource"], addresses)


def _about(resource: Json, patient_id: str) -> bool:
    """Of this patient, or of nobody in particular: a Medication that others refer to."""
    subject = resource.get("subject")
    if subject is None and resource.get("resourceType") != "Patient":
        return True
    reference = subject.get("reference") if isinstance(subject, dict) else None
    if not isinstance(reference, str):
        return False
    return reference == f"Patient/{patient_id}" or reference.endswith(f"/Patient/{patient_id}")
