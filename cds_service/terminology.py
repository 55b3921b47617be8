"""Codes mean something only together with their system; a value set says what they mean.

A coding belongs to a concept when system and code are listed in that concept's ValueSet. Display
text is never used to recognise anything.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Protocol

import msgspec

LOINC = "http://loinc.org"
SNOMED_CT = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
ATC = "http://www.whocc.no/atc"
NDC = "http://hl7.org/fhir/sid/ndc"

# Systems whose codes are built so that a longer code is a kind of the shorter one.
_HIERARCHICAL = frozenset({ICD_10_CM, ATC})
_SHORTEST_ROOT = 3
_LONGEST_CODE = 12
_NOTHING: tuple[str, ...] = ()
_SYSTEMS = {
    "loinc.org": LOINC,
    "snomed.info/sct": SNOMED_CT,
    "www.nlm.nih.gov/research/umls/rxnorm": RXNORM,
    "hl7.org/fhir/sid/icd-10-cm": ICD_10_CM,
    "www.whocc.no/atc": ATC,
    "hl7.org/fhir/sid/ndc": NDC,
    "urn:oid:2.16.840.1.113883.6.1": LOINC,
    "urn:oid:2.16.840.1.113883.6.96": SNOMED_CT,
    "urn:oid:2.16.840.1.113883.6.88": RXNORM,
    "urn:oid:2.16.840.1.113883.6.90": ICD_10_CM,
}
_LISTED = frozenset(_SYSTEMS.values())
_UNDOTTED = re.compile(r"[A-Z]\d\w\w{1,4}")
_INJURY_CODE = re.compile(r"[A-Z]\d\w\.\w{3}[A-Z]")


class Concept(msgspec.Struct, frozen=True):
    """One code of a value set, with how sure its meaning is."""

    system: str
    code: str
    display: str
    confidence: str


class ValueSet(msgspec.Struct, frozen=True):
    """What one clinical concept is called in the code systems; its id is the concept's name."""

    id: str
    title: str
    concepts: tuple[Concept, ...]
    roots: tuple[tuple[str, str], ...] = ()
    """(system, code) pairs that stand for themselves and every code below them."""


class HasCode(Protocol):
    """A coding, of whatever layer."""

    @property
    def system(self) -> str | None:
        """URI of the code system."""

    @property
    def code(self) -> str | None:
        """Code within the system."""


class Terminology:
    """Which concepts a coding belongs to. Built once; read by every request."""

    def __init__(self, value_sets: Iterable[ValueSet]) -> None:
        self.value_sets: Mapping[str, ValueSet] = {v.id: v for v in value_sets}
        self._exact: dict[tuple[str | None, str | None], tuple[str, ...]] = {}
        self._roots: dict[tuple[str, str], tuple[str, ...]] = {}
        for value_set in self.value_sets.values():
            for concept in value_set.concepts:
                self._add(concept.system, concept.code, value_set.id)
            for system, code in value_set.roots:
                self._add_root(system, code, value_set.id)
        self._beginnings = frozenset((s, code[:_SHORTEST_ROOT]) for s, code in self._roots)

    def concepts(self, system: str | None, code: str | None) -> tuple[str, ...]:
        """The ids of every value set that holds this coding; empty when none does."""
        found = self._exact.get((system, code))
        if found is not None:
            return found
        if not system or not code:
            return _NOTHING
        again = _as_listed(system, code)
        if again != (system, code):
            return self.concepts(*again)
        if system == NDC:
            return self._exact.get((NDC, _ndc_product(code)), _NOTHING)
        if system in _HIERARCHICAL:
            return self._ancestors(system, code)
        return _NOTHING

    def of(self, codings: Sequence[HasCode] | None) -> tuple[str, ...]:
        """The value sets that hold any of these codings."""
        if not codings:
            return _NOTHING
        if len(codings) == 1:
            return self.concepts(codings[0].system, codings[0].code)
        return tuple(chain.from_iterable(self.concepts(c.system, c.code) for c in codings))

    def codings(self, *value_set_ids: str) -> list[Concept]:
        """Every concept of these value sets, in file order."""
        return [c for i in value_set_ids for c in self.value_sets[i].concepts]

    def _add(self, system: str, code: str, value_set_id: str) -> None:
        key = (system, _ndc_product(code) if system == NDC else code)
        self._exact[key] = (*self._exact.get(key, _NOTHING), value_set_id)
        if system == ICD_10_CM and _INJURY_CODE.fullmatch(code):
            # The seventh character tells the encounter (A first, D later, S sequel), not the injury.
            self._add_root(system, code[:-1], value_set_id)

    def _add_root(self, system: str, code: str, value_set_id: str) -> None:
        known = self._roots.get((system, code), _NOTHING)
        if value_set_id not in known:
            self._roots[(system, code)] = (*known, value_set_id)

    def _ancestors(self, system: str, code: str) -> tuple[str, ...]:
        if (system, code[:_SHORTEST_ROOT]) not in self._beginnings:
            return _NOTHING
        for length in range(min(len(code), _LONGEST_CODE), _SHORTEST_ROOT - 1, -1):
            found = self._roots.get((system, code[:length]))
            if found is not None:
                return found
        return _NOTHING


def _as_listed(system: str, code: str) -> tuple[str, str]:
    """System and code as value sets write them: asked only when the coding as sent is not known."""
    if system not in _LISTED:
        system = system.strip().split("|", 1)[0].rstrip("/")
        system = _SYSTEMS.get(system.removeprefix("https://").removeprefix("http://"), system)
    code = code.strip()
    if system == ICD_10_CM and _UNDOTTED.fullmatch(code):
        code = f"{code[:3]}.{code[3:]}"
    return system, code


def _ndc_product(code: str) -> str:
    """Labeler and product of an NDC as nine digits; the package is left off.

    Accepts `55513-710`, `55513-710-01` and the 11-digit billing form. A 10-digit code without
    hyphens is ambiguous and stays as it is, so it matches nothing.
    """
    parts = code.split("-")
    if len(parts) in (2, 3) and all(p.isdigit() for p in parts):
        return parts[0].zfill(5) + parts[1].zfill(4)
    if len(code) == 11 and code.isdigit():
        return code[:9]
    return code
