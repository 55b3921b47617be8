"""Synthetic patients asked through the real pipeline: a rule that falls silent is seen here first.

Knowledge and code are judged under the built-in policy, where every patient has to give what is
written down. A site may switch a situation off or move a threshold: under its own policy the same
patients only have to be answered, and where the answer differs it is told, not judged.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from importlib import resources
from threading import Lock
from typing import Any

import msgspec

from cds_service.ehr import draft_order, hook_requests
from cds_service.errors import KnowledgeError
from cds_service.guidance import Advisor
from cds_service.hooks.request import ORDER_HOOKS, PATIENT_VIEW, decode
from cds_service.rulebook import Rulebook
from cds_service.rulebook.files import KNOWLEDGE, convert, read_toml

_FILE = KNOWLEDGE / "canary.toml"
_AGAIN_AFTER_SECONDS = 60.0
"""What is loaded does not change meanwhile, and asking them all takes as long as some forty calls."""
_log = logging.getLogger("cds_service")


class CanaryPatient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bundled patient, what is done for it, and what has to come of it."""

    patient: str
    """File stem in `fhir_fixtures/patients`."""
    expects: str
    """The situation of the first card, or the silence."""
    indicator: str | None = None
    """Of that card; None: no card."""
    beside: str | None = None
    hook: str = PATIENT_VIEW
    draft: str | None = None
    """Key of the drug that is ordered."""
    code: str | None = None
    """`system|code` by which it is ordered: fixed, so that losing the code is seen."""
    as_of: date | None = None
    """None: the day of the bundled patients."""

    @property
    def name(self) -> str:
        """How logs and metrics call it."""
        return self.patient if self.draft is None else f"{self.patient} {self.hook} {self.draft}"


class Finding(msgspec.Struct, frozen=True):
    """What one canary patient gave."""

    name: str
    expected: str
    came: str | None
    """None: the pipeline failed."""

    @property
    def as_expected(self) -> bool:
        return self.came == self.expected


class Report(msgspec.Struct, frozen=True):
    """What all of them gave."""

    built_in: Sequence[Finding]
    """Under the built-in policy."""
    in_force: Sequence[Finding]
    """Under the policy in force; the same when the site has none of its own."""

    @property
    def cause(self) -> str | None:
        """Why the service is not ready; None when nothing is wrong."""
        silenced = [f for f in self.built_in if not f.as_expected]
        if silenced:
            first = silenced[0]
            return (
                f"{len(silenced)} canary patients are not as expected; {first.name} gave"
                f" {first.came or 'no answer'} in place of {first.expected}"
            )
        broken = [f for f in self.in_force if f.came is None]
        if broken:
            return f"canary patient {broken[0].name} gets no answer under the policy in force"
        return None

    @property
    def wrong(self) -> Sequence[Finding]:
        """Those that no site's policy explains: wrong under the built-in one, or without an answer."""
        unlike = {f.name for f in self.built_in if not f.as_expected}
        return [f for f in self.in_force if f.came is None or f.name in unlike]

    @property
    def decided_by_site(self) -> list[str]:
        """Names of those that only the policy in force answers otherwise."""
        wrong = {f.name for f in self.wrong}
        return [f.name for f in self.in_force if not f.as_expected and f.name not in wrong]


class Canary:
    """Asks the canary patients; the result holds for a minute."""

    def __init__(
        self,
        built_in: Advisor,
        in_force: Advisor,
        note: Callable[[Report], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`note` takes every new report. Raises KnowledgeError when a canary patient is not known."""
        self._calls = list(_calls(built_in))
        self._built_in = built_in
        self._in_force = in_force
        self._note = note
        self._clock = clock
        self._lock = Lock()
        self._report: Report | None = None
        self._until = 0.0

    def report(self) -> Report:
        """What they give now, or gave within the last minute."""
        with self._lock:
            if self._report is None or self._clock() >= self._until:
                self._report = self._ask()
                self._until = self._clock() + _AGAIN_AFTER_SECONDS
                self._note(self._report)
            return self._report

    def _ask(self) -> Report:
        built_in = [_finding(self._built_in, call) for call in self._calls]
        if self._in_force is self._built_in:
            return Report(built_in, built_in)
        return Report(built_in, [_finding(self._in_force, call) for call in self._calls])


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    as_of: date
    """The day of the bundled patients."""
    patients: tuple[CanaryPatient, ...]


class _Call(msgspec.Struct, frozen=True):
    name: str
    expected: str
    hook: str
    body: bytes
    as_of: date


def patients() -> tuple[CanaryPatient, ...]:
    """Every canary patient, its day filled in. Raises KnowledgeError naming file and key."""
    table = convert(read_toml(_FILE), _Table, _FILE)
    return tuple(msgspec.structs.replace(p, as_of=p.as_of or table.as_of) for p in table.patients)


def _calls(advisor: Advisor) -> Iterator[_Call]:
    book = advisor.rulebook
    for patient in patients():
        problem = _problem(patient, book)
        if problem:
            raise KnowledgeError(f"{_FILE}: {patient.name}: {problem}")
        drafts = list(_drafts(patient, book))
        request = next(hook_requests(_bundle(patient), patient.hook, book.terminology, drafts))
        yield _Call(
            patient.name,
            _words(patient.expects, patient.indicator, patient.beside),
            patient.hook,
            msgspec.json.encode(request),
            patient.as_of or date.max,
        )


def _drafts(patient: CanaryPatient, book: Rulebook) -> Iterator[dict[str, Any]]:
    """The order, by its code alone: a name beside it would be understood without the code."""
    if patient.draft is not None and patient.code is not None:
        system, _, code = patient.code.partition("|")
        draft = draft_order(patient.draft, book.drug_list)
        yield {**draft, "medicationCodeableConcept": {"coding": [{"system": system, "code": code}]}}


def _problem(patient: CanaryPatient, book: Rulebook) -> str | None:
    for slug in filter(None, (patient.expects, patient.beside)):
        if slug not in book.situations:
            return f"there is no situation {slug}"
    if patient.draft is not None and patient.draft not in book.drugs:
        return f"there is no drug {patient.draft}"
    if len({patient.draft is None, patient.code is None, patient.hook not in ORDER_HOOKS}) > 1:
        return "an order hook goes with a draft and its code"
    return None


def _bundle(patient: CanaryPatient) -> dict[str, Any]:
    file = resources.files("fhir_fixtures") / "patients" / f"{patient.patient}.json"
    try:
        bundle: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise KnowledgeError(f"{_FILE}: there is no bundled patient {patient.patient}") from error
    return bundle


def _finding(advisor: Advisor, call: _Call) -> Finding:
    try:
        answer = advisor.answer(decode(call.body, (call.hook,)), call.as_of)
    except Exception as error:  # noqa: BLE001  (whatever failed: this patient would get no advice)
        _log.error("canary failed patient=%r fault=%s", call.name, type(error).__name__)
        return Finding(call.name, call.expected, None)
    decision = answer.decision
    found = decision.primary or decision.silence
    cards = answer.response.cards
    came = _words(
        found.slug if found else "nothing",
        cards[0].indicator if cards else None,
        decision.accompanying.slug if decision.accompanying else None,
    )
    return Finding(call.name, call.expected, came)


def _words(slug: str, indicator: str | None, beside: str | None) -> str:
    return f"{slug} ({indicator or 'no card'}{f', beside it {beside}' if beside else ''})"
