"""The real server as a process of its own, which a test may kill."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import requests

from tests.charts import REFERENCE, Json, alp, patient
from tests.remembering import KEY

_PATIENCE_SECONDS = 60
TODAY = (datetime.now(UTC).date() - REFERENCE).days
"""The day on which the test runs, counted from REFERENCE."""
LOW_TODAY = [patient(58, "female"), alp(26, TODAY - 200, 35), alp(28, TODAY - 60, 35)]
"""Persistently low on that day."""


class Served:
    """A server with one worker, and its address."""

    def __init__(self, url: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}/cds-services"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CDS_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cds_service", "serve", "--port", str(port), "--workers", "1"],
            env={
                **kept,
                "CDS_AUTH": "off",
                "CDS_DATABASE_URL": url,
                "CDS_HASH_KEY": KEY.decode(),
            },
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                requests.get(self.base, timeout=5)
                return
            except requests.ConnectionError:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

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
def served(url: str) -> Iterator[Served]:
    """A server on that database; killed at the end."""
    server = Served(url)
    try:
        yield server
    finally:
        server.kill()
