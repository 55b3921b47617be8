"""The lines that matter, on disk, segment by segment; what was written is never read again from the source.

A segment is about 64 MB of one source. Its files appear whole or not at all, and the file that says
that it is complete comes last, so a run that was killed goes on with the next segment.
"""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from cds_service.screen.lines import Line, Reject
from cds_service.screen.progress import Progress
from cds_service.screen.reading import Reading
from cds_service.screen.run_record import Input
from cds_service.screen.sieve import Sieve
from cds_service.screen.sources import Source

SEGMENT_BYTES = 64 << 20
KINDS = {"patient": 0, "resource": 1, "late": 2, "medication": 3}


class Segment(msgspec.Struct, frozen=True):
    """What one part of one source held."""

    source: int
    end: int
    """Bytes of the source up to here, unpacked."""
    kept: int
    rejected: int
    last: bool
    """The source ends here."""
    sha256: str | None = None
    """Hash of the source's file; with its last segment only."""


class Spool:
    """A folder of segments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def segments(self) -> list[Segment]:
        """The complete segments, in order."""
        found: list[Segment] = []
        while (path := self._path(len(found), "json")).exists():
            found.append(msgspec.json.decode(path.read_bytes(), type=Segment))
        return found

    def fill(self, sources: Sequence[Source], sieve: Sieve, progress: Progress) -> list[Segment]:
        """Read every source to its end, from where an earlier run came to."""
        done = self.segments()
        passed = 0
        for number, source in enumerate(sources):
            own = [s for s in done if s.source == number]
            if own and own[-1].last:
                passed += source.size
                continue
            reading = Reading(source)
            try:
                reading.skip(own[-1].end if own else 0)
                if passed or own:
                    progress.begin_at(passed + reading.raw_offset)
                    passed = 0
                while not done or done[-1].source != number or not done[-1].last:
                    done.append(self._segment(len(done), number, source, reading, sieve, progress))
            finally:
                reading.close()
        return done

    def inputs(self, sources: Sequence[Source]) -> list[Input]:
        """What each source held."""
        done = self.segments()
        return [_input(s, [d for d in done if d.source == n]) for n, s in enumerate(sources)]

    def rejects(self, names: Sequence[str]) -> Iterator[bytes]:
        """Every rejected line with its file and reason, as JSON."""
        for number, segment in enumerate(self.segments()):
            if not segment.rejected:
                continue
            with self._path(number, "rejects.ndjson").open("rb") as lines:
                for line in lines:
                    reason, text = msgspec.json.decode(line)
                    row = {"file": names[segment.source], "reason": reason, "line": text}
                    yield msgspec.json.encode(row)

    def _segment(
        self,
        number: int,
        source_number: int,
        source: Source,
        reading: Reading,
        sieve: Sieve,
        progress: Progress,
    ) -> Segment:
        begun, raw_begun = reading.offset, reading.raw_offset
        writing = _Writing(self.folder)
        try:
            while reading.offset - begun < SEGMENT_BYTES:
                block = reading.block()
                if not block:
                    break
                found = sieve.document(block) if source.is_document else sieve.block(block)
                for one in found:
                    writing.add(one)
                progress.advance(reading.raw_offset - raw_begun)
                raw_begun = reading.raw_offset
            ended = reading.offset - begun < SEGMENT_BYTES
        finally:
            writing.close()
        for suffix in ("ndjson", "late.ndjson", "index.csv", "rejects.ndjson"):
            (self.folder / f"next.{suffix}").replace(self._path(number, suffix))
        segment = Segment(
            source=source_number,
            end=reading.offset,
            kept=writing.kept,
            rejected=writing.rejected,
            last=ended,
            sha256=reading.sha256() if ended else None,
        )
        temporary = self.folder / "next.json"
        temporary.write_bytes(msgspec.json.encode(segment))
        temporary.replace(self._path(number, "json"))
        return segment

    def _path(self, number: int, suffix: str) -> Path:
        return self.folder / f"{number:06d}.{suffix}"


def _input(source: Source, own: Sequence[Segment]) -> Input:
    return Input(
        file=source.name,
        bytes=source.size,
        sha256=own[-1].sha256,
        kept=sum(s.kept for s in own),
        rejected=sum(s.rejected for s in own),
    )


class _Writing:
    """The files of one segment while it is being read."""

    def __init__(self, folder: Path) -> None:
        self._index = (folder / "next.index.csv").open("w", encoding="ascii", newline="")
        rows = csv.writer(self._index, lineterminator="\n")
        self._lines = _Runs(folder / "next.ndjson", rows)
        self._late = _Runs(folder / "next.late.ndjson", rows)
        self._rejects = (folder / "next.rejects.ndjson").open("wb")
        self.rejected = 0

    @property
    def kept(self) -> int:
        """Lines written."""
        return self._lines.count + self._late.count

    def add(self, found: Line | Reject) -> None:
        """Write one line."""
        if isinstance(found, Line):
            (self._late if found.kind == "late" else self._lines).add(found)
            return
        text = found.content.decode(errors="replace")
        self._rejects.write(msgspec.json.encode((found.reason, text)) + b"\n")
        self.rejected += 1

    def close(self) -> None:
        """Everything is on its way to the disk."""
        for runs in (self._lines, self._late):
            runs.flush()
        for file in (self._lines.file, self._late.file, self._index, self._rejects):
            file.flush()
            if file.tell():
                os.fsync(file.fileno())
            file.close()


class _Runs:
    """Lines written one after the other; those of one patient that follow each other share a row."""

    def __init__(self, path: Path, rows: "Rows") -> None:
        self.file: BinaryIO = path.open("wb", buffering=1 << 18)
        self.count = 0
        self._rows = rows
        self._last = Line("resource", "", b"")
        self._first = self._size = 0

    def add(self, line: Line) -> None:
        """Write a line, and the row of the run before it when it begins another."""
        last = self._last
        if line.patient != last.patient or line.kind != last.kind or line.refers or last.refers:
            self.flush()
            self._last = line
        self._size += self.file.write(line.content + b"\n")
        self.count += 1

    def flush(self) -> None:
        """Write the row of the run that has come to its end."""
        last = self._last
        if self._size:
            row = (last.patient, KINDS[last.kind], last.refers, int(last.known))
            self._rows.writerow((*row, self._first, self._size))
        self._first += self._size
        self._size = 0


class Rows(Protocol):
    """A writer of CSV rows."""

    def writerow(self, row: Sequence[str | int], /) -> object:
        """Write one row."""
