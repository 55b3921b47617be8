"""The same run on Apache Spark: it moves the lines, the same sieve and the same core do the rest.

Needs the extra `spark` here and this package on every worker. What a line or a patient becomes is
decided by the very functions of the other engine, so the results are the same to the byte.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cds_service import rulebook
from cds_service.rulebook import Rulebook
from cds_service.screen.lines import Line
from cds_service.screen.outputs import Read
from cds_service.screen.patient import Asker
from cds_service.screen.plan import Plan, ScreenError
from cds_service.screen.results import Missing, PatientResult, Results
from cds_service.screen.run import batches, begin, finish, refuse_nested, sieve_for
from cds_service.screen.run_record import Input
from cds_service.screen.sources import Source
from cds_service.screen.spark_sources import address, hashed, place, spark_sources
from cds_service.screen.spool import KINDS
from cds_service.screen.tally import Tally

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_FOUND = (
    "kind tinyint, patient string, refers string, known boolean, file string, content binary,"
    " reason string"
)
# One machine: no address outside it, and not hundreds of small tasks.
_LOCAL = {"spark.driver.host": "127.0.0.1", "spark.sql.shuffle.partitions": "8"}
_ASKED = "patient string, answer binary"
_REJECT = -1
_BLOCK_LINES = 2_000
_MEDICATION = KINDS["medication"]
_LATE = KINDS["late"]

Row = tuple[int, str, str, bool, str, bytes, str]


def screen_on_spark(names: Sequence[str], plan: Plan, folder: Path, master: str) -> Tally:
    """Screen on the Spark cluster at `master`. Raises ScreenError where that cannot be done."""
    books = [rulebook.load(plan.canonical, path) for path in plan.policy_paths]
    session = _session(master)
    try:
        refuse_nested(names, folder)
        sources = spark_sources(session, names)
        work = begin(folder, sources, plan, books)
        results = Results(work / "results")
        lines = _lines(session, sources).mapInArrow(_sifting(plan, books), _FOUND).persist()
        for batch in batches(_answers(lines, plan, books, results.last_patient())):
            results.add(batch)
        read = Read(list(_inputs(lines, sources)), list(_rejects(lines)))
        return finish(plan, books, read, results, folder, work)
    finally:
        session.stop()


def _session(master: str) -> "SparkSession":
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ScreenError(
            "--engine spark needs PySpark: pip install 'low-alp-cds[spark]'"
        ) from error
    if shutil.which("java") is None:
        raise ScreenError("--engine spark needs Java 17 or newer, and there is none on the path")
    # Spark starts its own Python workers; here they are to find this package. A site may say otherwise.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(master).appName("low-alp-cds screen")
    for key, value in {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower(),
        **(_LOCAL if master.startswith("local") else {}),
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(_BLOCK_LINES),
        "spark.log.level": "ERROR",
    }.items():
        builder = builder.config(key, value)
    session: SparkSession = builder.getOrCreate()
    return session


def _lines(session: "SparkSession", sources: Sequence[Source]) -> "DataFrame":
    """(file, content, whole): a row a line, or a row a file where the file is one document."""
    from pyspark.sql import functions as f

    frames = []
    plain = [address(s) for s in sources if not s.is_document]
    whole = [address(s) for s in sources if s.is_document]
    if plain:
        text = session.read.option("lineSep", "\n").text(plain)
        name = f.input_file_name()
        content = f.col("value").cast("binary")
        frames.append(
            text.select(name.alias("file"), content.alias("content"), f.lit(False).alias("whole"))
        )
    if whole:
        files = session.read.format("binaryFile").load(whole)
        frames.append(
            files.select(f.col("path").alias("file"), "content", f.lit(True).alias("whole"))
        )
    first, *rest = frames
    for frame in rest:
        first = first.unionByName(frame)
    return first


def _sifting(
    plan: Plan, books: Sequence[Rulebook]
) -> Callable[[Iterator["pa.RecordBatch"]], Iterator["pa.RecordBatch"]]:
    def sift(incoming: Iterator["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
        import gzip

        sieve = sieve_for(plan, books)
        for batch in incoming:
            rows: list[Row] = []
            columns = batch.to_pydict()
            by_file = groupby(
                zip(columns["file"], columns["whole"], columns["content"], strict=True),
                key=lambda r: (r[0], r[1]),
            )
            for (file, whole), group in by_file:
                contents = [content for _, _, content in group]
                if whole:
                    content = contents[0]
                    if content[:2] == b"\x1f\x8b":
                        content = gzip.decompress(content)
                    found_lines = sieve.document(content)
                else:
                    block = b"\n".join(contents) + b"\n"
                    found_lines = sieve.block(block)
                where = place(file, encoded=not whole)
                rows.extend(_row(one, where) for one in found_lines)
            yield _batch(rows, _FOUND)

    return sift


def _row(one: Any, file: str) -> Row:
    if isinstance(one, Line):
        return KINDS[one.kind], one.patient, one.refers, one.known, file, one.content, ""
    return _REJECT, "", "", False, file, one.content, one.reason


def _answers(
    lines: "DataFrame", plan: Plan, books: Sequence[Rulebook], after: str
) -> Iterator[PatientResult | Missing]:
    """Every patient's answer, by id."""
    from pyspark.sql import functions as f

    medications = (
        lines.where(f.col("kind") == _MEDICATION)
        .groupBy("refers")
        .agg(f.max("known").alias("of_ours"), f.collect_set("content").alias("medications"))
        .withColumnRenamed("refers", "medication")
    )
    own = lines.where((f.col("kind") >= 0) & (f.col("kind") < _MEDICATION))
    joined = own.where(f.col("patient") > after).join(
        medications, (own.refers == medications.medication) & (own.refers != ""), "left"
    )
    useful = joined.where(f.col("known") | f.col("of_ours").isNull() | f.col("of_ours")).select(
        "patient", "kind", "content", "medications"
    )
    grouped = useful.repartition("patient").sortWithinPartitions("patient")
    asked = grouped.mapInArrow(_asking(plan, books), _ASKED).sort("patient")
    decode = msgspec.json.Decoder(PatientResult | Missing).decode
    for row in asked.toLocalIterator():
        yield decode(bytes(row.answer))


def _asking(
    plan: Plan, books: Sequence[Rulebook]
) -> Callable[[Iterator["pa.RecordBatch"]], Iterator["pa.RecordBatch"]]:
    def ask(incoming: Iterator["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
        asker = Asker(plan, books)
        encode = msgspec.json.encode
        rows: list[tuple[str, bytes]] = []
        for patient, group in groupby(_each(incoming), key=lambda r: r[0]):
            lines: set[bytes] = set()
            late: set[bytes] = set()
            for _, kind, content, medications in group:
                (late if kind == _LATE else lines).add(content)
                lines.update(medications or ())
            answer = asker.ask(patient, sorted(lines), partial(sorted, late) if late else None)
            rows.append((patient, encode(answer)))
            if len(rows) >= _BLOCK_LINES:
                yield _batch(rows, _ASKED)
                rows = []
        yield _batch(rows, _ASKED)

    return ask


def _each(
    incoming: Iterator["pa.RecordBatch"],
) -> Iterator[tuple[str, int, bytes, list[bytes] | None]]:
    for batch in incoming:
        columns = batch.to_pydict()
        yield from zip(
            *(columns[n] for n in ("patient", "kind", "content", "medications")), strict=True
        )


def _batch(rows: Sequence[tuple[Any, ...]], schema: str) -> "pa.RecordBatch":
    import pyarrow as pa

    types = {
        "tinyint": pa.int8(),
        "bigint": pa.int64(),
        "boolean": pa.bool_(),
        "string": pa.string(),
        "binary": pa.binary(),
    }
    fields = [field.split() for field in schema.split(",")]
    arrays = [pa.array([row[n] for row in rows], types[kind]) for n, (_, kind) in enumerate(fields)]
    return pa.RecordBatch.from_arrays(arrays, names=[name for name, _ in fields])


def _inputs(lines: "DataFrame", sources: Sequence[Source]) -> Iterator[Input]:
    from pyspark.sql import functions as f

    counted = {
        row.file: row
        for row in lines.groupBy("file")
        .agg(
            f.sum(f.when(f.col("kind") >= 0, 1).otherwise(0)).alias("kept"),
            f.sum(f.when(f.col("kind") == _REJECT, 1).otherwise(0)).alias("rejected"),
        )
        .collect()
    }
    for source in sources:
        row = counted.get(place(address(source)))
        numbers = (row.kept, row.rejected) if row else (0, 0)
        yield Input(source.name, source.size, hashed(source), *numbers)


def _rejects(lines: "DataFrame") -> Iterable[bytes]:
    for row in (
        lines.where(f"kind = {_REJECT}").select("file", "reason", "content").toLocalIterator()
    ):
        text = bytes(row.content).decode(errors="replace")
        name = row.file.rpartition("/")[2]
        yield msgspec.json.encode({"file": name, "reason": row.reason, "line": text})
