"""Who comes to the clinic during the soak, and what the service has to say of each."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from cds_service import rulebook
from cds_service.ehr import hook_requests
from cds_service.hooks.request import ORDER_SELECT, ORDER_SIGN, PATIENT_VIEW
from tests.charts import CANONICAL, PATIENT, Json, alp, bundle, condition, draft, patient, taking
from tests.serving import LOW_TODAY, TODAY


class Case(msgspec.Struct, frozen=True):
    """A patient at a hook, and the situations of the cards, fixed by hand."""

    name: str
    chart: Sequence[Json]
    situations: tuple[str, ...]
    hook: str = PATIENT_VIEW
    drafts: Sequence[Json] = ()


LOW = Case("persistent", LOW_TODAY, ("persistent-low-alp",))
_NORMAL = [patient(58, "female"), alp(71, TODAY - 60, 35)]
_HPP = [*LOW_TODAY, condition("hypophosphatasia", TODAY - 900)]
PREFETCHED = (
    LOW,
    Case("normal", _NORMAL, ()),
    Case("single", [patient(58, "female"), alp(31, TODAY - 40, 35)], ("single-low-alp",)),
    Case(
        "exposed",
        [*_HPP, taking("alendronate", TODAY - 300)],
        ("hpp-antiresorptive-exposure",),
    ),
    Case(
        "fracture",
        [*LOW_TODAY, condition("atypical femoral fracture", TODAY - 100)],
        ("fracture-low-alp",),
    ),
    Case(
        "hpp-select",
        _HPP,
        ("hpp-antiresorptive-order",),
        ORDER_SELECT,
        [draft("zoledronate")],
    ),
    Case(
        "hpp-sign",
        _HPP,
        ("hpp-antiresorptive-order",),
        ORDER_SIGN,
        [draft("alendronate")],
    ),
    Case(
        "low-sign",
        LOW_TODAY,
        ("persistent-low-alp-antiresorptive-order",),
        ORDER_SIGN,
        [draft("denosumab")],
    ),
    Case("statin-select", LOW_TODAY, (), ORDER_SELECT, [draft("atorvastatin")]),
)
FETCHED = (
    Case("at-the-ehr-persistent", LOW_TODAY, ("persistent-low-alp",)),
    Case("at-the-ehr-normal", _NORMAL, ()),
    Case(
        "at-the-ehr-sign",
        LOW_TODAY,
        ("persistent-low-alp-antiresorptive-order",),
        ORDER_SIGN,
        [draft("alendronate")],
    ),
)
"""Their answer needs the required resources only, so that it is the same whenever it is not 412."""


class Requests:
    """Makes the calls for cases."""

    def __init__(self) -> None:
        terminology = rulebook.load(CANONICAL).terminology
        self._made = {
            case.name: json.dumps(
                next(hook_requests(bundle(*case.chart), case.hook, terminology, case.drafts))
            )
            for case in (*PREFETCHED, *FETCHED)
        }

    def prefetched(self, case: Case, who: str) -> Json:
        """The call with all data, for a patient of that id."""
        return _as(who, self._made[case.name])

    def fetched(self, case: Case, base: str) -> Json:
        """The call without data, naming the EHR's FHIR server; the patient's id is the case's name."""
        request = _as(case.name, self._made[case.name])
        del request["prefetch"]
        return {**request, "fhirServer": base}


def at_the_ehr() -> list[Json]:
    """What the EHR's FHIR server holds: the charts of the cases that are fetched."""
    return [
        found if found["resourceType"] == "Patient" else {**found, "id": f"{case.name}.{number}"}
        for case in FETCHED
        for number, found in enumerate(_as(case.name, json.dumps(list(case.chart))))
    ]


def _as(who: str, text: str) -> Any:
    for place in ('"{}"', '"Patient/{}"'):
        text = text.replace(place.format(PATIENT), place.format(who))
    return json.loads(text)
