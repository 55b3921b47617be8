"""Blocks of raw lines in, the lines that can matter out: each with the patient it belongs to.

The first look is over raw bytes, at the speed of a text search. Only a line that holds a pattern is
decoded, and only as far as to say whose it is. What cannot be read is kept with its reason.
"""

from collections.abc import Iterable, Iterator
from operator import itemgetter

import hyperscan
import msgspec

from cds_service.screen.lines import Line, LineReader, Reject
from cds_service.screen.patterns import Pattern, patterns
from cds_service.terminology import Terminology

_BOM = b"\xef\xbb\xbf"
_PATTERN = itemgetter(1)


class Sieve:
    """Finds the lines that any of the rulebooks could use."""

    def __init__(self, terminologies: Iterable[Terminology], reader: LineReader) -> None:
        self._patterns = patterns(terminologies)
        self._late = [p.late for p in self._patterns]
        self._odd = frozenset(n for n, p in enumerate(self._patterns) if p.odd)
        self._reader = reader
        self._database = _compiled(self._patterns)
        self._scratch = hyperscan.Scratch(self._database)
        self._found: list[tuple[int, int]] = []

    def document(self, content: bytes) -> Iterator[Line | Reject]:
        """What matters in a file that is one JSON document, or lines after all."""
        stripped = content.strip().removeprefix(_BOM)
        if not stripped:
            return
        try:
            msgspec.json.decode(stripped, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError):
            yield from self.block(stripped + b"\n")
            return
        yield from self._reader.read(stripped, late=False)

    def block(self, block: bytes) -> Iterator[Line | Reject]:
        """What matters in a block of whole lines."""
        if not block.endswith(b"\n"):
            block += b"\n"
        marks = self.marks(block)
        if block[:1] != b"{" or not self._odd.isdisjoint(map(_PATTERN, marks)):
            yield from self._line_by_line(block)
            return
        read, is_late = self._reader.read, self._late
        end, late, start = -1, True, 0
        for to, pattern in marks:
            if to <= end:
                late = late and is_late[pattern]
                continue
            if end > 0:
                yield from read(block[start:end], late=late)
            # Some patterns end with the line's own end.
            start = block.rfind(b"\n", 0, to - 1) + 1
            end = block.find(b"\n", to - 1)
            late = is_late[pattern]
        if end > 0:
            yield from read(block[start:end], late=late)

    def _line_by_line(self, block: bytes) -> Iterator[Line | Reject]:
        """A block in which something is no JSON object on one line: every line by itself."""
        for given in block.split(b"\n"):
            line = given.strip().removeprefix(_BOM)
            if not line:
                continue
            if not (line.startswith(b"{") and line.endswith(b"}")):
                yield Reject("not a JSON object on one line: cut off or damaged", line)
                continue
            marks = [p for _, p in self.marks(line)]
            if marks:
                yield from self._reader.read(line, late=all(self._late[p] for p in marks))

    def marks(self, block: bytes) -> list[tuple[int, int]]:
        """(end, pattern) of everything found, in the order of the bytes."""
        self._found = []
        self._database.scan(block, match_event_handler=self._note, scratch=self._scratch)
        self._found.sort()
        return self._found

    def _note(self, pattern: int, start: int, end: int, flags: int, context: object) -> None:
        self._found.append((end, pattern))


def _compiled(found: list[Pattern]) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[p.expression.encode() for p in found],
        ids=list(range(len(found))),
        elements=len(found),
        flags=[0] * len(found),
    )
    return database
