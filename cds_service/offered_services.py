"""The CDS services on offer and the document that describes them to an EHR."""

from typing import Any

import msgspec

from cds_service.fhir.templates import templates
from cds_service.hooks.request import ORDER_SELECT, ORDER_SIGN, PATIENT_VIEW
from cds_service.terminology import Terminology

SPECIFICATION = "3.0.0"
"""Version of the CDS Hooks specification (ballot) that the service implements."""

_USAGE = (
    "Works from prefetch alone. Required: the patient, ALP, and one of the four medication keys;"
    " without them the answer is 412. For licensed clinicians, not for portals."
)


_AT_ORDERS = (
    "Looks, when a bisphosphonate or denosumab is ordered, whether alkaline phosphatase (ALP) was low"
    " before, was never measured, or hypophosphatasia is on record, and offers the missing tests and"
    " referrals as draft orders. It never changes or blocks the drug order."
)


class Service(msgspec.Struct, frozen=True):
    """One service: an address that answers one hook."""

    id: str
    hook: str
    hook_version: str
    title: str
    description: str


SERVICES = {
    s.id: s
    for s in (
        Service(
            "low-alp-patient-view",
            PATIENT_VIEW,
            "1.0",
            "Low alkaline phosphatase: when the chart is opened",
            "Recognises low alkaline phosphatase (ALP) without the work-up it needs, or alongside"
            " bisphosphonates or denosumab, tells what may explain it (treatment, acute illness,"
            " the specimen, kidney or liver disease, pregnancy, age) and offers the next step as"
            " draft orders. Advisory; a silent answer means that nothing was found to say.",
        ),
        Service(
            "low-alp-order-select",
            ORDER_SELECT,
            "1.0",
            "Low alkaline phosphatase: when an antiresorptive is selected",
            f"{_AT_ORDERS} Reacts to the selected drafts; the others are background, so that no"
            " test is offered that is drafted already.",
        ),
        Service(
            "low-alp-order-sign",
            ORDER_SIGN,
            "1.0",
            "Low alkaline phosphatase: when an antiresorptive is signed",
            f"{_AT_ORDERS} Reacts to all drafts, and to an order that ends denosumab.",
        ),
    )
}


def discovery(terminology: Terminology, *, strict: bool = False) -> dict[str, Any]:
    """The answer of `GET /cds-services`.

    `strict`: for clients that refuse members which CDS Hooks 1.0 did not have.
    """
    return {"services": [_described(s, terminology, strict=strict) for s in SERVICES.values()]}


def _described(service: Service, terminology: Terminology, *, strict: bool) -> dict[str, Any]:
    since_1_0 = {
        "hook": service.hook,
        "title": service.title,
        "description": service.description,
        "id": service.id,
        "prefetch": templates(terminology),
    }
    if strict:
        return since_1_0
    return {
        **since_1_0,
        "usageRequirements": _USAGE,
        "version": SPECIFICATION,
        "hookVersion": service.hook_version,
    }
