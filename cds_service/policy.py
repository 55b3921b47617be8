"""The numbers a site may change, as one frozen value. Meanings and sources stand in policy.toml."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Days = Annotated[int, Meta(ge=0, le=3660)]
Months = Annotated[int, Meta(ge=1, le=600)]
Years = Annotated[int, Meta(ge=1, le=120)]
_LARGEST = 10_000
Switch = Literal["on", "off", "shadow"]
EvidenceKind = Literal["lower-alp", "feature", "exposure", "alp", "work-up"]
Lifetime = Annotated[int, Meta(ge=0, le=600)] | Literal["for ever"]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unknown keys are refused: a misspelt threshold would silently keep its default."""

    def __post_init__(self) -> None:
        """Limits and levels are positive numbers that a laboratory could print."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, Decimal) and not (value.is_finite() and 0 < value <= _LARGEST):
                raise ValueError(f"{name} is {value}; it is to lie above 0 and up to {_LARGEST}")


class ChildLimit(_Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Lower ALP limit from an age on, until the next row begins."""

    from_days: Annotated[int, Meta(ge=0)] | None = None
    from_years: Annotated[int, Meta(ge=0, le=25)] | None = None
    male: Decimal
    female: Decimal


class Trimester(_Section, frozen=True, forbid_unknown_fields=True):
    """Lower ALP limits in pregnancy, U/L."""

    first: Decimal
    second: Decimal
    third: Decimal


class AlpLimits(_Section, frozen=True, forbid_unknown_fields=True):
    """When an ALP value is low, U/L."""

    adult_male: Decimal
    adult_female: Decimal
    adult_floor: Decimal
    adult_cap: Decimal
    clearly_low: Decimal
    very_low: Decimal
    implausible_printed_limit: Decimal
    adult_range_at_most: Decimal
    child_limit_at_least: Decimal
    adult_from_years: Years
    children: Annotated[tuple[ChildLimit, ...], Meta(min_length=1)]
    pregnancy: Trimester

    def __post_init__(self) -> None:
        """The tiers lie in the order that their names say."""
        super().__post_init__()
        tiers = (self.very_low, self.clearly_low, self.adult_floor, self.adult_cap)
        if list(tiers) != sorted(tiers):
            raise ValueError(
                "very_low, clearly_low, adult_floor and adult_cap are to rise in this order"
            )
        if max(self.adult_male, self.adult_female) > self.adult_cap:
            raise ValueError("adult_male and adult_female are to be at most adult_cap")
        for row in self.children:
            if (row.from_days is None) == (row.from_years is None):
                raise ValueError("each row of children gives either from_days or from_years")
        begins = [(r.from_years or 0) * 366 + (r.from_days or 0) for r in self.children]
        if begins[0] != 0 or begins != sorted(set(begins)):
            raise ValueError("the rows of children are to begin at birth and rise by age")


class LookBack(_Section, frozen=True, forbid_unknown_fields=True):
    """How old facts may be."""

    patient_view_months: Months
    order_months: Months
    baseline_months: Months
    majority_years: Years
    usable_at_order_months: Months
    reversible_cause_months: Months
    palliative_months: Months
    haemodialysis_months: Months
    pending_order_days: Days
    resulted_days: Days
    fresh_repeat_months: Months


class Persistence(_Section, frozen=True, forbid_unknown_fields=True):
    """When low ALP is persistent."""

    days_apart: Days
    low_share: Decimal

    def __post_init__(self) -> None:
        """A share is at most the whole."""
        super().__post_init__()
        if self.low_share > 1:
            raise ValueError(f"low_share is {self.low_share}; it is to be a share, at most 1")


class Residual(_Section, frozen=True, forbid_unknown_fields=True):
    """How long an antiresorptive goes on lowering ALP after the last dose."""

    bisphosphonate_months: Months
    bisphosphonate_long_months: Months
    long_use_years: Years
    course_gap_days: Days
    pamidronate_months: Months
    zoledronate_months: Months
    zoledronate_long_months: Months
    zoledronate_long_doses: Annotated[int, Meta(ge=1, le=50)]
    denosumab_months: Months
    denosumab_rebound_months: Months
    asfotase_days: Days

    def __post_init__(self) -> None:
        """The rebound comes after the effect."""
        super().__post_init__()
        if self.denosumab_rebound_months <= self.denosumab_months:
            raise ValueError("denosumab_rebound_months is to be more than denosumab_months")


class AcuteIllness(_Section, frozen=True, forbid_unknown_fields=True):
    """Acute illness lowers ALP for a time."""

    days_after_stay: Days
    open_stay_days: Days
    days_after_procedure: Days


class Specimen(_Section, frozen=True, forbid_unknown_fields=True):
    """When a sample looks contaminated by its tube."""

    potassium_above: Decimal
    calcium_below: Decimal
    same_sample_minutes: Annotated[int, Meta(ge=0, le=1440)]


class WorkUpRules(_Section, frozen=True, forbid_unknown_fields=True):
    """How work-up results are read."""

    plp_high_nmol_per_l: Decimal
    b6_days: Days
    masking_days: Days
    same_fracture_days: Days


class PregnancyRules(_Section, frozen=True, forbid_unknown_fields=True):
    """How gestation is dated."""

    possible_from_years: Years
    possible_below_years: Years
    gestation_days: Days
    second_trimester_from_weeks: Annotated[int, Meta(ge=1, le=42)]
    third_trimester_from_weeks: Annotated[int, Meta(ge=1, le=42)]
    overdue_days: Days
    undated_recorded_after_days: Days

    def __post_init__(self) -> None:
        """The third trimester comes after the second."""
        super().__post_init__()
        if self.third_trimester_from_weeks <= self.second_trimester_from_weeks:
            raise ValueError(
                "third_trimester_from_weeks is to be more than second_trimester_from_weeks"
            )


class Children(_Section, frozen=True, forbid_unknown_fields=True):
    """Rows for children."""

    below_years: Years


class Audience(_Section, frozen=True, forbid_unknown_fields=True):
    """Who may be shown cards."""

    patients_and_relatives: bool


class OrdersOffered(_Section, frozen=True, forbid_unknown_fields=True):
    """Which optional orders the site offers at all."""

    off: tuple[str, ...]


class SnoozeRules(_Section, frozen=True, forbid_unknown_fields=True):
    """How long a card that was set aside stays quiet at patient-view, and what wakes it."""

    wakes: tuple[Literal["lower-alp", "feature", "exposure"], ...]
    already_seen_days: Days
    already_seen_after_minutes: Annotated[int, Meta(ge=0, le=1440)]
    months: Mapping[str, Lifetime] = {}
    """By code of the override reason; a reason that is not named does not snooze."""


class Memory(_Section, frozen=True, forbid_unknown_fields=True):
    """How long cards and feedback are remembered."""

    keep_days: Annotated[int, Meta(ge=1, le=36_600)]


class LocalCode(_Section, frozen=True, forbid_unknown_fields=True):
    """A site's own code for one of our concepts."""

    value_set: str
    system: Annotated[str, Meta(min_length=1)]
    code: Annotated[str, Meta(min_length=1)]
    display: str = ""


SWITCHES: tuple[Switch, ...] = ("on", "off", "shadow")


class Policy(_Section, frozen=True, forbid_unknown_fields=True):
    """Every default of the decision model in force at this site."""

    version: Annotated[str, Meta(min_length=1)]
    alp: AlpLimits
    look_back: LookBack
    persistence: Persistence
    residual: Residual
    acute: AcuteIllness
    specimen: Specimen
    workup: WorkUpRules
    pregnancy: PregnancyRules
    children: Children
    audience: Audience
    orders: OrdersOffered
    snooze: SnoozeRules
    memory: Memory
    situations: Mapping[str, Any] = {}
    """Switch of each situation; checked with the situations, which this value does not know."""
    local_codes: tuple[LocalCode, ...] = ()
