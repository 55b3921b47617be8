"""One patient's lines as a chart that can be opened at any moment."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import msgspec

from cds_service.fhir import resources as r
from cds_service.fhir.bundles import Decoded, NotFhir, decode
from cds_service.fhir.identity import newest_copies
from cds_service.fhir.reader import ReadingAids, read_record
from cds_service.record import LabResult, PatientRecord, Results, Unread
from cds_service.screen.hindsight import Moment, as_then, patient_then

_WHERE = "export"
_HEAD, _BETWEEN, _TAIL = (
    b'{"resourceType":"Bundle","entry":[{"resource":',
    b'},{"resource":',
    b"}]}",
)


Late = Callable[[], Sequence[bytes]]
"""Reads a patient's late lines: results that few patients' rules ask for."""

_named = msgspec.json.Decoder(r.Named)


class Chart:
    """Everything that an export holds of one patient and a rule could use."""

    def __init__(self, lines: Sequence[bytes], late: Late | None) -> None:
        """`late`: called when the first rule asks for such a result; None where there are none."""
        self.lines = lines
        self._late = late
        self._decoded = _decoded(lines)
        self._last: tuple[tuple[Moment, int, frozenset[int]], PatientRecord] | None = None
        self.entries = self._decoded.entries
        patients = [e for e in newest_copies(self.entries) if isinstance(e.resource, r.Patient)]
        self.patient: r.Patient | None = None
        if patients and isinstance(patients[0].resource, r.Patient):
            self.patient = patients[0].resource

    @property
    def came_with_patient(self) -> bool:
        """Whether a Patient came, be it one that cannot be read."""
        return any(_named.decode(line).resourceType == "Patient" for line in self.lines)

    @cached_property
    def all_entries(self) -> tuple[r.Entry, ...]:
        """With the late results."""
        return (*self.entries, *self._late_decoded.entries)

    @property
    def unread(self) -> int:
        """Entries that could not be read, among those that were looked at."""
        return len(self._decoded.unread)

    def record(
        self,
        moment: Moment,
        aids: ReadingAids,
        *,
        hidden: frozenset[int] = frozenset(),
        whole: bool = False,
    ) -> PatientRecord:
        """The record at a moment.

        `hidden` are entries, by identity, that are being signed at the moment; `whole` reads the
        late results too, so that what could not be read is named.
        """
        if whole:
            return self._read(self.all_entries, moment, aids, hidden)
        # The last record is often asked for again: by a second policy, or for counting.
        asked = (moment, id(aids), hidden)
        if self._last is None or self._last[0] != asked:
            record = self._read(self.entries, moment, aids, hidden)
            if self._late is not None:
                late = _Late(lambda: self._read(self.all_entries, moment, aids, hidden).results)
                record = msgspec.structs.replace(record, results=late)
            self._last = (asked, record)
        return self._last[1]

    def _read(
        self,
        entries: Sequence[r.Entry],
        moment: Moment,
        aids: ReadingAids,
        hidden: frozenset[int],
    ) -> PatientRecord:
        assert self.patient is not None  # noqa: S101  (nobody asks about a missing patient)
        seen = [e for e in entries if id(e.resource) not in hidden] if hidden else entries
        return read_record(
            patient_then(self.patient, moment),
            list(as_then(seen, moment)),
            aids,
            unread=self._decoded.unread,
        )

    @cached_property
    def _late_decoded(self) -> Decoded:
        return _decoded(self._late()) if self._late is not None else Decoded()


class _Late(Results):
    """Results that are read when the first rule asks for one."""

    def __init__(self, read: Callable[[], Results]) -> None:
        self._read = read

    def newest_first(self, concept: str) -> Iterator[LabResult]:
        """The results of one kind, the newest first."""
        return self._results.newest_first(concept)

    @cached_property
    def _results(self) -> Results:
        return self._read()


def _decoded(lines: Sequence[bytes]) -> Decoded:
    if not lines:
        return Decoded()
    try:
        return decode(msgspec.Raw(_HEAD + _BETWEEN.join(lines) + _TAIL), _WHERE)
    except NotFhir:
        return _one_by_one(lines)  # one line is nested so deeply that the whole is too deep


def _one_by_one(lines: Sequence[bytes]) -> Decoded:
    entries: list[r.Entry] = []
    unread: list[Unread] = []
    for number, line in enumerate(lines):
        try:
            found = decode(msgspec.Raw(line), f"{_WHERE}[{number}]")
        except NotFhir as error:
            unread.append(Unread(f"{_WHERE}[{number}]", str(error)))
            continue
        entries.extend(found.entries)
        unread.extend(found.unread)
    return Decoded(entries=tuple(entries), unread=tuple(unread))
