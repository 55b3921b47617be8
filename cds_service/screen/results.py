"""What screening says of one patient, and the files that keep it while a run goes on."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec

BATCH_PATIENTS = 500


class Answer(msgspec.Struct, frozen=True):
    """What one policy says at one moment."""

    situation: str | None = None
    """The row that decided: a card's, or a silence's."""
    indicator: str | None = None
    """None: no card."""
    summary: str | None = None
    reason: str = ""
    beside: str | None = None
    """The situation of a second card."""
    beside_indicator: str | None = None
    snoozed: bool = False
    """A card, but not shown again so soon."""
    shadow: tuple[str, ...] = ()
    """Situations in shadow that hold."""
    withheld: tuple[str, ...] = ()
    """Those of them that would have given the cards."""

    @property
    def shown(self) -> bool:
        """A clinician would have seen a card."""
        return self.indicator is not None and not self.snoozed


class Told(msgspec.Struct, frozen=True):
    """One moment with something to say, under one policy at least."""

    day: date
    hook: str
    drugs: tuple[str, ...]
    """Antiresorptives that were being signed."""
    answers: tuple[Answer, ...]
    """One for each policy."""
    latest_alp: str | None = None
    latest_alp_u_per_l: Decimal | None = None
    latest_alp_date: str | None = None


class Explanation(msgspec.Struct, frozen=True):
    """Why one policy decided as it did, at the last moment with something to say."""

    policy: str
    day: date
    hook: str
    situation: str | None
    facts: tuple[str, ...]
    gaps: tuple[str, ...]
    rows: tuple[tuple[str, str, str], ...]
    """Outcome, title and reason."""


class PatientResult(msgspec.Struct, frozen=True, tag="result", tag_field="kind"):
    """Everything that is counted or shown of one patient."""

    patient: str
    name: str | None = None
    sex: str | None = None
    age_years: int | None = None
    """On the last day asked about; None when not known."""
    views: int = 0
    """How often the chart was opened."""
    signings: int = 0
    """How often an antiresorptive was signed."""
    alp: int = 0
    """ALP results within the period, or on file within the look-back of one day."""
    alp_with_limit: int = 0
    below_printed_limit: int = 0
    """Alerts of the naive rule: results below the limit that the laboratory printed."""
    unread: int = 0
    """Entries that could not be read, among those that were looked at."""
    refused: tuple[str, ...] = ()
    """Why a moment could not be asked about, for each such moment."""
    told: tuple[Told, ...] = ()
    silences: tuple[dict[str, int], ...] = ()
    """For each policy, how often which silence."""
    explanations: tuple[Explanation, ...] = ()

    def shown(self, policy: int) -> list[Told]:
        """The moments at which a card would have been seen."""
        return [t for t in self.told if t.answers[policy].shown]


class Missing(msgspec.Struct, frozen=True, tag="missing", tag_field="kind"):
    """Resources whose Patient did not come, or cannot be read."""

    patient: str
    resources: int
    unreadable: bool = False
    """A Patient came, and cannot be read."""


_decode = msgspec.json.Decoder(PatientResult | Missing).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


class Results:
    """A folder of finished batches; each appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def last_patient(self) -> str:
        """The id up to which everything is done; empty at the start."""
        batches = self._batches()
        if not batches:
            return ""
        with batches[-1].open("rb") as lines:
            *_, last = lines
        done: PatientResult | Missing = _decode(last)
        return done.patient

    def add(self, rows: list[PatientResult | Missing]) -> None:
        """Keep the next batch."""
        path = self._folder / f"{len(self._batches()):06d}.ndjson"
        temporary = self._folder / "next"
        with temporary.open("wb") as file:
            for row in rows:
                file.write(_encode(row) + b"\n")
        temporary.replace(path)

    def __len__(self) -> int:
        """Patients done, give or take the last batch."""
        return len(self._batches()) * BATCH_PATIENTS

    def __iter__(self) -> Iterator[PatientResult]:
        """Every patient's result, by id."""
        return (row for row in self._rows() if isinstance(row, PatientResult))

    def missing(self) -> Iterator[Missing]:
        """Every id without a Patient that can be read."""
        return (row for row in self._rows() if isinstance(row, Missing))

    def _rows(self) -> Iterator[PatientResult | Missing]:
        for path in self._batches():
            with path.open("rb") as lines:
                yield from map(_decode, lines)

    def _batches(self) -> list[Path]:
        return sorted(self._folder.glob("*.ndjson"))
