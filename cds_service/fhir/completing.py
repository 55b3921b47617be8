"""Prefetch completed from the EHR's own FHIR server: what was omitted is fetched, side by side.

Satisfied keys, null and OperationOutcomes are left as they are, except that a prefetched Bundle of
several pages is followed. What is fetched goes the same way as what was prefetched.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import msgspec

from cds_service.bases import Base
from cds_service.fhir.budget import FetchFailed
from cds_service.fhir.bundles import Decoded
from cds_service.fhir.client import FhirClient
from cds_service.fhir.paging import decoded_answer, followed
from cds_service.fhir.prefetch import Value, Values, judged
from cds_service.fhir.referenced import NO_REFERENCES, Referenced, References, resolved
from cds_service.fhir.scopes import Coverage, Scopes
from cds_service.fhir.templates import ALP, PATIENT, parameters

_Result = TypeVar("_Result")
_log = logging.getLogger("cds_service")


class FhirServer:
    """The FHIR server of one call, asked with the token of that call and within its budget."""

    def __init__(self, client: FhirClient, scopes: Scopes, threads: ThreadPoolExecutor) -> None:
        self._client = client
        self._scopes = scopes
        self._threads = threads

    @property
    def base(self) -> Base:
        """Where the server is."""
        return self._client.base

    def __enter__(self) -> "FhirServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.budget.end()

    def patient(self, patient_id: str) -> msgspec.Raw:
        """The Patient as the server sends it. Raises FetchFailed, or TokenRefused, which is one."""
        self._granted(self._scopes.read("Patient"), "Patient")
        reading = {"Patient": lambda: self._client.read("Patient", patient_id)}
        found = self._side_by_side(reading)["Patient"]
        if isinstance(found, FetchFailed):
            raise found
        return msgspec.Raw(found.body)

    def complete(
        self,
        values: Values,
        templates: Mapping[str, str],
        patient_id: str,
        references: References = NO_REFERENCES,
    ) -> tuple[dict[str, Value], Referenced]:
        """The omitted keys among `templates` fetched, paged Bundles followed, `references` resolved."""
        tasks: dict[str, Callable[[], Value]] = {}
        for key, value in values.items():
            if value.state == "omitted" and key in templates:
                tasks[key] = self._fetching(key, templates[key], patient_id)
            elif value.state == "satisfied" and value.decoded.next_page and not value.cut:
                tasks[key] = self._following(key, value)
        asked: dict[str, Callable[[], Value | Decoded]] = {**tasks}
        for number, (kind, ids) in enumerate(references.batches()):
            asked[f"{kind} {number}"] = self._by_id(kind, ids)
        found = self._side_by_side(asked)
        completed = dict(values)
        for key in tasks:
            completed[key] = _result(values[key], found.pop(key))
            problem = completed[key].cut or completed[key].cause
            if problem:
                _log.info("fetch key=%s problem=%s", key, problem)
        return completed, resolved(found)

    def _by_id(self, kind: str, ids: Sequence[str]) -> Callable[[], Decoded]:
        def search() -> Decoded:
            self._granted(self._scopes.search(kind), kind)
            answer = self._client.search(kind, [("_id", ",".join(ids))])
            found, cut = followed(self._client, decoded_answer(answer, kind), answer.url, kind)
            if cut or (found.outcome and not found.entries):
                raise FetchFailed(cut or "the FHIR server could not look")
            return found

        return search

    def _side_by_side(
        self, tasks: Mapping[str, Callable[[], _Result]]
    ) -> dict[str, _Result | FetchFailed]:
        """The results of all tasks, or why there is none; never later than the budget allows."""
        budget = self._client.budget
        futures: dict[str, Future[_Result]] = {
            name: self._threads.submit(task) for name, task in tasks.items()
        }
        wait(futures.values(), timeout=budget.left)
        found: dict[str, _Result | FetchFailed] = {}
        for name, future in futures.items():
            if not future.done():
                future.cancel()
                found[name] = budget.spent()
                continue
            try:
                found[name] = future.result()
            except FetchFailed as failure:
                found[name] = failure
        return found

    def _fetching(self, key: str, template: str, patient_id: str) -> Callable[[], Value]:
        kind, query = parameters(template, patient_id)
        if key == PATIENT:
            return lambda: self._read(key, kind.partition("/")[0], patient_id)
        return lambda: self._search(key, kind, query)

    def _following(self, key: str, value: Value) -> Callable[[], Value]:
        def follow() -> Value:
            url = f"{self._client.base.url}/"
            found, cut = followed(self._client, value.decoded, url, key)
            return msgspec.structs.replace(value, decoded=found, cut=cut)

        return follow

    def _read(self, key: str, kind: str, identity: str) -> Value:
        self._granted(self._scopes.read(kind), kind)
        return _fetched(decoded_answer(self._client.read(kind, identity), key), key, "")

    def _search(self, key: str, kind: str, query: list[tuple[str, str]]) -> Value:
        coverage = self._scopes.search(kind)
        self._granted(coverage, kind)
        answer = self._client.search(kind, query)
        found, cut = followed(self._client, decoded_answer(answer, key), answer.url, key)
        if coverage == "part":
            cut = cut or f"the scope of the token covers only some resources of type {kind}"
            if not found.entries:
                raise FetchFailed(f"{cut}, and there was nothing among them")
        if cut and key == ALP:
            raise FetchFailed(cut)  # required, so it has to be whole
        return _fetched(found, key, cut)

    def _granted(self, coverage: Coverage, kind: str) -> None:
        if coverage == "none":
            raise FetchFailed(f"the scope of the token does not grant {kind}")


def _fetched(decoded: Decoded, key: str, cut: str) -> Value:
    value = judged(decoded, key)
    if value.state == "failed":
        return msgspec.structs.replace(
            value,
            fetched=True,
            cause=f"was not sent, and what the FHIR server answered {value.cause}",
        )
    return msgspec.structs.replace(value, fetched=True, cut=cut)


def _result(before: Value, found: Value | Decoded | FetchFailed) -> Value:
    """What a key came to be: fetched, cut off, or still missing for a reason."""
    if isinstance(found, Value):
        return found
    if before.state == "satisfied":
        return msgspec.structs.replace(before, cut=str(found))
    cause = f"was not sent, and could not be fetched: {found}"
    return Value("failed", cause=cause, fetched=True)
