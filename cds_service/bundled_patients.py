"""The synthetic patients that come with the service, each with a one-line story. Nobody is real."""

import json
from functools import cache
from importlib import resources
from typing import Any

import msgspec


class Story(msgspec.Struct, frozen=True):
    """One bundled patient."""

    name: str
    """Id of the Patient and stem of the file."""
    story: str
    situation: str
    """Slug of what is found when the chart is opened."""
    beside: str | None = None


@cache
def stories() -> tuple[Story, ...]:
    """Every bundled patient, in the order of the decision table; ways of writing come last."""
    text = resources.files("fhir_fixtures").joinpath("index.json").read_text(encoding="utf-8")
    return msgspec.json.decode(text, type=tuple[Story, ...])


def chart(name: str) -> dict[str, Any]:
    """The FHIR Bundle of one of them, a fresh copy. Raises KeyError for any other name."""
    if all(name != story.name for story in stories()):
        raise KeyError(name)
    file = resources.files("fhir_fixtures") / "patients" / f"{name}.json"
    bundle: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return bundle
