"""The command as real processes on free ports of loopback, ended whatever happens."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import requests

from cds_service.settings import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
NO_SETTINGS: Mapping[str, str] = {}
OFF = {"CDS_AUTH": "off"}
PATIENCE_SECONDS = 30.0
"""How long a real process may take to start or to end before the test fails."""


def environment(settings: Mapping[str, str] = NO_SETTINGS) -> dict[str, str]:
    """The environment of a real process."""
    names = {s.name for s in SETTINGS}
    inherited = {k: v for k, v in os.environ.items() if k not in names}
    return {**inherited, "COLUMNS": "300", "TERM": "dumb", "PYTHONWARNINGS": "error", **settings}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cds_service", *arguments]


@contextmanager
def running(
    *arguments: str, output: IO[str], settings: Mapping[str, str] = NO_SETTINGS
) -> Iterator["subprocess.Popen[str]"]:
    """The command as a process that stays up; ended, whatever happens, when the test is over."""
    started = subprocess.Popen(
        command(*arguments),
        cwd=ROOT,
        env=environment(settings),
        stdout=output,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.wait(timeout=PATIENCE_SECONDS)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def answering(base: str, started: "subprocess.Popen[str]") -> requests.Response:
    """Its first answer. Fails when the process ends or takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert started.poll() is None, "it ended"
        try:
            return requests.get(f"{base}/cds-services", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError(f"no answer within {PATIENCE_SECONDS} s")
