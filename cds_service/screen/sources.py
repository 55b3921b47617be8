"""The files of a population: which they are, and what tells that one has changed."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from cds_service.screen.plan import ScreenError

_LINES = (".ndjson", ".jsonl")
_DOCUMENTS = (".json",)


class Source(msgspec.Struct, frozen=True):
    """One file of the population."""

    path: str
    name: str
    """As reports call it: the name of the file without its folder."""
    size: int
    modified_ns: int

    @property
    def is_document(self) -> bool:
        """Whether the whole file is one JSON document, such as a patient Bundle."""
        return _plain(self.name).endswith(_DOCUMENTS)


def found(names: Sequence[str]) -> list[Source]:
    """Every file named, or within a folder named, in the order of their names.

    Raises ScreenError for a path that is not there or a folder that holds nothing to read.
    """
    files: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and is_readable(p.name))
            if not inside:
                raise ScreenError(
                    f"{name}: the folder holds no .ndjson, .jsonl or .json file, plain or .gz"
                )
            files |= dict.fromkeys(inside)
        else:
            files[path] = None
    return [_source(path) for path in files]


def is_readable(name: str) -> bool:
    """Whether a file within a folder is one to read."""
    return _plain(name).endswith((*_LINES, *_DOCUMENTS)) and not name.startswith(".")


def _plain(name: str) -> str:
    return name.lower().removesuffix(".gz")


def _source(path: Path) -> Source:
    try:
        state = path.stat()
        with path.open("rb"):
            pass
    except OSError as error:
        raise ScreenError(f"{path}: cannot be read ({error.strerror})") from error
    return Source(str(path), path.name, state.st_size, state.st_mtime_ns)
