"""Bulk screening against `grep -c -F` over the same bytes, its memory, and how it grows.

    python -m tests.benchmarks.bulk

Processor seconds of whole processes, so that a busy machine troubles both sides alike.
"""

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from cds_service import rulebook
from cds_service.screen.grouping import count_patients, patient_lines
from cds_service.screen.patient import Asker
from cds_service.screen.plan import Plan
from cds_service.screen.progress import step
from cds_service.screen.reading import BLOCK_BYTES, Reading
from cds_service.screen.results import Results
from cds_service.screen.run import batches, sieve_for
from cds_service.screen.sources import Source, found
from cds_service.screen.spool import Spool
from tests.charts import REFERENCE, TESTS
from tests.populations import write_population

PATIENTS = 4000
GOAL_RATIO, GOAL_MEMORY_MB, GOAL_GROWTH = 4.0, 100.0, 11.0
_SCREEN = [sys.executable, "-m", "cds_service", "screen"]


class Cost(msgspec.Struct, frozen=True):
    """What a process took."""

    cpu_seconds: float
    peak_mb: float


def main() -> None:
    """Print the table of goals and measurements."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        large, small = folder / "large", folder / "small"
        write_population(large, patients=PATIENTS)
        write_population(small, patients=PATIENTS // 10, with_planted=False)
        files = sorted(map(str, large.glob("*.ndjson")))
        size_mb = sum(Path(f).stat().st_size for f in files) / 1e6
        floor = min(_cost(["grep", "-c", "-F", TESTS["alp"], *files]).cpu_seconds for _ in range(3))
        runs = [_screened(large, folder / f"large-{n}") for n in range(2)]
        ours = min(runs, key=lambda c: c.cpu_seconds)
        less = _screened(small, folder / "small-0")
        stages = list(_stages(large, folder / "stages"))
    table = Table(title=f"Screening {PATIENTS} patients, {size_mb:.0f} MB, as of {REFERENCE}")
    for heading in ("what", "measured", "goal", ""):
        table.add_column(heading, justify="right")
    ratio, growth = ours.cpu_seconds / floor, ours.cpu_seconds / less.cpu_seconds
    rows = (
        ("against grep -c -F, processor seconds", ratio, GOAL_RATIO),
        ("peak memory, MB", ours.peak_mb, GOAL_MEMORY_MB),
        ("10 times the data costs times", growth, GOAL_GROWTH),
    )
    for name, measured, goal in rows:
        table.add_row(name, f"{measured:.1f}", f"{goal:g}", "met" if measured <= goal else "MISSED")
    Console(width=110).print(table)
    Console(width=110).print(
        f"grep {floor:.2f} s, screening {ours.cpu_seconds:.2f} s, a tenth {less.cpu_seconds:.2f} s"
    )
    Console(width=110).print(
        "Of that, against grep: "
        + ", ".join(f"{name} {seconds / floor:.1f}" for name, seconds in stages)
    )


def _stages(source: Path, folder: Path) -> Iterator[tuple[str, float]]:
    """Processor seconds of each part of a run, each measured apart."""
    plan = Plan(as_of=REFERENCE)
    books = [rulebook.load(plan.canonical, None)]
    sieve, sources = sieve_for(plan, books), found([str(source)])
    gc.freeze()  # as a run does
    read = _seconds(lambda: _read_only(sources))
    hashed = _seconds(lambda: _read(sources, lambda block: None))
    searched = _seconds(lambda: _read(sources, sieve.marks))
    yield "reading", read
    yield "hashing", hashed - read
    yield "searching", searched - hashed
    spool = Spool(folder / "spool")
    with step("Reading", 1, "bytes") as progress:
        yield "finding lines", _seconds(lambda: spool.fill(sources, sieve, progress)) - searched
    counted = _seconds(lambda: count_patients(spool.folder))
    grouped = _seconds(lambda: deque(patient_lines(spool.folder, folder / "sorting"), maxlen=0))
    yield "grouping", counted + grouped
    asker, results = Asker(plan, books), Results(folder / "results")

    def ask() -> None:
        groups = patient_lines(spool.folder, folder / "sorting")
        for batch in batches(asker.ask(g.patient, g.lines, g.late) for g in groups):
            results.add(batch)

    yield "asking", _seconds(ask) - grouped
    empty = folder / "nobody"
    write_population(empty, patients=1, with_planted=False)
    yield "starting and writing", _screened(empty, folder / "of-nobody").cpu_seconds


def _seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _read_only(sources: Sequence[Source]) -> None:
    buffer = bytearray(BLOCK_BYTES)
    for source in sources:
        with Path(source.path).open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def _read(sources: Sequence[Source], look: Callable[[bytes], object]) -> None:
    for source in sources:
        reading = Reading(source)
        while block := reading.block():
            look(block)
        reading.sha256()
        reading.close()


def _screened(source: Path, output: Path) -> Cost:
    day = date.isoformat(REFERENCE)
    return _cost([*_SCREEN, str(source), "--as-of", day, "--output", str(output)])


def _cost(command: list[str]) -> Cost:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.read()
    process.stdout.close()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
