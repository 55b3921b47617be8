"""How far a run has come: a bar with rate and time left on a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar

_LINE_EVERY_SECONDS = 10.0


class Progress:
    """Counts what is done of one step."""

    def __init__(self, title: str, total: float, unit: str, bar: Bar | None) -> None:
        self._title = title
        self._total = total
        self._unit = unit
        self._done = self._before = 0.0
        self._bar = bar
        self._task: TaskID | None = bar.add_task(title, total=total) if bar else None
        self._begun = self._said = time.monotonic()

    def begin_at(self, done: float) -> None:
        """So much was done by an earlier run; the rate is that of this one."""
        self._done = self._before = done
        if self._bar is not None and self._task is not None:
            self._bar.reset(self._task, completed=int(done))

    def advance(self, by: float) -> None:
        """So much more is done."""
        self._done += by
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, by)
            return
        now = time.monotonic()
        if now - self._said >= _LINE_EVERY_SECONDS:
            self._said = now
            sys.stderr.write(self.line(now - self._begun) + "\n")

    def line(self, seconds: float) -> str:
        """What is done, after so many seconds."""
        rate = (self._done - self._before) / seconds
        left = (self._total - self._done) / rate if rate else 0.0
        scale, unit = (1e6, "MB") if self._unit == "bytes" else (1.0, self._unit)
        return (
            f"{self._title}: {self._done / scale:,.0f} of {self._total / scale:,.0f} {unit},"
            f" {rate / scale:,.0f} {unit}/s, about {left:,.0f} s left"
        )


@contextmanager
def step(title: str, total: float, unit: str) -> Iterator[Progress]:
    """One step of a run, shown on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Progress(title, total, unit, None)
        return
    speed = [TransferSpeedColumn()] if unit == "bytes" else []
    columns = (TextColumn("{task.description}"), BarColumn(), *speed, TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        yield Progress(title, total, unit, bar)
