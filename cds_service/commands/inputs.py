"""What `evaluate` is given: hook requests, patient Bundles, or folders of either."""

import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from cds_service.ehr import NotAPatientBundle, hook_requests
from cds_service.hooks.request import PATIENT_VIEW
from cds_service.terminology import Terminology

STANDARD_INPUT = "-"


class BadInput(ValueError):
    """A file that cannot be evaluated; the text names it and says what is wrong."""


class Case(msgspec.Struct, frozen=True):
    """One call to evaluate."""

    name: str
    hook: str
    body: bytes
    taken: date | None
    """The day of the snapshot, when the Bundle has a timestamp."""


def cases(names: tuple[str, ...], hook: str | None, terminology: Terminology) -> Iterator[Case]:
    """Every call in the named files. Raises BadInput on the first that cannot be read."""
    for name, content in _contents(names):
        yield from _cases(name, content, hook, terminology)


def _contents(names: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        if name == STANDARD_INPUT:
            yield "standard input", sys.stdin.buffer.read()
            continue
        path = Path(name)
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files:
            raise BadInput(f"{name}: the folder holds no .json file")
        for file in files:
            try:
                yield str(file), file.read_bytes()
            except OSError as error:
                raise BadInput(f"{file}: cannot be read ({error.strerror})") from error


def _cases(name: str, content: bytes, hook: str | None, terminology: Terminology) -> Iterator[Case]:
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{name}: not valid JSON") from error
    if not isinstance(value, dict):
        raise BadInput(f"{name}: neither a hook request nor a FHIR Bundle")
    if "hook" in value:
        if hook is not None:
            value["hook"] = hook
            content = msgspec.json.encode(value)
        yield Case(name, str(value["hook"]), content, None)
    elif value.get("resourceType") == "Bundle":
        asked = hook or PATIENT_VIEW
        try:
            for request in hook_requests(value, asked, terminology):
                yield Case(name, asked, msgspec.json.encode(request), _taken(value))
        except NotAPatientBundle as error:
            raise BadInput(f"{name}: {error}") from error
    else:
        raise BadInput(f"{name}: neither a hook request nor a FHIR Bundle")


def _taken(bundle: Mapping[str, Any]) -> date | None:
    try:
        return date.fromisoformat(str(bundle.get("timestamp", ""))[:10])
    except ValueError:
        return None
