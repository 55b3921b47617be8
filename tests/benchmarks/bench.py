"""Speed as ratios measured side by side in one run: these machines are noisy, absolute times lie.

    python -m tests.benchmarks.bench

The floor is `orjson.loads` of the same body: the least that any service in Python could do with it.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import orjson
from rich.console import Console
from rich.table import Table

from cds_service import rulebook
from cds_service.guidance import Advisor
from cds_service.hooks import card
from cds_service.hooks.request import decode
from tests.benchmarks import fetching
from tests.benchmarks.bodies import SIZES, body
from tests.benchmarks.processes import memory_table, process_table
from tests.benchmarks.service import service_table
from tests.benchmarks.stages import stage_table
from tests.charts import REFERENCE

GOALS = {"small": 1.5, "typical": 0.8, "heavy": 0.6}
_SECONDS = 1.5


def main() -> None:
    """Print the tables of goals and measurements."""
    advisor = Advisor(rulebook.load("https://low-alp-cds.example"))
    table = Table(title="Evaluate: request bytes in, answer bytes out, against orjson.loads")
    for heading in ("body", "kB", "answer", "orjson.loads µs", "evaluate µs", "ratio", "goal", ""):
        table.add_column(heading, justify="right")
    for size in SIZES:
        for low in (False, True):
            content = body(size, advisor.rulebook.terminology, low=low)

            def evaluate(content: bytes = content) -> bytes:
                request = decode(content, ("patient-view",))
                return card.encode(advisor.answer(request, REFERENCE).response)

            floor, ours = _interleaved(partial(orjson.loads, content), evaluate)
            ratio = ours / floor
            table.add_row(
                size,
                f"{len(content) / 1000:.0f}",
                "card" if low else "no card",
                f"{floor * 1e6:.0f}",
                f"{ours * 1e6:.0f}",
                f"{ratio:.2f}",
                f"{GOALS[size]}",
                "met" if ratio <= GOALS[size] else "MISSED",
            )
    console = Console(width=110)
    console.print(table)
    console.print(stage_table(advisor))
    console.print(service_table(advisor.rulebook.terminology))
    console.print(process_table())
    console.print(memory_table())
    fetching.show()


def _interleaved(*calls: Callable[[], object]) -> list[float]:
    """Median seconds of each call, taken in turns so that noise strikes all alike."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    end = time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        for call, taken in zip(calls, times, strict=True):
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
    return [statistics.median(t) for t in times]


if __name__ == "__main__":
    main()
