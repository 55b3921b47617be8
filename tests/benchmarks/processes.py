"""Memory and start of one process of the service, against one that holds a Flask route doing nothing."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.table import Table

_NO_OP = "import flask; app = flask.Flask('no_op'); app.post('/')(lambda: '{}')"
_OURS = (
    "from cds_service.app import create_app; from cds_service.settings import Settings;"
    "app = create_app(Settings(auth='off', database_url='sqlite:///{database}'))"
)
_RSS = ";print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmRSS')))"
_PARTS = """
import importlib, json, sys

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if "VmRSS" in line)

taken, before = {"Python itself": resident()}, resident()
for name in sys.argv[1:]:
    importlib.import_module(name)
    taken[name] = resident() - before
    before = resident()
print(json.dumps(taken))
"""
_LIBRARIES = ("flask", "msgspec", "sqlalchemy.dialects.sqlite", "requests", "jwt", "limits")
_MEMORY_GOAL = 1.5
_RUNS = 5


def process_table() -> Table:
    """Resident megabytes and seconds until the application stands, as medians. Linux only.

    On a database that is there already, as at every start but the first.
    """
    with tempfile.TemporaryDirectory() as folder:
        ours = _OURS.format(database=Path(folder) / "memory.sqlite3")
        _process(ours)
        runs = [(_process(_NO_OP), _process(ours)) for _ in range(_RUNS)]
    table = Table(title="One process, against a Flask application that does nothing")
    for heading in ("", "no-op Flask", "service", "ratio", "goal", ""):
        table.add_column(heading, justify="right")
    for row, (name, form, goal) in enumerate(
        (("memory, MB", "{:.1f}", _MEMORY_GOAL), ("cold start, s", "{:.2f}", None))
    ):
        floor, taken = (statistics.median(run[side][row] for run in runs) for side in (0, 1))
        verdict = "" if goal is None else "met" if taken <= goal * floor else "MISSED"
        table.add_row(
            name,
            form.format(floor),
            form.format(taken),
            f"{taken / floor:.2f}",
            str(goal or ""),
            verdict,
        )
    return table


def memory_table() -> Table:
    """Megabytes that a process grows by with each part, in the order in which they are loaded."""
    parts = (*_LIBRARIES, "cds_service.commands.serve")
    told = subprocess.run(
        [sys.executable, "-c", _PARTS, *parts], capture_output=True, text=True, check=True
    )
    table = Table(title="What the memory of a process is taken by, MB")
    taken = json.loads(told.stdout)
    for part in taken:
        table.add_column(part.split(".")[0], justify="right")
    table.add_row(*(f"{kilobytes / 1024:.1f}" for kilobytes in taken.values()))
    return table


def _process(program: str) -> tuple[float, float]:
    started = time.perf_counter()
    told = subprocess.run(
        [sys.executable, "-c", program + _RSS], capture_output=True, text=True, check=True
    )
    return int(told.stdout) / 1024, time.perf_counter() - started
