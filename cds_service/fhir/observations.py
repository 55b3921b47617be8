"""Observations read as laboratory results, pregnancy facts and ALPL results."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from cds_service.fhir import measured
from cds_service.fhir import resources as r
from cds_service.fhir.bundles import UNREADABLE
from cds_service.fhir.dates import recorded_date
from cds_service.fhir.genes import gene_result
from cds_service.fhir.late_results import Found, LateResults, taken_on
from cds_service.fhir.measured import FINAL, Limits, Measured
from cds_service.fhir.once import Once
from cds_service.fhir.references import FHIR_ID, Referred
from cds_service.fhir.result_kinds import ALP, OTHER, Kind, kind_of
from cds_service.fhir.statuses import normal
from cds_service.fhir.tubes import spoiling_additive
from cds_service.quantity import Quantity, UnitConflict, Units
from cds_service.record import (
    DueDate,
    GeneResult,
    LabResult,
    Patient,
    PregnancyStatus,
    RecordedDate,
    Unread,
)
from cds_service.terminology import Terminology

_NEVER_HAPPENED = frozenset({"entered-in-error", "cancelled"})
_Printed = tuple[str, bytes, str | None, Decimal | None]
"""Kind of result, its reference ranges as they came, unit and factor of its value."""


class ObservationReader:
    """Reads the Observations of one patient."""

    def __init__(
        self,
        terminology: Terminology,
        units: Mapping[str, Units],
        patient: Patient,
        specimens: Referred[r.Specimen],
        unread: list[Unread],
    ) -> None:
        """`unread` takes the names of results that turn out unreadable."""
        self._unread = unread
        self._terminology = terminology
        self._units = units
        self._born = patient.born
        self._specimens = specimens
        by_kind: defaultdict[Kind, list[Found]] = defaultdict(list)
        self._by_kind = by_kind
        self._by_code: Once[tuple[r.BareCoding, ...], list[Found]] = Once(
            lambda codings: by_kind[kind_of(terminology.of(codings))]
        )
        self._known_limits: dict[_Printed, Limits] = {}
        self.genes: list[GeneResult] = []
        self.pregnancies: list[PregnancyStatus] = []
        self.due_dates: list[DueDate] = []
        self.not_total_alp = 0
        self.alp_seen = 0

    def read(self, observations: Iterable[r.Observation]) -> LateResults:
        """Add the facts of these Observations; but results are read when a rule asks for them."""
        self._sort(observations)
        results = LateResults(self._result)
        for kind, found in self._by_kind.items():
            if kind.is_alp_like:
                self.alp_seen += len(found)
            if kind.is_fraction:
                self.not_total_alp += len(found)
            elif kind.result is not None:
                results.add(kind.result, found)
        for observation, place in self._by_kind.get(OTHER, ()):
            if place is observation:
                self._other_fact(observation, self._concepts(observation.code))
        return results

    def _sort(self, observations: Iterable[r.Observation]) -> None:
        """Put each Observation, and each of its components, among those of its kind."""
        by_code = self._by_code
        for observation in observations:
            code = observation.code
            if code is not None and code.coding:
                by_code[code.coding].append((observation, observation))
            if observation.component is not None:
                self._sort_components(observation, observation.component)

    def _sort_components(
        self, observation: r.Observation, components: Iterable[r.Component]
    ) -> None:
        for component in components:
            if component.code is not None and component.code.coding:
                self._by_code[component.code.coding].append((observation, component))

    def _other_fact(self, observation: r.Observation, concepts: tuple[str, ...]) -> None:
        if normal(observation.status) not in FINAL:
            return
        if "pregnancy-status" in concepts:
            self._pregnancy_status(observation)
        elif "delivery-date-estimated" in concepts:
            due = recorded_date(observation.valueDateTime)
            if due is not None and due.exact:
                self.due_dates.append(DueDate(due.first, taken_on(observation)[0]))
        else:
            gene = gene_result(observation, concepts, self._terminology)
            if gene is not None:
                self.genes.append(gene)

    def _concepts(self, code: r.BareConcept | None) -> tuple[str, ...]:
        return self._terminology.of(code.coding) if code else ()

    def _result(self, found: Found, concept: str) -> LabResult | None:
        """One result; None, and named as unread, when its value is not what FHIR says."""
        observation, place = found
        if observation.status not in FINAL and normal(observation.status) in _NEVER_HAPPENED:
            return None
        units = self._units.get(concept)
        taken, taken_at = taken_on(observation)
        problem: str | None = None
        quantity: Quantity | None = None
        try:
            quantity = measured.read_quantity(place, units)
            low, high = self._limits(place, quantity, concept, taken)
        except UnitConflict:
            problem, low, high = "its unit and its unit code disagree", None, None
        except UNREADABLE:
            name = f"{concept} {_reference(observation) or 'Observation'}"
            self._unread.append(Unread(name, "its value or range is not as FHIR has it"))
            return None
        if problem is None:
            problem = measured.problem(observation, quantity, taken, units, low, high)
        if place.dataAbsentReason is not None:
            problem = "its value is said to be absent"
        during = observation.encounter or observation.context
        return LabResult(
            concept=concept,
            taken=taken,
            quantity=quantity,
            low=low,
            high=high,
            problem=problem,
            reference=_reference(observation),
            taken_at=taken_at,
            specimen=observation.specimen.reference if observation.specimen else None,
            tube=spoiling_additive(observation, self._specimens) if concept == ALP else None,
            encounter=during.reference if during else None,
        )

    def _limits(
        self,
        place: Measured,
        quantity: Quantity | None,
        concept: str,
        taken: RecordedDate | None,
    ) -> Limits:
        """The limits of a result. A laboratory prints the same ones with every result of a kind."""
        unit, factor = (quantity.unit, quantity.factor) if quantity else (None, None)
        printed = (concept, bytes(place.referenceRange), unit, factor)
        known = self._known_limits.get(printed)
        if known is not None:
            return known
        ranges = measured.read_ranges(place)
        found = measured.limits(ranges, quantity, self._units.get(concept), self._born, taken)
        if not any(given.age for given in ranges):
            self._known_limits[printed] = found
        return found

    def _pregnancy_status(self, observation: r.Observation) -> None:
        answers = self._concepts(observation.valueCodeableConcept)
        recorded = taken_on(observation)[0]
        if "answer-pregnant" in answers:
            self.pregnancies.append(PregnancyStatus(True, recorded))
        elif "answer-not-pregnant" in answers:
            self.pregnancies.append(PregnancyStatus(False, recorded))


def every_alp(results: LateResults) -> Sequence[LabResult]:
    """Every total ALP, once."""
    found = list(results.newest_first(ALP))
    # Under different ids nothing is the same; only otherwise it is worth comparing every part.
    alike = len({result.reference for result in found}) < len(found)
    return tuple(dict.fromkeys(found) if alike else found)


def _reference(observation: r.Observation) -> str | None:
    """`Observation/id`, when the id is one: it goes into orders, as a reference."""
    identity = observation.id
    return f"Observation/{identity}" if identity and FHIR_ID.fullmatch(identity) else None
