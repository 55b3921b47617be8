"""A run from sources to outputs, which goes on where an earlier one with the same question was ended."""

import gc
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import msgspec

from cds_service import rulebook
from cds_service.rulebook import Rulebook
from cds_service.screen.grouping import count_patients, patient_lines
from cds_service.screen.lines import LineReader
from cds_service.screen.outputs import Read, publish, write_outputs
from cds_service.screen.patient import Asker, reading_aids
from cds_service.screen.plan import Plan, ScreenError
from cds_service.screen.progress import step
from cds_service.screen.results import BATCH_PATIENTS, Missing, PatientResult, Results
from cds_service.screen.run_record import RUN_RECORD
from cds_service.screen.sieve import Sieve
from cds_service.screen.sources import Source, found
from cds_service.screen.spool import Spool
from cds_service.screen.tally import Tally

WORK = "work"


def screen(names: Sequence[str], plan: Plan, folder: Path, *, memory_mb: int = 64) -> Tally:
    """Screen the population in these files and folders into `folder`.

    Raises ScreenError with one line where that cannot be done; OSError where the disk refuses.
    """
    refuse_nested(names, folder)
    sources = found(names)
    books = [rulebook.load(plan.canonical, path) for path in plan.policy_paths]
    work = begin(folder, sources, plan, books)
    with _nothing_loaded_is_garbage():
        return _screened(sources, plan, books, folder, work, memory_mb)


@contextmanager
def _nothing_loaded_is_garbage() -> Iterator[None]:
    """What is loaded stays: looking for garbage in it takes a tenth of the time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _screened(
    sources: Sequence[Source],
    plan: Plan,
    books: Sequence[Rulebook],
    folder: Path,
    work: Path,
    memory_mb: int,
) -> Tally:
    spool, results = Spool(work / "spool"), Results(work / "results")
    with step("Reading", sum(s.size for s in sources), "bytes") as progress:
        spool.fill(sources, sieve_for(plan, books), progress)
    asker = Asker(plan, books)
    with step("Asking", count_patients(spool.folder), "patients") as progress:
        progress.begin_at(len(results))
        groups = patient_lines(
            spool.folder, work / "sorting", after=results.last_patient(), memory_mb=memory_mb
        )
        for batch in batches(asker.ask(g.patient, g.lines, g.late) for g in groups):
            results.add(batch)
            progress.advance(len(batch))
    read = Read(spool.inputs(sources), spool.rejects([s.name for s in sources]))
    return finish(plan, books, read, results, folder, work)


def sieve_for(plan: Plan, books: Sequence[Rulebook]) -> Sieve:
    """The sieve for a plan: a replay needs every encounter, a single day only the stays."""
    every = plan.replay is not None and plan.at == "encounter"
    reader = LineReader(reading_aids(books), every_encounter=every)
    return Sieve([b.terminology for b in books], reader)


def refuse_nested(names: Sequence[str], folder: Path) -> None:
    """Raise ScreenError where a run would read what it writes."""
    for name in names:
        source = Path(name)
        if source.is_dir() and folder.resolve().is_relative_to(source.resolve()):
            raise ScreenError(f"{folder}: lies within the source {name}; name another --output")


def begin(folder: Path, sources: Sequence[Source], plan: Plan, books: Sequence[Rulebook]) -> Path:
    """The folder in which a run keeps what it has, empty or left by an interrupted run."""
    if (folder / RUN_RECORD).exists():
        raise ScreenError(f"{folder}: holds a finished run; name another folder with --output")
    work = folder / WORK
    work.mkdir(parents=True, exist_ok=True)
    asked = msgspec.json.encode(
        {
            "program": version("low-alp-cds"),
            "plan": plan,
            "policies": [repr(b.policy) for b in books],
            "sources": sources,
        }
    )
    question = work / "question.json"
    if not question.exists():
        temporary = work / "question.next"
        temporary.write_bytes(asked)
        temporary.replace(question)
    elif question.read_bytes() != asked:
        raise ScreenError(
            f"{work}: an interrupted run with another question, policy or other sources left this;"
            " repeat that command, or remove the folder"
        )
    return work


def finish(
    plan: Plan, books: Sequence[Rulebook], read: Read, results: Results, folder: Path, work: Path
) -> Tally:
    """Write the outputs and clear away what the run kept.

    Raises ScreenError when a replay found no encounter at which to open a chart.
    """
    counts = write_outputs(plan, books, read, results, work)
    if plan.replay is not None and plan.at == "encounter" and not counts.views:
        shutil.rmtree(work)
        raise ScreenError(
            "no encounter started in that time, so no chart would have been opened;"
            " --at alp opens it at each ALP result"
        )
    publish(folder, work)
    shutil.rmtree(work)
    return counts


def batches(
    answers: Iterable[PatientResult | Missing],
) -> Iterator[list[PatientResult | Missing]]:
    """The answers in the portions in which they are kept."""
    remaining = iter(answers)
    while batch := list(islice(remaining, BATCH_PATIENTS)):
        yield batch
