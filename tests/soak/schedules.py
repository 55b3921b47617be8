"""What fails, when and for how long; and what that allows."""

import time
from collections.abc import Callable, Mapping, Sequence

from tests.databases import PostgreSQL
from tests.soak.judging import Fault, Kill
from tests.soak.site import CALL_SECONDS, FhirServer, Replicas

_GRACE_SECONDS = 1.0
"""After a fault: connections that broke are noticed and replaced."""
_KILLS_EACH = 4
_BETWEEN_KILLS_SECONDS = 0.4
_SIGNED = ("view", "fetch", "feedback", "hostile", "discovery", "replay")
_NOT_FETCHED = {"fetch": frozenset({412})}
_NO_DATABASE = {kind: frozenset({503}) for kind in _SIGNED}
_NOT_KEPT = {"feedback": frozenset({503})}
Refusals = Mapping[str, frozenset[int]]
Step = tuple[str, float, Callable[[], object], Callable[[], object], Refusals]


class Schedule:
    """Phases, one after the other; `phases`, `faults` and `kills` say what was when."""

    steps: Sequence[Step] = ()
    """Name, share of the time, how it begins, how it ends, what it allows."""

    def __init__(self) -> None:
        self.phases: list[tuple[float, str]] = []
        self.faults: list[Fault] = []
        self.kills: list[Kill] = []

    def run(self, seconds: float) -> None:
        """All phases, in so many seconds and what it takes to stop and start things."""
        whole = sum(share for _, share, *_ in self.steps)
        for name, share, begin, finish, refusals in self.steps:
            began = time.monotonic()
            self.phases.append((began, name))
            begin()
            time.sleep(seconds * share / whole)
            finish()
            if refusals:
                ended = time.monotonic() + _GRACE_SECONDS
                self.faults.append(Fault(began, ended, refusals))

    def phase(self, moment: float) -> str:
        """The phase of that moment."""
        return [
            name for began, name in self.phases if began <= moment or name == self.phases[0][1]
        ][-1]


class Hospital(Schedule):
    """Everything that two replicas lean on, and they themselves."""

    def __init__(self, database: PostgreSQL, fhir: FhirServer, replicas: Replicas) -> None:
        super().__init__()

        def kill_workers() -> None:
            for number in (0, 1) * _KILLS_EACH:
                replicas.kill_a_worker(number)
                self.kills.append(Kill(number, time.monotonic()))
                time.sleep(_BETWEEN_KILLS_SECONDS)

        self.steps = (
            ("calm", 4, _nothing, _nothing, {}),
            (
                "FHIR server slow",
                6,
                lambda: fhir.slow(1.5 * CALL_SECONDS),
                lambda: fhir.slow(0),
                _NOT_FETCHED,
            ),
            (
                "FHIR server failing",
                5,
                lambda: fhir.trouble("500"),
                lambda: fhir.trouble(""),
                _NOT_FETCHED,
            ),
            ("FHIR server killed", 5, fhir.die, fhir.come_back, _NOT_FETCHED),
            ("FHIR server back", 5, _nothing, _nothing, {}),
            ("database stopped", 6, database.stop, database.start, _NO_DATABASE),
            ("database back", 6, _nothing, _nothing, {}),
            ("workers killed", 8, kill_workers, _nothing, {}),
            ("a replica stopped", 5, lambda: replicas.stop(1), _nothing, {}),
            ("back, the other stopped", 8, lambda: _turn(replicas), _nothing, {}),
            ("both back", 6, lambda: replicas.start(0), _nothing, {}),
        )


class Disk(Schedule):
    """A disk that is full for a time: cards go out, and no feedback is promised."""

    def __init__(self, replicas: Replicas) -> None:
        super().__init__()
        self.steps = (
            ("calm", 4, _nothing, _nothing, {}),
            ("disk full", 4, replicas.fill_disk, replicas.free_disk, _NOT_KEPT),
            ("room again", 4, _nothing, _nothing, {}),
        )


def _turn(replicas: Replicas) -> None:
    replicas.start(1)
    replicas.stop(0)


def _nothing() -> None:
    pass
