"""Where the time of one answer goes: each stage of the pipeline against the floor of the same run."""

import statistics
import time
from itertools import pairwise

import orjson
from rich.table import Table

from cds_service.assessment import Call
from cds_service.decision import decide
from cds_service.fhir.prefetch import collect, prefetched
from cds_service.fhir.reader import read_record
from cds_service.guidance import Advisor
from cds_service.hooks import card
from cds_service.hooks.request import decode
from tests.benchmarks.bodies import SIZES, body
from tests.charts import REFERENCE

STAGES = ("decode", "collect", "read", "decide", "word", "encode")
_SECONDS = 1.0


def stage_table(advisor: Advisor) -> Table:
    """Microseconds, and in brackets the share of the floor, of each stage."""
    table = Table(title="Stages of one answer: µs (share of orjson.loads)")
    for heading in ("body", "answer", *STAGES):
        table.add_column(heading, justify="right")
    for size in SIZES:
        for low in (False, True):
            floor, *stages = _medians(advisor, body(size, advisor.rulebook.terminology, low=low))
            shares = (f"{s * 1e6:.0f} ({s / floor:.2f})" for s in stages)
            table.add_row(size, "card" if low else "no card", *shares)
    return table


def _medians(advisor: Advisor, content: bytes) -> list[float]:
    runs = [_run(advisor, content)]
    end = time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        runs.append(_run(advisor, content))
    return [statistics.median(taken) for taken in zip(*runs, strict=True)]


def _run(advisor: Advisor, content: bytes) -> list[float]:
    """Seconds of the floor and of each stage: what `Advisor.answer` does, with a clock between."""
    book = advisor.rulebook
    clock = [time.perf_counter()]

    def lap() -> None:
        clock.append(time.perf_counter())

    orjson.loads(content)
    lap()
    request = decode(content, ("patient-view",))
    lap()
    came = collect(prefetched(request.prefetch), request.patient_id)
    lap()
    record = read_record(
        came.patient, came.entries, advisor.aids, unread=came.unread, unknown=came.unknown
    )
    lap()
    call = Call(request.hook, REFERENCE)
    decision = decide(record, call, rows=book.rows, drugs=book.drugs, policy=book.policy)
    lap()
    response = card.Response(advisor.cards.of(decision, None))
    lap()
    card.encode(response)
    lap()
    return [after - before for before, after in pairwise(clock)]
