"""What came as ALP and could not be used because its code or unit is not known here.

A laboratory that changes a code or a unit silences the rules; this is where it is seen.
"""

from cds_service.fhir import resources as r
from cds_service.fhir.prefetch import Prefetched
from cds_service.observer import Observer
from cds_service.record import PatientRecord
from cds_service.terminology import Terminology

_ALP = frozenset({"alp-total", "alp-not-total"})


def observe_alp(
    data: Prefetched, record: PatientRecord, terminology: Terminology, observer: Observer
) -> None:
    """Tell the observer of ALP results with an unknown code or without an accepted unit."""
    for result in record.alp:
        quantity = result.quantity
        if quantity is not None and quantity.factor is None:
            observer.alp_unit_not_accepted(given=quantity.unit is not None)
    if len(data.alp) > record.alp_seen:
        for entry in data.alp:
            _observe_code(entry.resource, terminology, observer)


def _observe_code(resource: object, terminology: Terminology, observer: Observer) -> None:
    if not isinstance(resource, r.Observation):
        return
    parts = [resource.code, *(c.code for c in resource.component or ())]
    codings = [c for part in parts if part for c in part.coding or ()]
    if _ALP.isdisjoint(terminology.of(codings)):
        # The first coding is the laboratory's own choice; one result counts once.
        first = codings[0] if codings else None
        observer.unknown_alp_code(first.system if first else None, first.code if first else None)
