"""What somebody who has to answer for the service asks: what it is for, made of, and may do wrong."""

from collections.abc import Collection
from datetime import date

import msgspec

from cds_service.errors import KnowledgeError
from cds_service.rulebook.files import KNOWLEDGE, convert, read_toml


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one version of the knowledge changed."""

    version: str
    date: date
    text: str


class Hazard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that may go wrong for a patient, and what stands against it."""

    hazard: str
    controls: tuple[str, ...]
    situations: tuple[str, ...] = ()
    """Situations that are such a control."""


class Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One heading with what is to be said under it."""

    title: str
    points: tuple[str, ...]


class SourceAttributes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The service described for those who decide whether to use it."""

    topics: tuple[Topic, ...]
    hazards: tuple[Hazard, ...]


def read_source_attributes(situations: Collection[str]) -> SourceAttributes:
    """Raises KnowledgeError when it speaks of a situation that is not there."""
    path = KNOWLEDGE / "source_attributes.toml"
    found = convert(read_toml(path), SourceAttributes, path)
    for hazard in found.hazards:
        for slug in hazard.situations:
            if slug not in situations:
                raise KnowledgeError(f"{path}: {hazard.hazard!r}: there is no situation {slug}")
    return found


def read_changes(version: str) -> tuple[Change, ...]:
    """Every version, the latest first. Raises KnowledgeError when that is not the one in force."""
    path = KNOWLEDGE / "changes.toml"
    changes = convert(read_toml(path), _Changes, path).changes
    if not changes or changes[0].version != version:
        raise KnowledgeError(
            f"{path}: the first entry is to be that of knowledge version {version}"
        )
    return changes


class _Changes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    changes: tuple[Change, ...]
