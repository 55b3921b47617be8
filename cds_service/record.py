"""What the chart says, as frozen facts: no FHIR, no codes, no judgement.

`None` means *not recorded*: never zero, never normal. Concepts are named by the id of their value
set. A fact leads to smaller facts only, so none needs following by the garbage collector (`gc`).
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Literal

import msgspec

from cds_service.quantity import Quantity

Sex = Literal["female", "male"]


class RecordedDate(msgspec.Struct, frozen=True, order=True, gc=False):
    """A date as recorded: every day that it could mean, from `first` to `last`.

    A full date has `first == last`; `2019-03` runs over March, `2019` over the year. The day is the
    one written in the record, in the zone it was written in.
    """

    first: date
    last: date

    @property
    def exact(self) -> bool:
        """Whether the day itself is known."""
        return self.first == self.last


class Patient(msgspec.Struct, frozen=True, gc=False):
    """Who the record is about."""

    id: str
    sex: Sex | None = None
    """Administrative gender where it is female or male; None for other, unknown or not recorded."""
    born: RecordedDate | None = None
    deceased: bool = False
    died: RecordedDate | None = None


class LabResult(msgspec.Struct, frozen=True, gc=False):
    """One laboratory result that may be used, or the reason why it may not."""

    concept: str
    taken: RecordedDate | None
    """Day of sampling."""
    quantity: Quantity | None
    low: Quantity | None = None
    """The laboratory's own lower limit for this sample."""
    high: Quantity | None = None
    problem: str | None = None
    """Why the result cannot be used, in words; None when it can."""
    reference: str | None = None
    """`Observation/id`."""
    taken_at: str | None = None
    """The date-time as written, for finding results of the same sample."""
    specimen: str | None = None
    tube: str | None = None
    """Additive named for the specimen, when it is one that spoils ALP."""
    encounter: str | None = None


class Results:
    """Laboratory results by concept. This one is empty; `fhir` fills one that reads on demand."""

    def newest_first(self, concept: str) -> Iterator[LabResult]:
        """The results of one kind, the newest first."""
        return iter(())


Classification = Literal["pathogenic", "likely pathogenic", "uncertain significance", "negative"]


class GeneResult(msgspec.Struct, frozen=True, gc=False):
    """An ALPL result. Only class, zygosity and date are kept."""

    classification: Classification
    zygosity: str | None = None
    reported: RecordedDate | None = None


class DrugUse(msgspec.Struct, frozen=True, gc=False):
    """A dose that was given, or a period over which a drug was taken.

    A dose has `start == end`. `start is None`: not recorded. `end is None` with `ongoing`: still
    taken; without it: ended on a day not recorded, at the earliest on the start.
    """

    drug: str
    """Key of the drug list, such as `alendronate`."""
    source: str
    """Resource type that said so."""
    start: RecordedDate | None = None
    end: RecordedDate | None = None
    ongoing: bool = False
    is_dose: bool = False
    text_only: bool = False
    """Recognised by name in free text, not by a code."""
    oncology_dose: bool = False
    injected: bool = False
    """The code says that the drug, known as tablet too, was injected."""


class Diagnosis(msgspec.Struct, frozen=True, gc=False):
    """A condition on record that was neither refuted nor entered in error."""

    concept: str
    name: str
    """Name of the concept, from our own value set; never text from the record."""
    active: bool
    onset: RecordedDate | None = None
    recurrent: bool = False
    """The entry itself says that it came back."""
    code: str | None = None
    """The code that matched: two sides of one injury have different codes."""


class Procedure(msgspec.Struct, frozen=True, gc=False):
    """Something done to the patient that a rule needs to know of."""

    concept: str
    performed: RecordedDate | None = None
    ended: RecordedDate | None = None


class Stay(msgspec.Struct, frozen=True, gc=False):
    """An emergency, observation or inpatient encounter."""

    reference: str | None
    start: RecordedDate | None
    end: RecordedDate | None
    """None while it lasts, or when no end was recorded."""


class PendingOrder(msgspec.Struct, frozen=True, gc=False):
    """A test or referral that is ordered and has no result yet."""

    concepts: tuple[str, ...]
    authored: RecordedDate | None = None
    planned: RecordedDate | None = None
    is_draft: bool = False
    """It is in the signing session of this very call."""


class Draft(msgspec.Struct, frozen=True, gc=False):
    """What the orders being written or signed say of antiresorptives."""

    ordered: tuple[str, ...] = ()
    """Keys of the drugs being ordered."""
    ended: tuple[str, ...] = ()
    """Keys of the drugs whose order is being signed as stopped or cancelled."""
    text_only: bool = False
    """A drug was recognised by name, not by a code."""
    oncology_dose: bool = False
    indications: frozenset[str] = frozenset()
    """Concepts given as reason for an order, such as `bone-metastases`."""


class PregnancyStatus(msgspec.Struct, frozen=True, gc=False):
    """Pregnant or not, on a day."""

    pregnant: bool
    recorded: RecordedDate | None


class DueDate(msgspec.Struct, frozen=True, gc=False):
    """An estimated date of delivery."""

    due: date
    recorded: RecordedDate | None


class Unread(msgspec.Struct, frozen=True, gc=False):
    """An entry that could not be read: named, never guessed."""

    where: str
    """Prefetch key with entry number, resource type and id."""
    reason: str


class PatientRecord(msgspec.Struct, frozen=True):
    """Everything the rules may use about one patient.

    The one fact that the garbage collector has to follow: its results may lead back to it.
    """

    patient: Patient
    alp: Sequence[LabResult] = ()
    """Total ALP only."""
    results: Results = Results()
    """Every other laboratory result."""
    genes: Sequence[GeneResult] = ()
    drugs: Sequence[DrugUse] = ()
    diagnoses: Sequence[Diagnosis] = ()
    procedures: Sequence[Procedure] = ()
    stays: Sequence[Stay] = ()
    orders: Sequence[PendingOrder] = ()
    pregnancies: Sequence[PregnancyStatus] = ()
    due_dates: Sequence[DueDate] = ()
    unread: Sequence[Unread] = ()
    unknown: Sequence[str] = ()
    """Data that could not be had, in a clinician's words."""
    alp_seen: int = 0
    """Results recognised as ALP or as one of its fractions, whatever became of them."""
    unusable_alp_like: int = 0
    """Results of ALP fractions or other specimens, left out because they are not total ALP."""


class AgeAt(msgspec.Struct, frozen=True, gc=False):
    """Age in completed years and in days."""

    years: int
    days: int


def age_at(born: RecordedDate | None, day: date) -> AgeAt | None:
    """Age on a day, taking the earliest possible birthday; None when no birth date is recorded."""
    if born is None or born.first > day:
        return None
    first = born.first
    years = day.year - first.year - ((day.month, day.day) < (first.month, first.day))
    return AgeAt(years, (day - first).days)
