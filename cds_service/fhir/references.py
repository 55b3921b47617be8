"""Finding the resource that a reference means, and no other of the same id."""

import re
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from cds_service.fhir import resources as r

_Resource = TypeVar("_Resource", r.Medication, r.Specimen)
_VERSION = re.compile(r"/_history/[^/]*$")
FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def without_version(reference: str) -> str:
    """The reference to the resource, whatever its version."""
    return _VERSION.sub("", reference)


def redirected(value: Any, addresses: Mapping[str, str]) -> Any:
    """Any JSON with the references that are among `addresses` replaced by what stands there."""
    if isinstance(value, dict):
        return {
            key: addresses.get(inner, inner)
            if key == "reference" and isinstance(inner, str)
            else redirected(inner, addresses)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [redirected(inner, addresses) for inner in value]
    return value


class Referred(Generic[_Resource]):
    """Resources by every name under which a reference may mean them. The first of a name counts."""

    def __init__(self) -> None:
        self._by_name: dict[str, _Resource] = {}
        self._unaddressed: dict[str, _Resource] = {}

    def add(self, resource: _Resource, full_url: str | None) -> None:
        """Make a resource known by its relative name and by its address, where it has one."""
        relative = f"{type(resource).__name__}/{resource.id}" if resource.id else None
        if full_url:
            self._by_name.setdefault(full_url, resource)
        if relative is not None:
            self._by_name.setdefault(relative, resource)
            if not full_url:
                self._unaddressed.setdefault(relative, resource)

    def get(self, reference: str) -> _Resource | None:
        """The resource meant. An absolute reference to another server's resource means no local one."""
        target = without_version(reference)
        found = self._by_name.get(target)
        if found is not None or "://" not in target:
            return found
        return self._unaddressed.get("/".join(target.rsplit("/", 2)[-2:]))
