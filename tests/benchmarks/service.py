"""Milliseconds of a call over HTTP, against a Flask route that reads the same body and does nothing.

All run on the server of `cds-service serve`, one worker each, on loopback; one client calls them in
turns over connections that stay open, each call about another patient. With authentication every call
carries a new token, signed before the clock starts.
"""

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

import msgspec
from rich.table import Table

from cds_service.terminology import Terminology
from tests.benchmarks.bodies import SIZES, body
from tests.charts import PATIENT
from tests.signing import VIEW, Signer
from tests.signing import settings as settings_with

_GOALS = {"small": 1.5, "typical": 2.0, "heavy": 2.5}
_GOAL_WITH_TOKEN = 4.0
"""Of a typical body."""
_CALLS = {"small": 400, "typical": 400, "heavy": 80}
_START_WITHIN_SECONDS = 30
_NO_OP = f"""
import flask
app = flask.Flask("no_op")
app.post("{VIEW}")(lambda: (flask.request.get_data(), '{{"cards":[]}}')[1])
"""
_OURS = """
from pathlib import Path
from cds_service.app import create_app
from cds_service.settings import Settings
app = create_app(Settings({settings}))
"""
_SERVE = """
import pathlib
import tempfile
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
_NUMBERS = count(1)


class _Server(msgspec.Struct, frozen=True):
    """A server that answers on an open connection."""

    client: HTTPConnection
    headers: Callable[[], dict[str, str]] = dict


def service_table(terminology: Terminology) -> Table:
    """Median milliseconds of a call without and with the service's work, and their ratio."""
    table = Table(title="Service: one client, against a no-op Flask route on the same server")
    for heading in ("body", "answer", "client", "no-op ms", "service ms", "ratio", "goal", ""):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        no_op = _Server(servers.enter_context(_serving(_NO_OP)))
        memory = f"auth='off', database_url='sqlite:///{folder}/open.sqlite3'"
        ours = _Server(servers.enter_context(_serving(_OURS.format(settings=memory))))
        signing = servers.enter_context(_with_tokens(Path(folder)))
        for size in SIZES:
            for low in (False, True):
                content = body(size, terminology, low=low)
                floor, taken, signed = _in_turns((no_op, ours, signing), content, _CALLS[size])
                answer = "card" if low else "no card"
                _add(table, (size, answer, "anybody"), floor, taken, _GOALS[size])
                goal = _GOAL_WITH_TOKEN if size == "typical" else None
                _add(table, (size, answer, "ES384"), floor, signed, goal)
    return table


def _add(
    table: Table, row: tuple[str, ...], floor: float, taken: float, goal: float | None
) -> None:
    ratio = taken / floor
    times = f"{floor * 1e3:.2f}", f"{taken * 1e3:.2f}", f"{ratio:.2f}"
    verdict = "" if goal is None else "met" if ratio <= goal else "MISSED"
    table.add_row(*row, *times, str(goal or ""), verdict)


def _in_turns(servers: tuple[_Server, ...], content: bytes, calls: int) -> list[float]:
    times: list[list[float]] = [[] for _ in servers]
    for _ in range(calls):
        for server, taken in zip(servers, times, strict=True):
            about = _about_another(content)
            headers = {"Content-Type": "application/json", **server.headers()}
            started = time.perf_counter()
            server.client.request("POST", VIEW, about, headers)
            answer = server.client.getresponse()
            answer.read()
            taken.append(time.perf_counter() - started)
            if answer.status != 200:
                raise RuntimeError(f"answered with {answer.status}")
    return [statistics.median(t) for t in times]


def _about_another(content: bytes) -> bytes:
    """The same chart under another patient's id."""
    return content.replace(PATIENT.encode(), f"{PATIENT[:-1]}{next(_NUMBERS)}".encode())


@contextmanager
def _with_tokens(folder: Path) -> Iterator[_Server]:
    """The service with authentication, and a client that signs."""
    signer = Signer("https://ehr.example", "ES384")
    table = {"name": "ehr", "issuer": signer.issuer, "jwks": signer.jwks()}
    settings = settings_with(folder, table)
    named = ", ".join(
        f"{field}={getattr(settings, field)!r}"
        for field in ("auth", "base_url", "hash_key", "database_url")
    )
    app = _OURS.format(settings=f"{named}, clients=Path({str(settings.clients)!r})")
    with _serving(app) as client:
        yield _Server(client, lambda: signer.bearer(VIEW))


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
