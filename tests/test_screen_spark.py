"""Spark gives the bytes that the engine of one machine gives."""

import gzip
import json
import shutil
import warnings
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import pytest

from cds_service.screen.plan import Plan, ScreenError
from cds_service.screen.run import screen
from tests.charts import DRUGS, REFERENCE, alp, bundle, concept, patient, prescribed
from tests.conftest import CANONICAL
from tests.populations import write_population

PYSPARK = find_spec("pyspark") is not None
JAVA = shutil.which("java") is not None
WITHOUT = (
    "PySpark is not installed (make test-spark installs it)" if not PYSPARK else "no Java here"
)
MASTER = "local[2]"


@pytest.mark.skipif(PYSPARK, reason="PySpark is installed here")
def test_without_pyspark_one_line_says_what_is_missing(tmp_path: Path) -> None:
    from cds_service.screen.spark import screen_on_spark

    with pytest.raises(ScreenError, match=r"pip install 'low-alp-cds\[spark\]'"):
        screen_on_spark([str(tmp_path)], Plan(as_of=REFERENCE), tmp_path / "out", MASTER)


@pytest.mark.skipif(not (PYSPARK and JAVA), reason=WITHOUT)
@pytest.mark.filterwarnings("ignore")  # PySpark's own
def test_results_are_the_same_to_the_byte(tmp_path: Path) -> None:
    from cds_service.screen.spark import screen_on_spark

    export = tmp_path / "export"
    write_population(export, patients=150, visits_a_year=1, other_results=2)
    _make_it_real(export)
    plan = Plan(
        replay=(date(2025, 1, 1), REFERENCE),
        snooze_days=90,
        policies=(None, str(_site_policy(tmp_path))),
        canonical=CANONICAL,
    )
    here, there, addressed = (tmp_path / name for name in ("here", "there", "addressed"))
    screen([str(export)], plan, here)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        screen_on_spark([str(export)], plan, there, MASTER)
        screen_on_spark([export.as_uri()], plan, addressed, MASTER)
    ours = {p.name: p.read_bytes() for p in here.iterdir()}
    theirs = {p.name: p.read_bytes() for p in there.iterdir()}
    assert _sorted(ours.pop("rejects.ndjson")) == _sorted(theirs.pop("rejects.ndjson"))
    assert theirs == ours
    assert (addressed / "worklist.csv").read_bytes() == ours["worklist.csv"]


def _sorted(lines: bytes) -> list[bytes]:
    """Spark reads files in an order of its own."""
    return sorted(lines.splitlines())


def _site_policy(folder: Path) -> Path:
    path = folder / "site.toml"
    path.write_text('version = "site"\n[situations]\nsingle-low-alp = "shadow"\n')
    return path


def _make_it_real(export: Path) -> None:
    """Packed files, Bundles, damaged lines, drugs that are only referred to, a missing patient.

    And a second folder with a file of a name that the first has as well, and characters in a path.
    """
    more = export / "second ward, 100%"
    more.mkdir()
    (more / "Observation.ndjson").write_text(json.dumps(alp(28, -90, 35)) + "\ncut off\n")
    conditions = export / "Condition.ndjson"
    with gzip.open(export / "Condition2.ndjson.gz", "wb") as packed:
        packed.write(conditions.read_bytes())
    conditions.unlink()
    family = bundle(patient(), alp(29, -300, 35), alp(27, -45, 35))
    (export / "one.json").write_text(json.dumps(family, indent=1))
    referring = [prescribed(drug, -50) for drug in ("alendronate", "atorvastatin", "denosumab")]
    for n, order in enumerate(referring):
        del order["medicationCodeableConcept"]
        order["medicationReference"] = {"reference": f"Medication/m{n}"}
    with (export / "MedicationRequest.ndjson").open("ab") as file:
        file.writelines(json.dumps(order).encode() + b"\n" for order in referring)
        file.write(b'{"resourceType":"MedicationRequest","id":"cut\xff o\r\n')
    with (export / "Medication.ndjson").open("a") as file:
        for n, code in enumerate((concept(*DRUGS["alendronate"]), concept("urn:x", "y"))):
            file.write(
                json.dumps({"resourceType": "Medication", "id": f"m{n}", "code": code}) + "\n"
            )
    lost = {**alp(29, -40, 35), "subject": {"reference": "Patient/nobody"}}
    with (export / "Observation.ndjson").open("a") as file:
        file.write(json.dumps(lost) + "\n")
