"""Reading the files under `knowledge/` and a site's policy, with messages that name file and key."""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cds_service.drugs import Drug
from cds_service.errors import KnowledgeError
from cds_service.policy import Policy
from cds_service.quantity import Units
from cds_service.terminology import Concept, ValueSet

KNOWLEDGE = Path(__file__).parent.parent / "knowledge"
_T = TypeVar("_T")
_UNKNOWN = re.compile(r"unknown field `([^`]+)`(?: - at `\$\.?([^`]*)`)?")


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file, numbers exact."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise KnowledgeError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise KnowledgeError(f"{path}: not valid TOML: {error}") from error


def convert(value: object, kind: type[_T], path: Path, where: str = "") -> _T:
    """A checked value of that type; the message names file, key and what would be right."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, ArithmeticError) as error:
        raise KnowledgeError(_explain(error, kind, path, where)) from error


def read_table(name: str, kind: type[_T], *, single: bool = False) -> dict[str, _T]:
    """A knowledge file of one table per key, or of one table under its own name."""
    path = KNOWLEDGE / name
    tables = read_toml(path)
    if single:
        return {path.stem: convert(tables, kind, path)}
    return {key: convert(table, kind, path, key) for key, table in tables.items()}


def read_drugs() -> dict[str, Drug]:
    """The drugs that the rules know."""
    return read_table("drugs.toml", Drug)


def read_units() -> dict[str, Units]:
    """The accepted unit spellings by analyte."""
    return read_table("units.toml", Units)


def read_policy(site_policy: Path | None) -> Policy:
    """The built-in policy with a site's own file laid over it."""
    built_in = KNOWLEDGE / "policy.toml"
    tables = read_toml(built_in)
    policy = convert(tables, Policy, built_in)
    if site_policy is None:
        return policy
    site = read_toml(site_policy)
    if site.get("version") is None:
        site["version"] = f"{policy.version}+site"
    return convert(_laid_over(tables, site), Policy, site_policy)


def site_changes(site_policy: Path | None) -> list[str]:
    """What a site's policy changes beside its switches, a line each, with the built-in value."""
    if site_policy is None:
        return []
    built_in = _flat(read_toml(KNOWLEDGE / "policy.toml"))
    site = _flat(read_toml(site_policy))
    return [
        f"{key} = {value} (built-in: {built_in.get(key, 'none')})"
        for key, value in site.items()
        if built_in.get(key) != value and not key.startswith(("version", "situations."))
    ]


def _flat(tables: Any, prefix: str = "") -> dict[str, str]:
    if not isinstance(tables, dict):
        return {prefix: _in_words(tables)}
    found: dict[str, str] = {}
    for key, value in tables.items():
        found |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return found


def _in_words(value: Any) -> str:
    """A list of tables as `key value, key value; ...`, anything else as TOML has it, nearly."""
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return "; ".join(", ".join(f"{k} {v}" for k, v in row.items()) for row in value)
    return str(value)


def read_value_sets() -> dict[str, ValueSet]:
    """Every ValueSet by id."""
    found = {}
    for path in sorted((KNOWLEDGE / "value_sets").glob("*.json")):
        value_set = _value_set(json.loads(path.read_text(encoding="utf-8")))
        if value_set.id != path.stem:
            raise KnowledgeError(f"{path}: id is {value_set.id}, not the name of the file")
        found[value_set.id] = value_set
    return found


def site_codes(
    value_sets: Mapping[str, ValueSet], policy: Policy, site_policy: Path | None
) -> list[ValueSet]:
    """The value sets with the site's local codes added."""
    extended = dict(value_sets)
    for local in policy.local_codes:
        value_set = extended.get(local.value_set)
        if value_set is None:
            near = difflib.get_close_matches(local.value_set, extended, 3)
            raise KnowledgeError(
                f"{site_policy}: local_codes: there is no value set {local.value_set}"
                + (f"; did you mean {' or '.join(near)}?" if near else "")
            )
        added = Concept(local.system, local.code, local.display or local.code, "site")
        extended[local.value_set] = msgspec.structs.replace(
            value_set, concepts=(*value_set.concepts, added)
        )
    return list(extended.values())


def _laid_over(below: Any, above: Any) -> Any:
    """Tables are merged key by key; anything else is replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        merged = dict(below)
        for key, value in above.items():
            merged[key] = _laid_over(below.get(key), value)
        return merged
    return above


def _value_set(resource: Mapping[str, Any]) -> ValueSet:
    concepts: list[Concept] = []
    roots: list[tuple[str, str]] = []
    for include in resource["compose"]["include"]:
        system = include["system"]
        roots += [(system, f["value"]) for f in include.get("filter", ()) if f["op"] == "is-a"]
        for concept in include.get("concept", ()):
            confidence = next(
                e["valueCode"] for e in concept["extension"] if e["url"].endswith("/confidence")
            )
            concepts.append(Concept(system, concept["code"], concept["display"], confidence))
    return ValueSet(resource["id"], resource["title"], tuple(concepts), tuple(roots))


def _explain(error: Exception, kind: type, path: Path, where: str) -> str:
    text = str(error)
    unknown = _UNKNOWN.search(text)
    prefix = f"{path}: [{where}] " if where else f"{path}: "
    if unknown is None:
        return prefix + text.replace("`$.", "`")
    key, table = unknown[1], unknown[2] or ""
    known = _fields(kind, table)
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"{prefix}unknown key {f'{table}.' if table else ''}{key}; {hint}"


def _fields(kind: Any, table: str) -> list[str]:
    """The keys that a table of a struct may have."""
    for name in filter(None, table.split(".")):
        field = re.sub(r"\[.*\]", "", name)
        kind = _struct({f.name: f.type for f in msgspec.structs.fields(kind)}.get(field))
    return [f.name for f in msgspec.structs.fields(kind)]


def _struct(annotation: Any) -> Any:
    """The struct within a type such as `Annotated[tuple[Struct, ...], ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    found = (_struct(inner) for inner in getattr(annotation, "__args__", ()))
    return next((f for f in found if f is not None), None)
