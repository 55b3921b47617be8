"""The ALP series: which results count, which of them are low, and whether that persists."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from cds_service.assessment.calendar import months_after
from cds_service.assessment.exposure import Window
from cds_service.assessment.judging import AlpValue, Exclusion, Judge
from cds_service.assessment.pregnancy import Pregnancy
from cds_service.policy import Policy
from cds_service.record import PatientRecord


class AlpSeries(msgspec.Struct, frozen=True):
    """Every ALP result of the patient, oldest first."""

    values: Sequence[AlpValue] = ()
    counted: Sequence[AlpValue] = ()
    lows: Sequence[AlpValue] = ()
    undated: int = 0
    """Results without any date."""
    low_episodes: int = 0
    episodes: int = 0
    """Episodes of the years over which the majority is taken."""
    persistent: bool = False

    @property
    def latest(self) -> AlpValue | None:
        """The latest result that counts."""
        return self.counted[-1] if self.counted else None

    @property
    def latest_low(self) -> AlpValue | None:
        """The latest result that counts, when it is low."""
        latest = self.latest
        return latest if latest is not None and latest.low else None

    def excluded_lows(self, exclusion: Exclusion) -> list[AlpValue]:
        """Low values that do not count, for that reason."""
        return [v for v in self.values if v.low and v.exclusion == exclusion]

    def before(self, day: date) -> list[AlpValue]:
        """Results that count, sampled for certain on or before that day."""
        return [v for v in self.counted if v.day.last <= day]


def alp_series(
    record: PatientRecord,
    pregnant: Sequence[Pregnancy],
    asfotase: Sequence[Window],
    policy: Policy,
    as_of: date,
) -> AlpSeries:
    """Judge every ALP result of a record."""
    judge = Judge(record, pregnant, asfotase, policy, as_of)
    dated = [(r, r.taken) for r in record.alp if r.taken is not None]
    values = _ordered([judge.value(result, day) for result, day in dated])
    counted = [v for v in values if v.counts]
    lows = [v for v in counted if v.low]
    since = months_after(as_of, -12 * policy.look_back.majority_years)
    total, low_episodes = episodes([v for v in counted if v.day.last >= since], policy)
    return AlpSeries(
        values=values,
        counted=counted,
        lows=lows,
        undated=len(record.alp) - len(dated),
        low_episodes=low_episodes,
        episodes=total,
        persistent=_persistent(counted, lows, total, low_episodes, policy),
    )


def far_apart(lows: Sequence[AlpValue], policy: Policy) -> bool:
    """Whether two of these lie far enough apart to be independent."""
    if len(lows) < 2:
        return False
    last_start = max(v.day.first for v in lows)
    first_end = min(v.day.last for v in lows)
    return (last_start - first_end).days >= policy.persistence.days_apart


def _ordered(judged: Sequence[AlpValue]) -> list[AlpValue]:
    """Each result once, oldest first."""
    moments = {v.result.taken_at for v in judged}
    if len(moments) == len(judged):
        return sorted(judged, key=_moment)
    return sorted(_once(judged), key=_chronological)


def _moment(value: AlpValue) -> tuple[date, date, str]:
    """A month or year without a day means its last day for a low value, its first for another."""
    day = value.day
    return (day.last if value.low else day.first, day.first, value.result.taken_at or "")


def _once(values: Iterable[AlpValue]) -> list[AlpValue]:
    """One result stored under two ids, or sent in two units, is one result."""
    seen: dict[object, AlpValue] = {}
    for value in values:
        quantity = value.result.quantity
        same = (
            value.result.taken_at,
            value.u_per_l if quantity else None,
            quantity.comparator if quantity else None,
            value.limit,
            value.exclusion,
            value.problem,
        )
        other = seen.get(same)
        if other is None or (value.result.reference or "") < (other.result.reference or ""):
            seen[same] = value
    return list(seen.values())


def _chronological(
    value: AlpValue,
) -> tuple[tuple[date, date, str], Decimal, bool, bool, bool, str]:
    """Of values that cannot be told apart in time a low one, the lowest, comes last: a repeat settles it."""
    result = value.result
    quantity = result.quantity
    return (
        _moment(value),
        -value.u_per_l if quantity else Decimal(0),
        bool(quantity and quantity.comparator in ("<", "<=")),
        bool(value.low),
        value.exclusion is None,
        result.reference or "",
    )


def episodes(counted: Sequence[AlpValue], policy: Policy) -> tuple[int, int]:
    """How many episodes these values make, and how many of them ended low.

    Results within `days_apart` of an episode's first are one episode, which is what its last says.
    """
    apart = timedelta(days=policy.persistence.days_apart)
    found: list[bool] = []
    begun: date | None = None
    for value in counted:
        if begun is None or value.day.first >= begun + apart:
            begun = value.day.first
            found.append(bool(value.low))
        else:
            found[-1] = bool(value.low)
    return len(found), sum(found)


def _persistent(
    counted: Sequence[AlpValue],
    lows: Sequence[AlpValue],
    total: int,
    low_episodes: int,
    policy: Policy,
) -> bool:
    if not counted or not counted[-1].low or not far_apart(lows, policy):
        return False
    return low_episodes >= policy.persistence.low_share * total
