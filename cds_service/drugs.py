"""The drugs that the rules know, and how one is recognised: by code first, by name where there is none."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from cds_service.terminology import ATC, Concept, HasCode, Terminology

Action = Literal[
    "bisphosphonate",
    "zoledronate",
    "pamidronate",
    "denosumab",
    "asfotase",
    "vitamin-b6",
    "lowers-alp",
]
ANTIRESORPTIVE_ACTIONS = frozenset({"bisphosphonate", "zoledronate", "pamidronate", "denosumab"})
GIVEN_AS_DOSES = frozenset({"zoledronate", "pamidronate", "denosumab"})
ONCOLOGY_DOSE = "oncology-dose-antiresorptive"
_LONGEST_NAME = 200
INJECTED = "ibandronate-injection"
_BEGINNING = 4
_BEGINNINGS = re.compile(r"([a-z]{4})[a-z]*")
UNSPECIFIED = "bisphosphonate-unspecified"


class Drug(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One drug, or one class that the rules treat alike."""

    label: str
    action: Action
    names: tuple[str, ...]
    value_set: str | None = None
    oncology_units: int | None = None
    """Units of an HCPCS code that is billed by the milligram, at the dose used in malignancy."""

    @property
    def is_antiresorptive(self) -> bool:
        """Whether it is a bisphosphonate or denosumab."""
        return self.action in ANTIRESORPTIVE_ACTIONS

    @property
    def given_as_doses(self) -> bool:
        """Whether it is only ever injected: each handing over is one dose, however long it lasts."""
        return self.action in GIVEN_AS_DOSES


class Recognised(msgspec.Struct, frozen=True):
    """What a medication concept turned out to be."""

    drug: str
    text_only: bool
    oncology_dose: bool
    injected: bool = False


class DrugList:
    """Every known drug by key, with the index that finds it in a coding or a name."""

    def __init__(self, drugs: Mapping[str, Drug], terminology: Terminology) -> None:
        self._drugs = drugs
        self._terminology = terminology
        self._by_value_set = {d.value_set: key for key, d in drugs.items() if d.value_set}
        self._by_name = {name: key for key, d in drugs.items() for name in d.names}
        self._beginnings = frozenset(name[:_BEGINNING] for name in self._by_name)
        longest_first = sorted(self._by_name, key=len, reverse=True)
        self._names = re.compile("(?<![a-z0-9])(" + "|".join(map(re.escape, longest_first)) + ")")

    def __getitem__(self, key: str) -> Drug:
        return self._drugs[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._drugs)

    def example(self, key: str) -> Concept | None:
        """A code that stands for a drug at any dose; None for those known by name only."""
        value_set = self._drugs[key].value_set
        concepts = self._terminology.value_sets[value_set].concepts if value_set else ()
        return next((c for c in concepts if c.system == ATC), None)

    def by_codes(self, codings: Sequence[HasCode]) -> Recognised | None:
        """The drug that any of these codings names; a named drug wins over a class."""
        found: str | None = None
        oncology_dose = injected = False
        for concept in self._terminology.of(codings):
            if concept == ONCOLOGY_DOSE:
                oncology_dose = True
            elif concept == INJECTED:
                injected = True
            key = self._by_value_set.get(concept)
            if key is not None and (found is None or found == UNSPECIFIED):
                found = key
        return Recognised(found, False, oncology_dose, injected) if found else None

    def by_name(self, text: str | None, *, at_start: bool = False) -> Recognised | None:
        """The drug that a free text names at the start of a word, from the fixed list of names.

        `at_start`: only as its first word, for texts that may speak of more than one thing.
        """
        if not text:
            return None
        lowered = _plain(text[:_LONGEST_NAME])
        # Most drugs are none of ours: the beginnings of the words tell that faster than the search.
        if self._beginnings.isdisjoint(_BEGINNINGS.findall(lowered)):
            return None
        found = self._names.match(lowered.lstrip()) if at_start else self._names.search(lowered)
        return Recognised(self._by_name[found[1]], True, False) if found else None


def _plain(text: str) -> str:
    """Lower case without accents: drug names are written in many languages."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKD", text.lower())
    return "".join(c for c in folded if not unicodedata.combining(c))
