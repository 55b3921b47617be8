"""The real server as a process of its own, which a test may kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import IO, Any

import requests

from tests.charts import REFERENCE, Json, alp, patient
from tests.processes import free_port
from tests.remembering import KEY

_PATIENCE_SECONDS = 60
TODAY = (datetime.now(UTC).date() - REFERENCE).days
"""The day on which the test runs, counted from REFERENCE."""
LOW_TODAY = [patient(58, "female"), alp(26, TODAY - 200, 35), alp(28, TODAY - 60, 35)]
"""Persistently low on that day."""
OPEN = {"CDS_AUTH": "off"}


class Served:
    """A server with one worker, and its address."""

    def __init__(
        self,
        url: str,
        *,
        workers: int = 1,
        port: int | None = None,
        settings: Mapping[str, str] = OPEN,
        log: Callable[[str], object] | None = None,
    ) -> None:
        """`log` is called with each line that the server writes."""
        self.port = port or free_port()
        self.base = f"http://127.0.0.1:{self.port}/cds-services"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CDS_")}
        where = ["--port", str(self.port), "--workers", str(workers)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cds_service", "serve", *where],
            env={**kept, "CDS_DATABASE_URL": url, "CDS_HASH_KEY": KEY.decode(), **settings},
            stderr=subprocess.PIPE if log else subprocess.DEVNULL,
            start_new_session=True,
            encoding="utf-8",
        )
        if log:
            Thread(target=_read, args=(self.process.stderr, log), daemon=True).start()
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                requests.get(self.base, timeout=5)
                return
            except requests.ConnectionError:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def workers(self) -> list[int]:
        """The process numbers of its workers at the moment."""
        server = self.process.pid
        children = Path(f"/proc/{server}/task/{server}/children").read_text(encoding="ascii")
        return [int(child) for child in children.split()]

    def stop(self) -> None:
        """End it as a deployment would: gracefully."""
        self.process.terminate()
        self.process.wait(_PATIENCE_SECONDS)

    def fire(self, request: Json) -> list[Json]:
        """The cards for a call."""
        answer = requests.post(f"{self.base}/low-alp-patient-view", json=request, timeout=30)
        assert answer.status_code == 200, answer.text
        cards: list[Json] = answer.json()["cards"]
        return cards

    def feedback(self, *entries: Json) -> requests.Response:
        """The answer to a feedback call."""
        address = f"{self.base}/low-alp-patient-view/feedback"
        return requests.post(address, json={"feedback": entries}, timeout=30)

    def kill(self) -> None:
        """End it as a power cut would: the server and its worker, at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(_PATIENCE_SECONDS)


@contextmanager
def served(url: str, **more: Any) -> Iterator[Served]:
    """A server on that database; killed at the end."""
    server = Served(url, **more)
    try:
        yield server
    finally:
        server.kill()


def _read(lines: IO[str] | None, log: Callable[[str], object]) -> None:
    assert lines is not None
    with lines:
        for line in lines:
            log(line)
