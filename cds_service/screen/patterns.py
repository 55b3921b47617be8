r"""What a line must hold to matter, as patterns over its raw bytes.

A pattern may find too much, never too little: a code counts wherever it stands and however it is
dotted, and a line in which ASCII characters hide behind \u escapes is always looked at. Lines about
drugs are all looked at, because a drug may be named in words.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from cds_service.fhir.result_kinds import RESULTS
from cds_service.terminology import ATC, ICD_10_CM, NDC, Concept, Terminology

# Patient, Medication…, Specimen, Encounter and Bundle; two letters are found faster than the word.
_ALWAYS = r'"resourceType"\s*:\s*"(?:Pa|Me|Sp|En|Bu)'
# An ASCII character, or a space, that hides behind an escape.
_ESCAPED = r"\\u(?:00(?:[2-7][0-9A-Fa-f]|85|[Aa]0)|1680|20[02][0-9A-Fa-f]|205[Ff]|3000)"
_ORDERABLE = "orderables"
_CUT_OFF = (r"[^}\r]\n", r"[^}]\r", r"\n[^{]")
_PREFIXED = frozenset({ICD_10_CM, ATC})
_PLAIN = re.compile(r"[A-Za-z0-9.\-]+")
_SEVENTH = re.compile(r"[A-Z]\d\w\.\w{3}[A-Z]")


class Pattern(msgspec.Struct, frozen=True):
    """One expression over raw bytes."""

    expression: str
    late: bool = False
    """The line is needed only when a rule asks for such a result."""
    odd: bool = False
    """The line is not a JSON object from `{` to `}`."""


def patterns(terminologies: Iterable[Terminology]) -> list[Pattern]:
    """The patterns for every code that any of these terminologies knows."""
    found: dict[str, bool] = {}
    for terminology in terminologies:
        for value_set in terminology.value_sets.values():
            late = value_set.id in RESULTS or value_set.id == _ORDERABLE
            expressions = [e for c in value_set.concepts for e in _expressions(c)]
            expressions += [_dotless(code) for _, code in value_set.roots]
            for expression in expressions:
                found[expression] = found.get(expression, True) and late
    return [
        *(Pattern(e, late) for e, late in sorted(found.items())),
        Pattern(_ALWAYS),
        Pattern(_ESCAPED),
        *(Pattern(e, odd=True) for e in _CUT_OFF),
    ]


def _expressions(concept: Concept) -> Iterator[str]:
    code = concept.code.strip()
    if concept.system == NDC:
        yield from _ndc(code)
    elif concept.system in _PREFIXED:
        yield _dotless(code[:-1] if _SEVENTH.fullmatch(code) else code)
    elif _PLAIN.fullmatch(code):
        yield re.escape(code)
    else:
        yield _longest_piece(code)


def _dotless(code: str) -> str:
    """ICD codes are sent without their dot as well; longer codes are kinds of the shorter one."""
    return re.escape(code).replace(r"\.", r"\.?")


def _ndc(code: str) -> Iterator[str]:
    """Labeler and product with or without hyphen and leading zeros."""
    labeler, hyphen, product = code.partition("-")
    if not hyphen:
        labeler, product = code[:5], code[5:9]
    else:
        product = product.partition("-")[0]
    yield f"0*{labeler.lstrip('0')}-0*{product.lstrip('0')}"
    yield f"{labeler.zfill(5)}{product.zfill(4)}"
    yield f"{re.escape(code)}"


def _longest_piece(code: str) -> str:
    """A site's own code may hold characters that JSON writes in more than one way."""
    pieces = _PLAIN.findall(code)
    return re.escape(max(pieces, key=len)) if pieces else r"[\x80-\xff]|\\u"
