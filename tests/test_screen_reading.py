"""A file is given out whole, in whole lines, with the hash that `sha256sum` would give."""

import gzip
import hashlib
from pathlib import Path

import pytest

from cds_service.screen.plan import ScreenError
from cds_service.screen.reading import BLOCK_BYTES, Reading
from cds_service.screen.sources import found

CONTENTS = {
    "nothing": b"",
    "one line": b"{}\n",
    "no line end": b"{}\n{}",
    "many lines": b"".join(b"%d\n" % n for n in range(500_000)),
    "a line longer than blocks": b"x" * (5 * BLOCK_BYTES + 7) + b"\n{}\n",
    "a block to the byte": b"y" * (BLOCK_BYTES - 1) + b"\n" + b"z" * (2 * BLOCK_BYTES) + b"\n",
}


def opened(folder: Path, content: bytes, *, packed: bool = False) -> tuple[Reading, bytes]:
    """The reading, and the bytes of the file itself."""
    path = folder / ("all.ndjson.gz" if packed else "all.ndjson")
    path.write_bytes(gzip.compress(content, mtime=0) + b"\0" * 9 if packed else content)
    (source,) = found([str(path)])
    return Reading(source), path.read_bytes()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_blocks_are_whole_lines_of_the_whole_file(
    tmp_path: Path, content: bytes, packed: bool
) -> None:
    reading, raw = opened(tmp_path, content, packed=packed)
    blocks = list(iter(reading.block, b""))
    assert b"".join(blocks) == content
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert reading.offset == len(content)
    assert reading.sha256() == hashlib.sha256(raw).hexdigest()
    assert reading.raw_offset == len(raw)
    reading.close()


@pytest.mark.parametrize("packed", [False, True])
def test_goes_on_where_an_earlier_reading_ended(tmp_path: Path, packed: bool) -> None:
    content = CONTENTS["many lines"]
    first, raw = opened(tmp_path, content, packed=packed)
    blocks = list(iter(first.block, b""))
    first.close()
    second, _ = opened(tmp_path, content, packed=packed)
    second.skip(len(blocks[0]))
    assert b"".join(iter(second.block, b"")) == b"".join(blocks[1:])
    assert second.sha256() == hashlib.sha256(raw).hexdigest()
    second.close()


def test_a_file_that_has_shrunk_is_named(tmp_path: Path) -> None:
    reading, _ = opened(tmp_path, b"{}\n")
    with pytest.raises(ScreenError, match="shorter than when the run began"):
        reading.skip(4)
    reading.close()
