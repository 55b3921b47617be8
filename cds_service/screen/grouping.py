"""Which lines belong to which patient: DuckDB sorts the index, and spills to disk when it has to."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

import duckdb
import msgspec

from cds_service.screen.chart import Late
from cds_service.screen.spool import KINDS

_LATE = KINDS["late"]
# No id is a question mark; an empty column is empty, and not NULL.
_INDEX = """
CREATE TEMP MACRO index_rows(files) AS TABLE
SELECT *, parse_filename(filename)[:6] AS segment
FROM read_csv(files, auto_detect = false, header = false, delim = ',', quote = '', nullstr = '?',
    filename = true, buffer_size = 262144, max_line_size = 65536, columns = {
        'patient': 'VARCHAR', 'kind': 'TINYINT', 'refers': 'VARCHAR', 'known': 'TINYINT',
        'first': 'BIGINT', 'size': 'BIGINT'})
"""
_COUNT = "SELECT count(DISTINCT patient) FROM index_rows($files) WHERE kind < 3"
# A drug entry that only refers to its Medication is of use when the Medication is one of ours, or
# did not come; otherwise it names a drug that no rule knows.
_SORTED = """
WITH medication AS (
    SELECT refers, max(known) AS known,
           string_agg(segment || ':' || first || ':' || size, ' ') AS places
    FROM index_rows($files) WHERE kind = 3 GROUP BY refers
)
SELECT line.patient, line.kind, line.segment, line.first, line.size, medication.places
FROM index_rows($files) AS line
LEFT JOIN medication ON line.refers = medication.refers AND line.refers <> ''
WHERE line.kind < 3 AND line.patient > $after
  AND (line.known = 1 OR medication.known IS NULL OR medication.known = 1)
ORDER BY line.patient, line.segment, line.first
"""
_OPEN_FILES = 64
_Place = tuple[str, int, int]
"""A file of the spool, and first byte and size of a run of lines in it."""


class PatientLines(msgspec.Struct, frozen=True):
    """The lines of one patient, each once, in an order that no file order changes."""

    patient: str
    lines: tuple[bytes, ...]
    late: Late | None
    """Read when somebody asks; None where there are none. To be asked before the next patient comes."""


def patient_lines(
    spool: Path, temporary: Path, *, after: str = "", memory_mb: int = 64
) -> Iterator[PatientLines]:
    """Every patient with an id greater than `after`, by id."""
    temporary.mkdir(exist_ok=True)
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": f"{memory_mb}MB",
        "temp_directory": str(temporary),
        "preserve_insertion_order": False,
    }
    connection = duckdb.connect(config=settings)
    places = _Places(spool)
    try:
        connection.execute(_INDEX)
        cursor = connection.execute(_SORTED, {"after": after, "files": _files(spool)})
        for patient, rows in groupby(_fetched(cursor), key=itemgetter(0)):
            yield _gathered(patient, rows, places)
    finally:
        places.close()
        connection.close()


def count_patients(spool: Path) -> int:
    """How many patients the index names."""
    with duckdb.connect(config={"threads": 1, "memory_limit": "64MB"}) as connection:
        connection.execute(_INDEX)
        found = connection.execute(_COUNT, {"files": _files(spool)}).fetchone()
    return int(found[0]) if found else 0


def _files(spool: Path) -> list[str]:
    return sorted(map(str, spool.glob("[0-9]*.index.csv")))


def _fetched(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, int, str, int, int, str]]:
    while rows := cursor.fetchmany(1000):
        yield from rows


def _gathered(
    patient: str, rows: Iterator[tuple[str, int, str, int, int, str]], places: "_Places"
) -> PatientLines:
    lines: list[_Place] = []
    late: list[_Place] = []
    for _, kind, segment, first, size, medication in rows:
        if kind == _LATE:
            late.append((f"{segment}.late", first, size))
        else:
            lines.append((segment, first, size))
        for place in (medication or "").split():
            where, begin, length = place.split(":")
            lines.append((where, int(begin), int(length)))
    read_late = partial(_each_once, late, places) if late else None
    return PatientLines(patient, _each_once(lines, places), read_late)


def _each_once(found: Sequence[_Place], places: "_Places") -> tuple[bytes, ...]:
    return tuple(sorted({line for place in found for line in places.lines(*place)}))


class _Places:
    """Lines by where they stand in the spool."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._open: dict[str, BinaryIO] = {}

    def lines(self, segment: str, first: int, size: int) -> list[bytes]:
        """The lines of one run."""
        file = self._open.get(segment)
        if file is None:
            if len(self._open) >= _OPEN_FILES:
                self._open.pop(next(iter(self._open))).close()
            file = self._open[segment] = (self._spool / f"{segment}.ndjson").open("rb", buffering=0)
        return os.pread(file.fileno(), size, first).rstrip(b"\n").split(b"\n")

    def close(self) -> None:
        """Give the files back."""
        for file in self._open.values():
            file.close()
