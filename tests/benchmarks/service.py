"""Milliseconds of a call over HTTP, against a Flask route that reads the same body and does nothing.

Both run on the server of `cds-service serve`, one worker each, on loopback; one client calls them in
turns over connections that stay open.
"""

import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection

from rich.table import Table

from cds_service.terminology import Terminology
from tests.benchmarks.bodies import SIZES, body

_GOALS = {"small": 1.5, "typical": 2.0, "heavy": 2.5}
_CALLS = {"small": 400, "typical": 400, "heavy": 80}
_PATH = "/cds-services/low-alp-patient-view"
_START_WITHIN_SECONDS = 30
_NO_OP = f"""
import tempfile
import flask
app = flask.Flask("no_op")
app.post("{_PATH}")(lambda: (flask.request.get_data(), '{{"cards":[]}}')[1])
"""
_OURS = """
from cds_service.app import create_app
from cds_service.settings import Settings
import tempfile
memory = f"sqlite:///{tempfile.mkdtemp()}/memory.sqlite3"
app = create_app(Settings(auth="off", database_url=memory))
"""
_SERVE = """
import pathlib
from cds_service.commands.server import Options, Server
options = Options(
    host="127.0.0.1",
    port={port},
    workers=1,
    threads=4,
    largest_body=10_485_760,
    drain_seconds=0,
    graceful_seconds=5,
    metrics_folder=pathlib.Path(tempfile.mkdtemp()),
)
Server(lambda: app, options, lambda outcome: None, lambda: None).run()
"""


def service_table(terminology: Terminology) -> Table:
    """Median milliseconds of both, and their ratio against the goal."""
    table = Table(title="Service: one client, no authentication, against a no-op Flask route")
    for heading in ("body", "answer", "no-op ms", "service ms", "ratio", "goal", ""):
        table.add_column(heading, justify="right")
    with ExitStack() as servers:
        no_op, ours = (servers.enter_context(_serving(app)) for app in (_NO_OP, _OURS))
        for size in SIZES:
            for low in (False, True):
                content = body(size, terminology, low=low)
                floor, taken = _in_turns((no_op, ours), content, _CALLS[size])
                table.add_row(
                    size,
                    "card" if low else "no card",
                    f"{floor * 1e3:.2f}",
                    f"{taken * 1e3:.2f}",
                    f"{taken / floor:.2f}",
                    str(_GOALS[size]),
                    "met" if taken <= _GOALS[size] * floor else "MISSED",
                )
    return table


def _in_turns(clients: tuple[HTTPConnection, ...], content: bytes, calls: int) -> list[float]:
    times: list[list[float]] = [[] for _ in clients]
    for _ in range(calls):
        for client, taken in zip(clients, times, strict=True):
            started = time.perf_counter()
            client.request("POST", _PATH, content, {"Content-Type": "application/json"})
            answer = client.getresponse()
            answer.read()
            taken.append(time.perf_counter() - started)
            if answer.status != 200:
                raise RuntimeError(f"answered with {answer.status}")
    return [statistics.median(t) for t in times]


@contextmanager
def _serving(app: str) -> Iterator[HTTPConnection]:
    """A connection to a server of that application, which ends with the connection."""
    port = _free_port()
    server = subprocess.Popen([sys.executable, "-c", app + _SERVE.format(port=port)])
    try:
        client = HTTPConnection("127.0.0.1", port)
        _connect(client, server)
        yield client
        client.close()
    finally:
        server.terminate()
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _connect(client: HTTPConnection, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_WITHIN_SECONDS
    while server.poll() is None and time.monotonic() < end:
        try:
            client.connect()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("a server did not start")
