"""README.md and the pages in docs/, taken apart: prose, code, commands, headings."""

import re
import shlex
from pathlib import Path

import msgspec

from cds_service.settings import SETTINGS
from tests.readme_tables import PAGES, README, ROOT

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S+")


class Page(msgspec.Struct, frozen=True):
    """One page as it is in the repository."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """Its path from the root."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def prose(self) -> str:
        """The text without its blocks of code."""
        return _FENCE.sub("", self.text)

    @property
    def code(self) -> list[str]:
        """What stands between backticks in a sentence."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    @property
    def anchors(self) -> set[str]:
        """The anchors that GitHub makes of the headings."""
        titles = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}

    @property
    def links(self) -> list[str]:
        """Where it leads to, within the repository."""
        found = re.findall(r"\]\(([^)\s]+)\)", self.prose)
        return [target for target in found if not target.startswith("https://")]

    @property
    def commands(self) -> list[str]:
        """Every command of the sh blocks, continued lines joined."""
        lines = "".join(self.fenced("sh")).replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]

    def fenced(self, language: str) -> list[str]:
        """The blocks of code in that language."""
        return [text for found, text in _FENCE.findall(self.text) if found == language]


def page(name: str) -> Page:
    """The page at that path from the root."""
    path = ROOT / name
    return Page(path, path.read_text(encoding="utf-8"))


ALL = tuple(page(path.relative_to(ROOT).as_posix()) for path in PAGES)
THE_README = page(README.name)
COMMANDS = [command for told in ALL for command in told.commands]
CODE = [span for told in ALL for span in told.code]


def assigned(command: str) -> dict[str, str]:
    """The settings that a command is given before its words."""
    pairs = (word.partition("=") for word in shlex.split(command) if _ASSIGNMENT.fullmatch(word))
    return {name: value for name, _, value in pairs}


def words(command: str) -> list[str]:
    """The words of a command, the settings before it left off."""
    found = shlex.split(command)
    while _ASSIGNMENT.fullmatch(found[0]):
        assert found[0].partition("=")[0] in {s.name for s in SETTINGS}
        found = found[1:]
    return found
