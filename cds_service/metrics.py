"""What the service counts, for Prometheus. No label ever holds a word from a record."""

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from cds_service.observer import FeedbackOutcome, FhirOutcome
from cds_service.terminology import LOINC

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_NPU = "urn:oid:1.2.208.176.2.1"
_CODES_TOLD = 50
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_LOINC_CODE = re.compile(r"[0-9]{3,6}-[0-9]")
_NPU_CODE = re.compile(r"NPU[0-9]{5}")
_WORD = re.compile(r"[A-Za-z][A-Za-z -]{0,39}")
_MEMORY_OPERATIONS = ("open", "recall", "remember", "feedback")
OTHER = "other"


class Metrics:
    """Every metric of the service; one for the whole process, however often the rules are reloaded.

    It is an `observer.Observer`.
    """

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._codes = _FirstComers(_CODES_TOLD)
        self.requests = Counter(
            "cds_requests", "Answered requests", ("service", "status"), registry=registry
        )
        self.seconds = Histogram(
            "cds_request_seconds",
            "Time to answer a hook",
            ("hook",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.situations = Counter(
            "cds_situations",
            "Situations that held, by what came of them: card, beside, silence or shadow",
            ("situation", "outcome"),
            registry=registry,
        )
        self.refused_data = Counter(
            "cds_data_unavailable",
            "Answers 412, by the prefetch key that was missing",
            ("key",),
            registry=registry,
        )
        self._fhir = Histogram(
            "cds_fhir_query_seconds",
            "Time of a query to an EHR's FHIR server",
            ("resource", "outcome"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._unknown_codes = Counter(
            "cds_alp_code_unknown",
            "Results sent as ALP without a code known here",
            ("system", "code"),
            registry=registry,
        )
        self._units = Counter(
            "cds_alp_unit_not_accepted",
            "ALP results with a unit that is not accepted, or none",
            ("unit",),
            registry=registry,
        )
        self._feedback = Counter(
            "cds_feedback", "Answers of clinicians", ("outcome", "situation"), registry=registry
        )
        self._memory = Counter(
            "cds_memory_failures",
            "What could not be remembered or recalled",
            ("operation",),
            registry=registry,
        )
        self.canary = Gauge(
            "cds_canary_as_expected",
            "1 where a canary patient gives what it must, 0 where not",
            ("patient", "policy"),
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self.ready = Gauge(
            "cds_ready",
            "1 where a part is ready, 0 where not",
            ("part",),
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self.reloads = Counter(
            "cds_reloads",
            "Reloads of policy and clients: done or refused",
            ("outcome",),
            registry=registry,
        )
        self._begin_at_zero()

    def names(self) -> frozenset[str]:
        """Every series name that may be exported."""
        return frozenset(
            f"{metric.name}{suffix}"
            for metric in self._registry.collect()
            for suffix in (
                {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(
                    metric.type, ("",)
                )
            )
        )

    def exposition(self) -> bytes:
        """The metrics of all workers, in the text format of Prometheus."""
        if _FOLDER not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def fhir_query(self, resource: str, outcome: FhirOutcome, seconds: float) -> None:
        self._fhir.labels(_word(resource), outcome).observe(seconds)

    def unknown_alp_code(self, system: str | None, code: str | None) -> None:
        self._unknown_codes.labels(*self._codes.named(*_public_code(system, code))).inc()

    def alp_unit_not_accepted(self, *, given: bool) -> None:
        self._units.labels("not accepted" if given else "none").inc()

    def feedback(self, outcome: FeedbackOutcome, situation: str | None) -> None:
        self._feedback.labels(outcome, situation or OTHER).inc()

    def memory_failure(self, operation: str) -> None:
        self._memory.labels(_word(operation)).inc()

    def _begin_at_zero(self) -> None:
        """Show what is counted seldom before its first event, which would be no increase otherwise."""
        for operation in _MEMORY_OPERATIONS:
            self._memory.labels(operation)
        for outcome in ("done", "refused"):
            self.reloads.labels(outcome)


def shared_by_workers() -> Path:
    """A new folder through which the workers of this run add up what they count.

    To be called before a Metrics is made. The library decides when it is imported whether it counts
    for one process or several; that is too early for a command that learns it later.
    """
    folder = Path(tempfile.mkdtemp(prefix="cds-metrics-"))
    os.environ[_FOLDER] = str(folder)
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
    return folder


def shared_no_longer(folder: Path) -> None:
    """No worker was started after all: this process counts by itself again."""
    stop_counting()
    del os.environ[_FOLDER]
    values.ValueClass = values.MutexValue
    shutil.rmtree(folder)


def stop_counting() -> None:
    """Close the files of this process; what was counted stays with the others."""
    values.close_all_multiprocess_files()  # type: ignore[no-untyped-call]


class _FirstComers:
    """Caps the number of different codes that become labels: the rest is counted together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[tuple[str, str]] = set()
        self._lock = Lock()

    def named(self, system: str, code: str) -> tuple[str, str]:
        with self._lock:
            if (system, code) not in self._known and len(self._known) >= self._most:
                return system, OTHER
            self._known.add((system, code))
        return system, code


def _public_code(system: str | None, code: str | None) -> tuple[str, str]:
    """System and code when it is a well-formed code of a public system; else only that it was not.

    A site's own code may be anything, even a name: it is counted and never told.
    """
    if system is None or code is None:
        return "none", OTHER
    if system == LOINC:
        return "LOINC", code if _LOINC_CODE.fullmatch(code) and _check_digit(code) else OTHER
    if system == _NPU:
        return "NPU", code if _NPU_CODE.fullmatch(code) else OTHER
    return OTHER, OTHER


def _check_digit(code: str) -> bool:
    """Whether the digit after the hyphen is the one that LOINC computes (mod 10, Luhn)."""
    digits: Sequence[int] = [int(d) for d in code if d.isdigit()]
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _word(text: str) -> str:
    return text if _WORD.fullmatch(text) else OTHER
