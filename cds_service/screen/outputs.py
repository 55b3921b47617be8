"""The files of a finished run: each appears whole or not at all, the run record last."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from cds_service.rulebook import Rulebook
from cds_service.screen.fhir_check import validated
from cds_service.screen.fhir_output import measure_report, patient_list
from cds_service.screen.plan import Plan
from cds_service.screen.report import report
from cds_service.screen.results import Results
from cds_service.screen.run_record import RUN_RECORD, Input, run_record
from cds_service.screen.sections import sections
from cds_service.screen.tally import Tally, tally
from cds_service.screen.worklist import write_explanations, write_worklist

_READY = "outputs"
_MISSING, _UNREADABLE = "no Patient with this id came", "its Patient cannot be read"
FILES = (
    "worklist.csv",
    "worklist.parquet",
    "explanations.ndjson",
    "measure-report.json",
    "list.json",
    "rejects.ndjson",
    "report.html",
    RUN_RECORD,
)


class Read(msgspec.Struct, frozen=True):
    """What an engine says of the sources it has read."""

    inputs: Sequence[Input]
    rejects: Iterable[bytes]
    """Lines that could not be used, as JSON with file and reason, in the order of reading."""


def write_outputs(
    plan: Plan,
    books: Sequence[Rulebook],
    read: Read,
    results: Results,
    work: Path,
) -> Tally:
    """Write every file where `publish` takes it from."""
    ready = work / _READY
    ready.mkdir(exist_ok=True)
    counts = tally(results, len(books))
    priorities = {slug: s.priority for slug, s in books[0].situations.items()}
    write_worklist(results, plan, priorities, ready, work)
    write_explanations(results, ready / "explanations.ndjson")
    ranked = patient_list(plan, books[0], ready / "worklist.parquet")
    measured, listed = validated([measure_report(plan, books, counts), ranked])
    _write(ready / "measure-report.json", [measured])
    _write(ready / "list.json", [listed])
    missing = _write_rejects(ready / "rejects.ndjson", read.rejects, results)
    run = run_record(plan, books, read.inputs, counts, missing)
    parts = list(sections(plan, books, counts))
    _written(ready / "report.html", lambda file: file.writelines(report(plan, parts, run)))
    record = msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n"
    _write(ready / RUN_RECORD, [record.decode()])
    return counts


def publish(folder: Path, work: Path) -> None:
    """Move every file to its final name, the run record last."""
    for name in FILES:
        (work / _READY / name).replace(folder / name)


def _write(path: Path, pieces: Iterable[str]) -> None:
    _written(path, lambda file: file.writelines(p.encode() for p in pieces))


def _write_rejects(path: Path, rejects: Iterable[bytes], results: Results) -> int:
    """What could not be used, and why. Returns for how many ids there is no Patient to read."""
    missing = 0

    def rows() -> Iterator[bytes]:
        nonlocal missing
        for line in rejects:
            yield line + b"\n"
        for found in results.missing():
            missing += 1
            row = {
                "patient": found.patient,
                "reason": _UNREADABLE if found.unreadable else _MISSING,
                "resources": found.resources,
            }
            yield msgspec.json.encode(row) + b"\n"
        for result in results:
            for reason in result.refused:
                yield msgspec.json.encode({"patient": result.patient, "reason": reason}) + b"\n"

    _written(path, lambda file: file.writelines(rows()))
    return missing


def _written(path: Path, write: Callable[[BinaryIO], None]) -> None:
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
