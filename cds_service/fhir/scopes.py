"""What a token grants, read from its SMART scopes: version 1 (`.read`) and version 2 (`.rs`)."""

import re
from typing import Literal

import msgspec

Coverage = Literal["all", "part", "none"]

_SCOPE = re.compile(
    r"(?:patient|user|system)/(?P<kind>\*|[A-Z][A-Za-z]+)"
    r"\.(?P<rights>read|write|\*|(?=[cruds])c?r?u?d?s?)(?P<filter>\?.+)?"
)
_SPELT_OUT = {"read": "rs", "write": "cud", "*": "cruds"}


class Scopes(msgspec.Struct, frozen=True):
    """Rights by resource type. Scopes that name no resources, such as `launch`, are left aside."""

    granted: tuple[tuple[str, str, bool], ...] | None = None
    """Type or `*`, rights of `cruds`, whether a filter narrows them; None: nothing was said."""

    def search(self, kind: str) -> Coverage:
        """Whether a search for resources of this type is granted; `part` when only for some of them."""
        return self._right("s", kind)

    def read(self, kind: str) -> Coverage:
        """Whether reading a resource of this type by its id is granted."""
        return self._right("r", kind)

    def _right(self, right: str, kind: str) -> Coverage:
        if self.granted is None:
            return "all"
        filtered = [f for k, rights, f in self.granted if k in ("*", kind) and right in rights]
        if not filtered:
            return "none"
        return "part" if all(filtered) else "all"


def read_scopes(text: str | None) -> Scopes:
    """The scopes in a space-separated text; None and empty say nothing of what is granted."""
    if not text or not text.strip():
        return Scopes()
    found = []
    for word in text.split():
        scope = _SCOPE.fullmatch(word)
        if scope is not None:
            rights = _SPELT_OUT.get(scope["rights"], scope["rights"])
            found.append((scope["kind"], rights, scope["filter"] is not None))
    return Scopes(tuple(found))
