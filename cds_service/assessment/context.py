"""Everything around the numbers: diagnoses, features, reversible causes, kidney, liver, care goals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import msgspec

from cds_service.assessment.calendar import months_after
from cds_service.assessment.once import once
from cds_service.assessment.workup import WorkUp, against, reversible_result
from cds_service.drugs import Drug
from cds_service.policy import Policy
from cds_service.record import Diagnosis, DrugUse, LabResult, PatientRecord, RecordedDate

FEMUR = "atypical-femoral-fracture"
METATARSAL = "metatarsal-stress-fracture"
TEETH = "early-tooth-loss"
_CAUSES = (
    "zinc-deficiency",
    "magnesium-deficiency",
    "malnutrition",
    "vitamin-b12-deficiency",
    "coeliac-disease",
    "hypothyroidism",
    "severe-anaemia",
    "cushing-syndrome",
    "wilson-disease",
)
_CAUSE_RESULTS = (
    ("zinc", True, "low zinc"),
    ("magnesium", True, "low magnesium"),
    ("vitamin-b12", True, "low vitamin B12"),
    ("tsh", False, "raised TSH"),
)
_LIVER = (("ggt", "GGT"), ("bilirubin", "bilirubin"), ("alt", "ALT"), ("ast", "AST"))


class Cause(msgspec.Struct, frozen=True):
    """A reversible cause of low ALP, from a diagnosis, a result or a drug."""

    name: str
    diagnosis: Diagnosis | None = None
    result: LabResult | None = None
    drug: DrugUse | None = None


class Features(msgspec.Struct, frozen=True):
    """Clinical signs that go with hypophosphatasia."""

    femur: Sequence[Diagnosis] = ()
    metatarsal: Sequence[Diagnosis] = ()
    metatarsal_count: int = 0
    """Separate fractures; an entry that says recurrent stands for two at least."""
    teeth: Sequence[Diagnosis] = ()
    rickets: Sequence[Diagnosis] = ()

    @property
    def fracture(self) -> bool:
        """An atypical femoral fracture or pseudofracture, or two metatarsal stress fractures."""
        return bool(self.femur) or self.metatarsal_count >= 2

    @property
    def any(self) -> bool:
        """Any fracture or dental sign at all, a single metatarsal fracture included."""
        return bool(self.femur or self.metatarsal or self.teeth)


@dataclass(frozen=True)
class Context:
    """The circumstances in which ALP has to be read. Each is worked out when a rule asks for it."""

    record: PatientRecord
    drugs: Mapping[str, Drug]
    policy: Policy
    as_of: date
    latest_alp: date | None
    """The day around which liver tests are read."""

    @once
    def diagnoses(self) -> Mapping[str, list[Diagnosis]]:
        """Diagnoses of up to today, by concept."""
        by_concept: dict[str, list[Diagnosis]] = {}
        for diagnosis in self.record.diagnoses:
            if diagnosis.onset is None or diagnosis.onset.first <= self.as_of:
                by_concept.setdefault(diagnosis.concept, []).append(diagnosis)
        return by_concept

    def active(self, concept: str) -> list[Diagnosis]:
        """Diagnoses of one concept that are not said to be over."""
        return [d for d in self.diagnoses.get(concept, ()) if d.active]

    @property
    def hypophosphatasia(self) -> Sequence[Diagnosis]:
        """Recorded hypophosphatasia, active or not: it is inborn."""
        return self.diagnoses.get("hypophosphatasia", ())

    @once
    def asfotase(self) -> Sequence[DrugUse]:
        """Every record of asfotase alfa."""
        return [u for u in self.record.drugs if self.drugs[u.drug].action == "asfotase"]

    @once
    def features(self) -> Features:
        """Clinical signs that go with hypophosphatasia."""
        return _features(self.diagnoses, self.policy)

    @once
    def causes(self) -> Sequence[Cause]:
        """Active reversible causes of low ALP."""
        return list(_causes(self))

    @once
    def haemodialysis(self) -> bool:
        """Haemodialysis in the last months.

        A session for an acute injury years ago says nothing of today.
        """
        if self.active("haemodialysis"):
            return True
        days = [
            p.ended or p.performed for p in self.record.procedures if p.concept == "haemodialysis"
        ]
        return self._any_since(days, self.policy.look_back.haemodialysis_months)

    @once
    def kidney(self) -> Sequence[str]:
        """Advanced kidney disease and dialysis on record, in words."""
        found = []
        if self.haemodialysis:
            found.append("haemodialysis")
        elif self.active("dialysis"):
            found.append("dialysis")
        if self.active("ckd-g4-g5"):
            found.append("chronic kidney disease G4 or G5")
        return found

    @once
    def liver_tests(self) -> Sequence[tuple[str, LabResult]]:
        """Liver tests around the latest ALP, with the name of the test."""
        return list(_liver_around(self.record, self.latest_alp, self.policy))

    @property
    def liver_results(self) -> Sequence[tuple[str, LabResult]]:
        """Those of them that lie above their limit."""
        return [(n, r) for n, r in self.liver_tests if against(r, r.high) == "high"]

    @property
    def liver_disease(self) -> Sequence[Diagnosis]:
        """Active cholestasis or hepatitis."""
        return self.active("cholestasis-or-hepatitis")

    @property
    def malignancy(self) -> Sequence[Diagnosis]:
        """Malignancy for which antiresorptives are given."""
        return [*self.active("bone-metastases"), *self.active("multiple-myeloma")]

    @once
    def palliative(self) -> bool:
        """Palliative or hospice care, recorded lately."""
        record = self.record
        days = [d.onset for d in self.active("palliative-care")]
        if None in days:
            return True
        days += [
            p.ended or p.performed for p in record.procedures if p.concept == "palliative-care"
        ]
        days += [
            o.authored for o in record.orders if "palliative-care" in o.concepts and not o.is_draft
        ]
        known = [d for d in days if d is not None and d.first <= self.as_of]
        return self._any_since(known, self.policy.look_back.palliative_months)

    def _any_since(self, days: Sequence[RecordedDate | None], months: int) -> bool:
        """Whether any of these days may lie within the last months."""
        if not days:
            return False
        since = months_after(self.as_of, -months)
        return any(day is not None and day.last >= since for day in days)


def hypophosphatasia_known(context: Context, workup: WorkUp) -> bool:
    """The diagnosis, a pathogenic variant, or treatment that is given for nothing else."""
    return bool(context.hypophosphatasia or context.asfotase) or workup.carrier


def _features(by_concept: Mapping[str, list[Diagnosis]], policy: Policy) -> Features:
    metatarsal = by_concept.get(METATARSAL, [])
    separate = _separate(metatarsal, policy)
    recurs = any(d.recurrent for d in metatarsal)
    return Features(
        femur=_separate(by_concept.get(FEMUR, []), policy),
        metatarsal=separate,
        metatarsal_count=max(2, len(separate)) if recurs else len(separate),
        teeth=by_concept.get(TEETH, ()),
        rickets=by_concept.get("rickets", ()),
    )


def _separate(entries: list[Diagnosis], policy: Policy) -> list[Diagnosis]:
    """One entry for each fracture: another side, or long enough after the last on that side.

    The same fracture is coded again at every visit.
    """
    if not entries:
        return entries
    apart = timedelta(days=policy.workup.same_fracture_days)
    found: list[Diagnosis] = []
    sides: dict[str, date | None] = {}
    for entry in sorted(entries, key=lambda d: d.onset.first if d.onset else date.min):
        side = (entry.code or "")[:7]  # without the encounter character of ICD-10-CM
        day = entry.onset.first if entry.onset else None
        if side in sides:
            last = sides[side]
            if last is None or day is None or day - last < apart:
                continue
        sides[side] = day
        found.append(entry)
    return found


def _causes(context: Context) -> Iterator[Cause]:
    record, as_of = context.record, context.as_of
    for concept in _CAUSES:
        for diagnosis in context.active(concept)[:1]:
            yield Cause(_lower_first(diagnosis.name), diagnosis=diagnosis)
    for concept, low, name in _CAUSE_RESULTS:
        result = reversible_result(
            record.results, concept, low=low, policy=context.policy, as_of=as_of
        )
        if result is not None:
            yield Cause(name, result=result)
    named: set[str] = set()
    for use in record.drugs:
        drug = context.drugs[use.drug]
        taken = use.ongoing or (use.end is not None and use.end.last >= as_of)
        if use.start and context.latest_alp and use.start.first >= context.latest_alp:
            continue  # begun after the value that it is to explain
        if drug.action == "lowers-alp" and taken and drug.label not in named:
            named.add(drug.label)
            yield Cause(drug.label, drug=use)


def _lower_first(name: str) -> str:
    """`Zinc deficiency` within a sentence; names of people keep their capital."""
    return name if name.startswith(("Cushing", "Wilson")) else name[:1].lower() + name[1:]


def _liver_around(
    record: PatientRecord, day: date | None, policy: Policy
) -> Iterator[tuple[str, LabResult]]:
    if day is None:
        return
    around = timedelta(days=policy.workup.masking_days)
    for concept, name in _LIVER:
        for result in record.results.newest_first(concept):
            if result.problem is not None or result.taken is None:
                continue
            if day - around <= result.taken.last and result.taken.first <= day + around:
                yield name, result
