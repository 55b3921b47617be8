"""What an Observation is by its code: a result of one kind, a part of ALP, or another fact."""

from functools import lru_cache

import msgspec

ALP = "alp-total"
NOT_TOTAL_ALP = "alp-not-total"
RESULTS = frozenset(
    [
        "alp-bone-specific",
        "plp",
        "pea-urine",
        "calcium-total",
        "potassium",
        "phosphate",
        "magnesium",
        "zinc",
        "vitamin-b12",
        "tsh",
        "pth",
        "ggt",
        "bilirubin",
        "alt",
        "ast",
    ]
)
_RESULTS = RESULTS | {ALP}


class Kind(msgspec.Struct, frozen=True):
    """What an Observation or a component is by the concepts of its code."""

    result: str | None = None
    is_alp_like: bool = False
    is_fraction: bool = False
    """A part of ALP, which stays one even when a total-ALP code stands beside it."""
    is_known: bool = True


OTHER = Kind()
"""A fact that is no measured value, such as a pregnancy or an ALPL result."""


@lru_cache(maxsize=1024)
def kind_of(concepts: tuple[str, ...]) -> Kind:
    """The kind that the concepts of one code make."""
    fraction = NOT_TOTAL_ALP in concepts and "alp-bone-specific" not in concepts
    return Kind(
        result=None if fraction else next((c for c in concepts if c in _RESULTS), None),
        is_alp_like=ALP in concepts or NOT_TOTAL_ALP in concepts,
        is_fraction=fraction,
        is_known=bool(concepts),
    )
