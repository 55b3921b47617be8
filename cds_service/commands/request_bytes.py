"""The bytes of one HTTP request as they come in, and whether it is whole.

Only for knowing when to stop waiting: gunicorn reads the same bytes again and judges them by the book.
"""

import re

_LONGEST_HEAD = 64 * 1024
_LONGEST_CHUNK_LINE = 1024
_MOST_CHUNKS = 50_000
_HEAD_END = b"\r\n\r\n"
_LONGEST_TRAILERS = 64 * 1024
_MOST_CHUNK_LINES = 512 * 1024
"""Bytes around all chunks together: what a chunk may say of itself is no place for a body."""
MOST_FRAMING = _LONGEST_HEAD + _MOST_CHUNK_LINES + _LONGEST_CHUNK_LINE + _LONGEST_TRAILERS
"""What is longer than a body by so many bytes holds a body that is longer."""
_LENGTH = re.compile(rb"^content-length[ \t]*:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_DIGITS = re.compile(rb"[ \t]*(\d{1,15})[ \t]*")
_CHUNKED = re.compile(rb"^transfer-encoding[ \t]*:.*chunked", re.IGNORECASE | re.MULTILINE)
_EXPECT = re.compile(rb"^expect[ \t]*:[^\r\n]*\r\n", re.IGNORECASE | re.MULTILINE)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(;[^\r\n]*)?")


class RequestBytes:
    """Gathers what comes. Once `is_whole` or `is_broken` it is not added to any more."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._seen = 0
        """Up to here nothing has to be looked at again."""
        self._body_starts: int | None = None
        self._ends: int | None = None
        """Where the body ends, when its length was given."""
        self._chunks = 0
        self._chunk_lines = 0
        """In bytes."""
        self.is_whole = False
        self.is_broken = False
        """It can never become a request that is answered."""
        self.waits_for_continue = False
        """The client sends the body only when it is told to."""

    def __len__(self) -> int:
        return len(self._bytes)

    def __bytes__(self) -> bytes:
        return bytes(self._bytes)

    def add(self, received: bytes) -> None:
        """Some more of the request."""
        self._bytes += received
        if self._body_starts is None:
            self._read_head()
        if self._body_starts is None:
            self.is_broken = len(self) > _LONGEST_HEAD
        elif self.is_broken:
            return
        elif self._ends is not None:
            self.is_whole = len(self) >= self._ends
        else:
            self._read_chunks()

    def _read_head(self) -> None:
        end = self._bytes.find(_HEAD_END, max(0, self._seen - len(_HEAD_END)))
        self._seen = len(self)
        if end < 0:
            return
        head = bytes(self._bytes[: end + 2])
        self.waits_for_continue = _EXPECT.search(head) is not None
        kept = _EXPECT.sub(b"", head)  # we answer it, so gunicorn need not
        self._bytes[: end + 2] = kept
        self._body_starts = self._seen = len(kept) + 2
        # Without a line of its own it is none, and gunicorn would wait for one.
        self.is_broken = not kept.strip()
        if not _CHUNKED.search(head):
            # A length that we do not read, gunicorn might: a thread would then wait for the body.
            lengths = [_DIGITS.fullmatch(length) for length in _LENGTH.findall(head)]
            self.is_broken |= len(lengths) > 1 or None in lengths
            self._ends = self._body_starts + sum(int(n[1]) for n in lengths if n)

    def _read_chunks(self) -> None:
        while not (self.is_whole or self.is_broken):
            line_ends = self._bytes.find(b"\r\n", self._seen, self._seen + _LONGEST_CHUNK_LINE)
            if line_ends < 0:
                self.is_broken = len(self) >= self._seen + _LONGEST_CHUNK_LINE
                return
            size = _CHUNK_SIZE.fullmatch(self._bytes, self._seen, line_ends)
            if size is None or self._chunks >= _MOST_CHUNKS:
                self.is_broken = True
                return
            length = int(size[1], 16)
            if not length:  # the last chunk; trailers may follow
                self.is_whole = self._bytes.find(_HEAD_END, line_ends) >= 0
                # Looked through again with every byte that comes, so they have to be short.
                self.is_broken = not self.is_whole and len(self) - line_ends > _LONGEST_TRAILERS
                return
            next_chunk = line_ends + 2 + length + 2
            if next_chunk > len(self):
                return
            self._chunks += 1
            self._chunk_lines += next_chunk - self._seen - length
            self.is_broken = self._chunk_lines > _MOST_CHUNK_LINES
            self._seen = next_chunk
