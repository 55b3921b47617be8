"""What `evaluate` is given: hook requests, patient Bundles, or folders of either."""

import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import click
import msgspec

from cds_service.ehr import NotAPatientBundle, draft_order, hook_requests
from cds_service.hooks.request import ORDER_HOOKS, ORDER_SIGN, PATIENT_VIEW
from cds_service.rulebook import Rulebook

STANDARD_INPUT = "-"


class BadInput(ValueError):
    """A file that cannot be evaluated; the text names it and says what is wrong."""


class _Alien(BadInput):
    """A file that is neither a hook request nor a Bundle."""


class Case(msgspec.Struct, frozen=True):
    """One call to evaluate."""

    name: str
    hook: str
    body: bytes
    taken: date | None
    """The day of the snapshot, when the Bundle has a timestamp."""


class Asked(msgspec.Struct, frozen=True):
    """How Bundles are to be turned into calls."""

    hook: str | None
    """None: as the file says, patient-view for a Bundle."""
    draft: str | None = None
    """Key of the drug to be drafted at an order hook."""
    end_draft: bool = False
    """The drafted order is one that ends the drug."""


def cases(names: tuple[str, ...], asked: Asked, rulebook: Rulebook) -> Iterator[Case]:
    """Every call in the named files. Raises BadInput on the first that cannot be read.

    What a folder holds besides hook requests and Bundles is named on standard error and left out.
    """
    for name in names:
        if name == STANDARD_INPUT:
            yield from _cases("standard input", sys.stdin.buffer.read(), asked, rulebook)
        elif Path(name).is_dir():
            yield from _of_folder(Path(name), asked, rulebook)
        else:
            yield from _cases(name, _content(Path(name)), asked, rulebook)


def _of_folder(folder: Path, asked: Asked, rulebook: Rulebook) -> Iterator[Case]:
    files = sorted(folder.glob("*.json"))
    if not files:
        raise BadInput(f"{folder}: the folder holds no .json file")
    usable = 0
    for file in files:
        try:
            yield from _cases(str(file), _content(file), asked, rulebook)
            usable += 1
        except _Alien as error:
            click.echo(f"Left out: {error}", err=True)
    if not usable:
        raise BadInput(f"{folder}: the folder holds neither a hook request nor a FHIR Bundle")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file}: cannot be read ({error.strerror})") from error


def _cases(name: str, content: bytes, asked: Asked, rulebook: Rulebook) -> Iterator[Case]:
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{name}: not valid JSON") from error
    if not isinstance(value, dict):
        raise _Alien(f"{name}: neither a hook request nor a FHIR Bundle")
    if "hook" in value:
        if asked.draft is not None:
            raise BadInput(f"{name}: --draft goes with a patient Bundle, not with a hook request")
        if asked.hook is not None:
            value["hook"] = asked.hook
            content = msgspec.json.encode(value)
        yield Case(name, str(value["hook"]), content, None)
    elif value.get("resourceType") == "Bundle":
        yield from _bundle(name, value, asked, rulebook)
    else:
        raise _Alien(f"{name}: neither a hook request nor a FHIR Bundle")


def _bundle(
    name: str, bundle: Mapping[str, Any], asked: Asked, rulebook: Rulebook
) -> Iterator[Case]:
    hook = asked.hook or (ORDER_SIGN if asked.draft else PATIENT_VIEW)
    if asked.draft is not None and hook not in ORDER_HOOKS:
        raise BadInput(f"--draft goes with {' or '.join(ORDER_HOOKS)}, not with {hook}")
    if asked.draft is None and hook in ORDER_HOOKS:
        raise BadInput(f"{name}: at {hook} name the drug being ordered with --draft")
    drafts = (
        [draft_order(asked.draft, rulebook.drug_list, ended=asked.end_draft)] if asked.draft else []
    )
    try:
        for request in hook_requests(bundle, hook, rulebook.terminology, drafts):
            yield Case(name, hook, msgspec.json.encode(request), _taken(bundle))
    except NotAPatientBundle as error:
        raise BadInput(f"{name}: {error}") from error


def _taken(bundle: Mapping[str, Any]) -> date | None:
    try:
        return date.fromisoformat(str(bundle.get("timestamp", ""))[:10])
    except ValueError:
        return None
