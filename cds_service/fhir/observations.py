"""Observations read as laboratory results, pregnancy facts and ALPL results."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from cds_service.fhir import resources as r
from cds_service.fhir.bundles import UNREADABLE, contained
from cds_service.fhir.dates import recorded_date
from cds_service.quantity import (
    COMPARATORS,
    Quantity,
    UnitConflict,
    Units,
    read_number,
    unit_factor,
    writable,
)
from cds_service.record import (
    AgeAt,
    Classification,
    DueDate,
    GeneResult,
    LabResult,
    Patient,
    PregnancyStatus,
    RecordedDate,
    Results,
    Unread,
    age_at,
)
from cds_service.terminology import Terminology

ALP = "alp-total"
NOT_TOTAL_ALP = "alp-not-total"
RESULTS = frozenset(
    [
        "alp-bone-specific",
        "plp",
        "pea-urine",
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
)
_FINAL = frozenset({"final", "amended", "corrected"})
_NEVER_HAPPENED = frozenset({"entered-in-error", "cancelled"})
_SPOILING_TUBE = re.compile(r"edta|citrate|oxalate|fluoride", re.IGNORECASE)
_CLASSES: Mapping[str, Classification] = {
    "answer-pathogenic": "pathogenic",
    "answer-likely-pathogenic": "likely pathogenic",
    "answer-uncertain-significance": "uncertain significance",
    "answer-benign": "negative",
    "answer-variant-absent": "negative",
}
_ZYGOSITY = {"answer-heterozygous": "heterozygous", "answer-homozygous": "homozygous"}
_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_LONGEST_UNIT = 16
_given = msgspec.json.Decoder(r.Quantity | None)
_ranges = msgspec.json.Decoder(tuple[r.ReferenceRange, ...] | None)
_Found = tuple[r.Observation, r.Observation | r.Component]
"""A result and where its value stands: in the Observation itself or in one of its components."""


class LateResults(Results):
    """Laboratory results read when a rule asks for them and not before.

    Most charts hold many more results than any rule looks at.
    """

    def __init__(self, read: Callable[[_Found, str], LabResult | None]) -> None:
        self._read = read
        self._found: dict[str, list[_Found]] = {}
        self._known: dict[int, object] = {}

    def add(self, concept: str, found: _Found) -> None:
        """Keep a result for later."""
        self._found.setdefault(concept, []).append(found)

    def newest_first(self, concept: str) -> Iterator[LabResult]:
        """The results of one kind, each read as the rule comes to it."""
        for found in sorted(self._found.get(concept, ()), key=_recency, reverse=True):
            known = self._known.get(id(found), _UNREAD)
            if known is _UNREAD:
                known = self._known[id(found)] = self._read(found, concept)
            if isinstance(known, LabResult):
                yield known


_UNREAD = object()


def _recency(found: _Found) -> tuple[date, str, bytes, str]:
    """Results of one moment keep one order, whatever the order and the ids with which they came."""
    taken, text = _taken(found[0])
    measured = found[1]
    value = bytes(measured.valueQuantity) + (measured.valueString or "").encode()
    value += bytes(measured.referenceRange)
    return (taken.last if taken else date.min, text or "", value, found[0].id or "")


class ObservationReader:
    """Reads the Observations of one patient."""

    def __init__(
        self,
        terminology: Terminology,
        units: Mapping[str, Units],
        patient: Patient,
        specimens: Mapping[str, r.Specimen],
        unread: list[Unread],
    ) -> None:
        """`unread` takes the names of results that turn out unreadable."""
        self._unread = unread
        self._terminology = terminology
        self._units = units
        self._born = patient.born
        self._specimens = specimens
        self.results = LateResults(self._result)
        self.genes: list[GeneResult] = []
        self.pregnancies: list[PregnancyStatus] = []
        self.due_dates: list[DueDate] = []
        self.not_total_alp = 0

    def alp(self) -> Sequence[LabResult]:
        """Every total ALP."""
        return list(dict.fromkeys(self.results.newest_first(ALP)))

    def read(self, observation: r.Observation) -> None:
        """Add the facts of one Observation."""
        code = observation.code
        concepts = self._terminology.of(code.coding) if code else ()
        if concepts:
            self._read(observation, concepts)
        for component in observation.component or ():
            found = self._concepts(component.code)
            if found:
                self._laboratory(observation, component, found)

    def _read(self, observation: r.Observation, concepts: tuple[str, ...]) -> None:
        if self._laboratory(observation, observation, concepts):
            return
        if observation.status not in _FINAL:
            return
        if "pregnancy-status" in concepts:
            self._pregnancy_status(observation)
        elif "delivery-date-estimated" in concepts:
            due = recorded_date(observation.valueDateTime)
            if due is not None and due.exact:
                self.due_dates.append(DueDate(due.first, _taken(observation)[0]))
        else:
            gene = self._gene(observation, concepts)
            if gene is not None:
                self.genes.append(gene)

    def _concepts(self, code: r.BareConcept | None) -> tuple[str, ...]:
        return self._terminology.of(code.coding) if code else ()

    def _laboratory(
        self,
        observation: r.Observation,
        measured: r.Observation | r.Component,
        concepts: tuple[str, ...],
    ) -> bool:
        if NOT_TOTAL_ALP in concepts and "alp-bone-specific" not in concepts:
            # A fraction stays a fraction even when a total-ALP code stands beside it.
            self.not_total_alp += 1
            return True
        for concept in concepts:
            if concept == ALP or concept in RESULTS:
                if observation.status not in _NEVER_HAPPENED:
                    self.results.add(concept, (observation, measured))
                return True
        return False

    def _result(self, found: _Found, concept: str) -> LabResult | None:
        """One result; None, and named as unread, when its value is not what FHIR says."""
        observation, measured = found
        units = self._units.get(concept)
        taken, taken_at = _taken(observation)
        problem: str | None = None
        quantity: Quantity | None = None
        try:
            quantity = _quantity(measured, units)
            ranges = _ranges.decode(measured.referenceRange) or ()
        except UnitConflict:
            problem, ranges = "its unit and its unit code disagree", ()
        except UNREADABLE:
            name = f"{concept} Observation/{observation.id or ''}".rstrip("/")
            self._unread.append(Unread(name, "its value or range is not as FHIR has it"))
            return None
        low, high = _limits(ranges, quantity, units, age_on(self._born, taken))
        if problem is None:
            problem = _problem(observation, quantity, taken, units, low)
        if measured.dataAbsentReason is not None:
            problem = "its value is said to be absent"
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
            tube=self._tube(observation) if concept == ALP else None,
            encounter=observation.encounter.reference if observation.encounter else None,
        )

    def _tube(self, observation: r.Observation) -> str | None:
        """The additive named for the specimen, if it is one that lowers measured ALP."""
        reference = observation.specimen
        if reference is None:
            return None
        texts = [reference.display or ""]
        target = reference.reference or ""
        if target.startswith("#"):
            inside = (c for c in contained(observation.contained) if c.id == target[1:])
            specimen = next((c for c in inside if isinstance(c, r.Specimen)), None)
        else:
            specimen = self._specimens.get(target) or self._specimens.get(target.rsplit("/", 1)[-1])
        texts.extend(_container_texts(specimen))
        found = _SPOILING_TUBE.search(" ".join(texts))
        if found is None:
            return None
        return "EDTA" if found[0].lower() == "edta" else found[0].lower()

    def _pregnancy_status(self, observation: r.Observation) -> None:
        answers = self._concepts(observation.valueCodeableConcept)
        recorded = _taken(observation)[0]
        if "answer-pregnant" in answers:
            self.pregnancies.append(PregnancyStatus(True, recorded))
        elif "answer-not-pregnant" in answers:
            self.pregnancies.append(PregnancyStatus(False, recorded))

    def _gene(self, observation: r.Observation, concepts: tuple[str, ...]) -> GeneResult | None:
        """An ALPL result: by the code of an ALPL test, or by the gene named in a component."""
        components = [(self._concepts(c.code), c) for c in observation.component or ()]
        names_alpl = any(
            "gene-studied" in codes and "alpl-gene" in self._concepts(c.valueCodeableConcept)
            for codes, c in components
        )
        is_alpl_test = "alpl-gene-test" in concepts or "alpl-familial-test" in concepts
        genetic = "variant-assessment" in concepts or "variant-significance" in concepts
        if not (is_alpl_test or (genetic and names_alpl)):
            return None
        answers = self._concepts(observation.valueCodeableConcept)
        for codes, component in components:
            if "variant-significance" in codes or "allelic-state" in codes:
                answers += self._concepts(component.valueCodeableConcept)
        found = [_CLASSES[a] for a in answers if a in _CLASSES]
        one_variant_only = "alpl-familial-test" in concepts or any(
            "variant-dna-change" in codes for codes, _ in components
        )
        for classification in _CLASSES.values():
            if classification in found:
                if classification == "negative" and one_variant_only:
                    return None  # without that one variant the gene may still carry another
                zygosity = next((_ZYGOSITY[a] for a in answers if a in _ZYGOSITY), None)
                return GeneResult(classification, zygosity, _taken(observation)[0])
        return None


def _reference(observation: r.Observation) -> str | None:
    """`Observation/id`, when the id is one: it goes into orders, as a reference."""
    identity = observation.id
    return f"Observation/{identity}" if identity and _FHIR_ID.fullmatch(identity) else None


def age_on(born: RecordedDate | None, taken: RecordedDate | None) -> AgeAt | None:
    """Age at sampling."""
    return age_at(born, taken.first) if taken else None


def _taken(observation: r.Observation) -> tuple[RecordedDate | None, str | None]:
    period = observation.effectivePeriod
    text = (
        observation.effectiveDateTime
        or observation.effectiveInstant
        or (period.start if period else None)
        or observation.issued
    )
    return recorded_date(text), text


def _quantity(measured: r.Observation | r.Component, units: Units | None) -> Quantity | None:
    given = _given.decode(measured.valueQuantity)
    if given is not None and given.value is not None:
        if not writable(given.value):
            return None
        unit, factor = unit_factor(units, given.unit, given.code)
        return Quantity(given.value, unit, given.comparator or None, factor)
    if measured.valueString:
        read = read_number(measured.valueString)
        if read is not None:
            value, comparator, text = read
            unit, factor = unit_factor(units, text, None)
            return Quantity(value, unit, comparator, factor)
    if isinstance(measured, r.Observation) and measured.valueInteger is not None:
        return Quantity(Decimal(measured.valueInteger))
    return None


def _limits(
    ranges: Iterable[r.ReferenceRange],
    quantity: Quantity | None,
    units: Units | None,
    age: AgeAt | None,
) -> tuple[Quantity | None, Quantity | None]:
    """The laboratory's limits for this sample: of several that fit, the lowest low and highest high."""
    low: Quantity | None = None
    high: Quantity | None = None
    for given in ranges:
        if _is_normal(given) and _fits_age(given, age):
            lower = _limit(given.low, quantity, units)
            upper = _limit(given.high, quantity, units)
            if lower and (low is None or _comparable(lower) < _comparable(low)):
                low = lower
            if upper and (high is None or _comparable(upper) > _comparable(high)):
                high = upper
    return low, high


def _comparable(limit: Quantity) -> Decimal:
    canonical = limit.canonical
    return limit.value if canonical is None else canonical


def _limit(
    given: r.Quantity | None, quantity: Quantity | None, units: Units | None
) -> Quantity | None:
    if given is None or given.value is None or not writable(given.value):
        return None
    try:
        unit, factor = unit_factor(units, given.unit, given.code)
    except UnitConflict:
        return None
    if unit is None and quantity is not None:
        # A range without a unit is printed in the unit of its result.
        unit, factor = quantity.unit, quantity.factor
    return Quantity(given.value, unit, None, factor)


def _is_normal(given: r.ReferenceRange) -> bool:
    codings = given.type.coding if given.type else None
    return not codings or any(c.code == "normal" for c in codings)


def _fits_age(given: r.ReferenceRange, age: AgeAt | None) -> bool:
    if given.age is None or age is None:
        return True
    low, high = given.age.low, given.age.high
    if any(q and q.value is not None and not writable(q.value) for q in (low, high)):
        return True
    if any(q and (q.code or q.unit) not in ("a", "year", "years", None) for q in (low, high)):
        return True
    return not (
        (low and low.value is not None and age.years < low.value)
        or (high and high.value is not None and age.years > high.value)
    )


def _problem(
    observation: r.Observation,
    quantity: Quantity | None,
    taken: RecordedDate | None,
    units: Units | None,
    low: Quantity | None,
) -> str | None:
    """Why this result may not be used; None when it may."""
    if observation.status not in _FINAL:
        return f"its status is not final ({observation.status or 'none given'})"[:60]
    if quantity is None:
        return "it has no value that could be read as one number"
    if quantity.comparator is not None and quantity.comparator not in COMPARATORS:
        return "its comparator is not known"
    if taken is None:
        return "it has no date"
    if units is None:
        return None
    canonical = quantity.canonical
    if canonical is None:
        if quantity.unit is not None:
            return f"its unit ({quantity.unit[:_LONGEST_UNIT]}) is not one that we accept"
        if low is None or low.unit is not None:
            return "it has no unit"
        return None
    return None if units.plausible(canonical) else "its value is not plausible"


def _container_texts(specimen: r.Specimen | None) -> Iterator[str]:
    for container in (specimen.container if specimen else None) or ():
        yield container.description or ""
        for concept in (container.type, container.additiveCodeableConcept):
            if concept is not None:
                yield concept.text or ""
                yield from (c.display or "" for c in concept.coding or ())
