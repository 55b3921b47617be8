"""Memory and start of one process of the service, against one that holds a Flask route doing nothing."""

import statistics
import subprocess
import sys
import time

from rich.table import Table

_NO_OP = "import flask; app = flask.Flask('no_op'); app.post('/')(lambda: '{}')"
_OURS = (
    "from cds_service.app import create_app; from cds_service.settings import Settings;"
    "import tempfile; memory = f'sqlite:///{tempfile.mkdtemp()}/memory.sqlite3';"
    "app = create_app(Settings(auth='off', database_url=memory))"
)
_RSS = ";print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmRSS')))"
_MEMORY_GOAL = 1.5
_RUNS = 5


def process_table() -> Table:
    """Resident megabytes and seconds until the application stands, as medians. Linux only."""
    runs = [(_process(_NO_OP), _process(_OURS)) for _ in range(_RUNS)]
    table = Table(title="One process, against a Flask application that does nothing")
    for heading in ("", "no-op Flask", "service", "ratio", "goal", ""):
        table.add_column(heading, justify="right")
    for row, (name, form, goal) in enumerate(
        (("memory, MB", "{:.1f}", _MEMORY_GOAL), ("cold start, s", "{:.2f}", None))
    ):
        floor, ours = (statistics.median(run[side][row] for run in runs) for side in (0, 1))
        verdict = "" if goal is None else "met" if ours <= goal * floor else "MISSED"
        table.add_row(
            name,
            form.format(floor),
            form.format(ours),
            f"{ours / floor:.2f}",
            str(goal or ""),
            verdict,
        )
    return table


def _process(program: str) -> tuple[float, float]:
    started = time.perf_counter()
    told = subprocess.run(
        [sys.executable, "-c", program + _RSS], capture_output=True, text=True, check=True
    )
    return int(told.stdout) / 1024, time.perf_counter() - started
