"""The files of a population, read once, as blocks of whole lines; input is never changed."""

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

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
        self._packed = gzip.GzipFile(fileobj=self._raw) if self._raw.starts_with(_GZIP) else None
        self._carried = b""
        self.offset = 0
        """Bytes given out so far, unpacked."""

    @property
    def raw_offset(self) -> int:
        """Bytes of the file read so far."""
        return self._raw.offset

    def skip(self, offset: int) -> None:
        """Read on to where an earlier run had come."""
        while self.offset < offset:
            passed = self._read(min(BLOCK_BYTES, offset - self.offset))
            if not passed:
                raise ScreenError(f"{self._source.path}: is shorter than when the run began")
            self.offset += len(passed)

    def block(self) -> bytes:
        """The next block of whole lines, each with its line end; empty at the end of the file."""
        content = self._whole() if self._source.is_document else self._lines()
        self.offset += len(content)
        return content

    def sha256(self) -> str:
        """Hash of the whole file; to be asked at its end."""
        while self._raw.read(BLOCK_BYTES):
            pass  # bytes after the end of the gzip stream
        return self._raw.sha256()

    def close(self) -> None:
        """Give the file back."""
        if self._packed is not None:
            self._packed.close()
        self._raw.close()

    def _lines(self) -> bytes:
        content = self._carried
        while read := self._read(BLOCK_BYTES):
            content = content + read if content else read
            cut = content.rfind(b"\n") + 1
            if cut:
                self._carried = content[cut:]
                return content if cut == len(content) else content[:cut]
        self._carried = b""
        return content

    def _whole(self) -> bytes:
        return b"".join(iter(lambda: self._read(BLOCK_BYTES), b""))

    def _read(self, size: int) -> bytes:
        try:
            return self._packed.read(size) if self._packed is not None else self._raw.read(size)
        except (EOFError, zlib.error, OSError) as error:
            raise ScreenError(f"{self._source.path}: cannot be read ({error})") from error


class _Hashed(io.RawIOBase):
    """The bytes of a file, hashed as they pass, beside the work that is done with them."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115  (closed by `close`)
        self._hash = hashlib.sha256()
        # hashlib lets other threads run while it hashes a block.
        self._hasher = ThreadPoolExecutor(max_workers=1)
        self._hashing: Future[None] | None = None
        self.offset = 0

    def starts_with(self, magic: bytes) -> bool:
        """Whether the file begins so."""
        return os.pread(self._file.fileno(), len(magic), 0) == magic

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size) or b""
        self._settle()
        if content:
            self._hashing = self._hasher.submit(self._hash.update, content)
        self.offset += len(content)
        return content

    def readinto(self, buffer: Any) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def sha256(self) -> str:
        """Hash of everything read."""
        self._settle()
        return self._hash.hexdigest()

    def close(self) -> None:
        self._settle()
        self._hasher.shutdown()
        self._file.close()
        super().close()

    def _settle(self) -> None:
        if self._hashing is not None:
            self._hashing.result()
            self._hashing = None


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
