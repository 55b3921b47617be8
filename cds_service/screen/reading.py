"""A file read once, as blocks of whole lines, and hashed as it passes; input is never changed."""

import gzip
import hashlib
import io
import os
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cds_service.screen.plan import ScreenError
from cds_service.screen.sources import Source

BLOCK_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"


class Reading:
    """One source being read: whole lines in blocks, with the hash of the file's own bytes."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._file = Path(source.path).open("rb", buffering=0)  # noqa: SIM115  (closed by `close`)
        self._hash = _Hash()
        packed = os.pread(self._file.fileno(), len(_GZIP), 0) == _GZIP
        self._packed = _unpacked(self._file, self._hash) if packed else None
        self._buffer = bytearray(2 * BLOCK_BYTES)
        self._held = 0
        """Bytes at the start of the buffer: a line that has begun."""
        self.offset = 0
        """Bytes given out so far, unpacked."""

    @property
    def raw_offset(self) -> int:
        """Bytes of the file read so far."""
        return self._file.tell()

    def skip(self, offset: int) -> None:
        """Read on to where an earlier run had come."""
        while self.offset < offset:
            passed = self._read(min(BLOCK_BYTES, offset - self.offset))
            if not passed:
                raise ScreenError(f"{self._source.path}: is shorter than when the run began")
            self._given(passed)

    def block(self) -> bytes:
        """The next block of whole lines, each with its line end; empty at the end of the file."""
        content = self._whole() if self._source.is_document else self._lines()
        self._given(content)
        return content

    def sha256(self) -> str:
        """Hash of the whole file; to be asked at its end."""
        while rest := self._file.read(BLOCK_BYTES):
            self._hash.update(rest)  # bytes after the end of the gzip stream
        return self._hash.hexdigest()

    def close(self) -> None:
        """Give the file back."""
        if self._packed is not None:
            self._packed.close()
        self._hash.close()
        self._file.close()

    def _given(self, content: bytes) -> None:
        self.offset += len(content)
        if self._packed is None:
            self._hash.update(content)

    def _lines(self) -> bytes:
        buffer = self._buffer
        while read := self._read_into(buffer, self._held):
            end = self._held + read
            cut = buffer.rfind(b"\n", self._held, end) + 1
            if cut:
                content = bytes(memoryview(buffer)[:cut])
                self._held = end - cut
                buffer[: self._held] = buffer[cut:end]
                return content
            self._held = end
            if len(buffer) - end < BLOCK_BYTES:
                buffer.extend(bytes(len(buffer)))  # a line longer than that
        content, self._held = bytes(memoryview(buffer)[: self._held]), 0
        return content

    def _whole(self) -> bytes:
        return b"".join(iter(lambda: self._read(BLOCK_BYTES), b""))

    def _read(self, size: int) -> bytes:
        content = bytearray(size)
        return bytes(memoryview(content)[: self._read_into(content, 0)])

    def _read_into(self, buffer: bytearray, first: int) -> int:
        """Bytes read into the buffer from `first` on: a block at most, none at the end of the file."""
        room = memoryview(buffer)[first : first + BLOCK_BYTES]
        try:
            return (self._packed or self._file).readinto(room) or 0
        except (EOFError, zlib.error, OSError) as error:
            raise ScreenError(f"{self._source.path}: cannot be read ({error})") from error


class _Hash:
    """SHA-256 of what passes, beside the work that is done with it."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        # hashlib lets other threads run while it hashes a block.
        self._hasher = ThreadPoolExecutor(max_workers=1)
        self._hashing: Future[None] | None = None

    def update(self, content: bytes) -> None:
        self._settle()
        if content:
            self._hashing = self._hasher.submit(self._hash.update, content)

    def hexdigest(self) -> str:
        """Hash of everything so far."""
        self._settle()
        return self._hash.hexdigest()

    def close(self) -> None:
        self._settle()
        self._hasher.shutdown()

    def _settle(self) -> None:
        if self._hashing is not None:
            self._hashing.result()
            self._hashing = None


def _unpacked(file: io.FileIO, hashed: _Hash) -> gzip.GzipFile:
    # In large pieces: the reader itself asks for 8 kB at a time.
    packed = io.BufferedReader(_Hashed(file, hashed), BLOCK_BYTES)
    return gzip.GzipFile(fileobj=packed)


class _Hashed(io.RawIOBase):
    """A file whose bytes are hashed as they pass."""

    def __init__(self, file: io.FileIO, hashed: _Hash) -> None:
        self._file = file
        self._hash = hashed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = self._file.readinto(buffer)
        self._hash.update(bytes(buffer[:read]))
        return read
