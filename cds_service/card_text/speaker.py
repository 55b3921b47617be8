"""Which sentences are true of one patient, and how they read."""

from collections.abc import Iterable

from cds_service.assessment import Assessment
from cds_service.phrases import FLAGS, PHRASES
from cds_service.phrases.flags import WARNING
from cds_service.rulebook.situation import Line


class Speaker:
    """Says the lines that are true of one patient, and leaves out the others."""

    def __init__(self, a: Assessment, *, raised: bool) -> None:
        self._a = a
        self._known: dict[str, bool] = {WARNING: raised}
        self._said: dict[str, str | None] = {}

    def holds(self, when: Iterable[str]) -> bool:
        """Whether every condition holds; `!name` holds when the condition does not."""
        for condition in when:
            name = condition.removeprefix("!")
            if self._flag(name) == condition.startswith("!"):
                return False
        return True

    def say(self, line: Line) -> str | None:
        """The text with its placeholders filled; None when one of them has nothing to say."""
        said: dict[str, str] = {}
        for name in line.names:
            phrase = self._phrase(name)
            if phrase is None:
                return None
            said[name] = phrase
        return line.text.format_map(said) if said else line.text

    def first(self, lines: Iterable[Line]) -> str | None:
        """The first line that holds and can be said."""
        said = (self.say(line) for line in lines if self.holds(line.when))
        return next((text for text in said if text is not None), None)

    def bullets(self, lines: Iterable[Line]) -> list[str]:
        """The lines that hold, as a list."""
        found: list[str] = []
        for line in lines:
            text = self.say(line) if self.holds(line.when) else None
            if text is not None:
                found.append(f"- {text}")
        return found

    def _phrase(self, name: str) -> str | None:
        if name not in self._said:
            self._said[name] = PHRASES[name].bounded(self._a)
        return self._said[name]

    def _flag(self, name: str) -> bool:
        if name not in self._known:
            self._known[name] = FLAGS[name](self._a)
        return self._known[name]
