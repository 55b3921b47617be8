"""Where Spark reads from: files here, or at any address that its Hadoop file systems know."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from cds_service.screen.plan import ScreenError
from cds_service.screen.reading import Reading
from cds_service.screen.sources import Source, found, is_readable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Hadoop writes `file:/…` where others write `file:///…`.
_LOCAL = re.compile(r"^file:/+")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def spark_sources(session: "SparkSession", names: Sequence[str]) -> list[Source]:
    """Every file named, in the order given; an address such as `s3a://…` is listed by Spark.

    Raises ScreenError for what is not there.
    """
    sources: list[Source] = []
    for name in names:
        sources += _listed(session, name) if _ADDRESS.match(name) else found([name])
    return sources


def address(source: Source) -> str:
    """The source as Spark is asked for it: no character of it is encoded."""
    return source.path if _ADDRESS.match(source.path) else f"file://{Path(source.path).resolve()}"


def place(path: str, *, encoded: bool = False) -> str:
    """Where a file stands, in the one way in which it is compared; two may bear one name.

    Spark writes `file:/…` or `file:///…`, and percent-encodes the files of its lines.
    """
    return _LOCAL.sub("/", unquote(path) if encoded else path)


def hashed(source: Source) -> str | None:
    """Hash of a local file; None at an address that only Spark reads."""
    if _ADDRESS.match(source.path):
        return None
    reading = Reading(source)
    try:
        return reading.sha256()
    finally:
        reading.close()


def _listed(session: "SparkSession", name: str) -> list[Source]:
    try:
        files = sorted(_files(session, name), key=lambda s: s.path)
    except Exception as error:
        raise ScreenError(f"{name}: Spark cannot read it ({_first_line(error)})") from error
    if not files:
        raise ScreenError(f"{name}: nothing there that can be read")
    return files


def _files(session: "SparkSession", name: str) -> Iterator[Source]:
    java: Any = session._jvm
    path = java.org.apache.hadoop.fs.Path(name)
    system = path.getFileSystem(session._jsc.hadoopConfiguration())
    listing = system.listFiles(path, True)
    while listing.hasNext():
        status = listing.next()
        file = status.getPath()
        if is_readable(file.getName()):
            modified_ns = status.getModificationTime() * 1_000_000
            yield Source(file.toString(), file.getName(), status.getLen(), modified_ns)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
