"""The files of a population, read once, as blocks of whole lines; input is never changed."""

import gzip
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from cds_service.screen.plan import ScreenError

BLOCK_BYTES = 1 << 20
_LINES = (".ndjson", ".jsonl")
_DOCUMENTS = (".json",)
_GZIP = b"\x1f\x8b"


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


class Reading:
    """One source being read: whole lines in blocks, with the hash of the file's own bytes."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._raw = _Hashed(source.path)
        head = self._raw.peek(2)
        self._lines: IO[bytes] = (
            gzip.GzipFile(fileobj=self._raw)  # type: ignore[assignment]
            if head == _GZIP
            else io.BufferedReader(self._raw, BLOCK_BYTES)
        )
        self.offset = 0
        """Bytes read so far, unpacked."""

    @property
    def raw_offset(self) -> int:
        """Bytes of the file read so far."""
        return self._raw.offset

    def skip(self, offset: int) -> None:
        """Read on to where an earlier run had come."""
        while self.offset < offset:
            self.offset += len(self._read(min(BLOCK_BYTES, offset - self.offset)))

    def block(self) -> bytes:
        """The next block of whole lines, each with its line end; empty at the end of the file."""
        content = self._read(-1 if self._source.is_document else BLOCK_BYTES)
        if content and not content.endswith(b"\n") and not self._source.is_document:
            content += self._line()
        self.offset += len(content)
        return content

    def sha256(self) -> str:
        """Hash of the whole file; to be asked at its end."""
        while self._raw.read(BLOCK_BYTES):
            pass  # bytes after the end of the gzip stream
        return self._raw.sha256()

    def close(self) -> None:
        """Give the file back."""
        self._lines.close()
        self._raw.close()

    def _read(self, size: int) -> bytes:
        try:
            return self._lines.read(size)
        except (EOFError, gzip.BadGzipFile, OSError) as error:
            raise ScreenError(f"{self._source.path}: cannot be read ({error})") from error

    def _line(self) -> bytes:
        try:
            return self._lines.readline()
        except (EOFError, gzip.BadGzipFile, OSError) as error:
            raise ScreenError(f"{self._source.path}: cannot be read ({error})") from error


class _Hashed(io.RawIOBase):
    """The bytes of a file, hashed as they pass."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115  (closed by `close`)
        self._hash = hashlib.sha256()
        self._head = b""
        self.offset = 0

    def peek(self, size: int) -> bytes:
        """The first bytes, which will be read again."""
        self._head = self._file.read(size) or b""
        return self._head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        if self._head:
            taken = min(len(self._head), len(view))
            view[:taken] = self._head[:taken]
            self._head = self._head[taken:]
        else:
            taken = self._file.readinto(view) or 0
        self._hash.update(view[:taken])
        self.offset += taken
        return taken

    def sha256(self) -> str:
        """Hash of everything read."""
        return self._hash.hexdigest()

    def close(self) -> None:
        self._file.close()
        super().close()


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
