"""`cds-service screen` as it is run: refusals, outputs, interruptions."""

import csv
import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner
from fhir.resources.R4B.list import List
from fhir.resources.R4B.measurereport import MeasureReport

from cds_service.cli import main
from cds_service.screen.outputs import FILES
from cds_service.screen.progress import Progress
from tests.charts import REFERENCE, Json, alp, bundle, patient, prescribed, stay, taking
from tests.populations import write_population

AS_OF = ["--as-of", REFERENCE.isoformat()]
LOW = [
    patient(name=[{"family": "=Qwertzhausen", "given": ["Ann"]}]),
    alp(29, -300, 35),
    alp(27, -45, 35),
]


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["screen", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def ndjson(path: Path, *resources: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in resources))
    return path


def worklist(folder: Path) -> list[dict[str, str]]:
    with (folder / "worklist.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def rows(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return ndjson(tmp_path / "export" / "all.ndjson", *LOW)


def test_writes_every_file_and_clears_up(source: Path, tmp_path: Path) -> None:
    before = source.read_bytes()
    code, output = run(source, *AS_OF, "--output", tmp_path / "out")
    assert (code, output.count("\n")) == (0, 1)
    assert {p.name for p in (tmp_path / "out").iterdir()} == set(FILES)
    assert source.read_bytes() == before
    (row,) = worklist(tmp_path / "out")
    assert (row["patient"], row["situation"], row["indicator"]) == (
        "pat-1",
        "persistent-low-alp",
        "warning",
    )
    assert "name" not in row
    everything = b"".join(files(tmp_path / "out").values())
    assert b"Qwertzhausen" not in everything


def test_parquet_holds_what_csv_holds(source: Path, tmp_path: Path) -> None:
    run(source, *AS_OF, "--output", tmp_path / "out")
    with duckdb.connect() as connection:
        read = connection.execute(
            "SELECT * FROM read_parquet($1)", [str(tmp_path / "out" / "worklist.parquet")]
        )
        names = [column[0] for column in read.description]
        (found,) = read.fetchall()
    (row,) = worklist(tmp_path / "out")
    assert {n: "" if v is None else str(v) for n, v in zip(names, found, strict=True)} == row


def test_fhir_resources_are_valid_and_say_the_same(source: Path, tmp_path: Path) -> None:
    run(source, *AS_OF, "--output", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "measure-report.json").read_text())
    patients = json.loads((tmp_path / "out" / "list.json").read_text())
    MeasureReport(**report)
    List(**patients)
    counts = [p["count"] for p in report["group"][0]["population"]]
    assert counts == [1, 1, 1]
    (entry,) = patients["entry"]
    assert entry["item"] == {"reference": "Patient/pat-1"}
    assert entry["flag"]["coding"][0]["code"] == "persistent-low-alp"


def test_report_is_whole_in_itself(source: Path, tmp_path: Path) -> None:
    run(source, *AS_OF, "--output", tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text()
    page = text[: text.index("<script>")] + text[text.rindex('<script type="application/json"') :]
    assert "src=" not in page
    assert "href=" not in page
    assert "$" not in page.replace("${", "")
    assert page.count("<table>") >= 3
    assert "Plotly" in text


def test_names_only_when_asked_and_never_as_a_formula(source: Path, tmp_path: Path) -> None:
    run(source, *AS_OF, "--names", "--output", tmp_path / "out")
    (row,) = worklist(tmp_path / "out")
    assert row["name"] == "Ann =Qwertzhausen"
    ndjson(source, {**LOW[0], "name": [{"text": "=1+1"}]}, *LOW[1:])
    run(source, *AS_OF, "--names", "--output", tmp_path / "again")
    (row,) = worklist(tmp_path / "again")
    assert row["name"] == "'=1+1"


def test_gzip_folder_and_bundle_give_the_same(source: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed" / "all.ndjson.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(source.read_bytes()))
    whole = tmp_path / "bundle" / "patient.json"
    whole.parent.mkdir()
    whole.write_text(json.dumps(bundle(*LOW), indent=2))
    for n, given in enumerate((source, source.parent, packed, packed.parent, whole, whole.parent)):
        assert run(given, *AS_OF, "--output", tmp_path / str(n))[0] == 0
    same = ("worklist.csv", "explanations.ndjson", "measure-report.json", "list.json")
    for name in same:
        assert len({(tmp_path / str(n) / name).read_bytes() for n in range(6)}) == 1, name


def test_bundle_with_urn_references(tmp_path: Path) -> None:
    given = json.loads(json.dumps(bundle(*LOW)))
    for n, entry in enumerate(given["entry"]):
        entry["fullUrl"] = f"urn:uuid:{n}"
        if "subject" in entry["resource"]:
            entry["resource"]["subject"] = {"reference": "urn:uuid:0"}
    path = tmp_path / "patient.json"
    path.write_text(json.dumps(given))
    run(path, *AS_OF, "--output", tmp_path / "out")
    assert [r["situation"] for r in worklist(tmp_path / "out")] == ["persistent-low-alp"]


def test_what_cannot_be_used_is_kept_with_its_reason(tmp_path: Path) -> None:
    lost = {**alp(29, -40, 35), "subject": {"reference": "Patient/nobody"}}
    path = ndjson(tmp_path / "all.ndjson", *LOW, lost, {**lost, "id": "another"})
    with path.open("ab") as file:
        file.write(b'{"resourceType":"Observation","id":"cut o\n')
    run(path, *AS_OF, "--output", tmp_path / "out")
    rejects = rows(tmp_path / "out" / "rejects.ndjson")
    assert rejects == [
        {
            "file": "all.ndjson",
            "reason": "not a JSON object on one line: cut off or damaged",
            "line": '{"resourceType":"Observation","id":"cut o',
        },
        {"patient": "nobody", "reason": "no Patient with this id came", "resources": 2},
    ]
    counts = json.loads((tmp_path / "out" / "run.json").read_text())["counts"]
    assert counts["patients"] == 1
    assert counts["linesRejected"] == 1
    assert counts["patientsMissing"] == 1


def test_patient_who_cannot_be_read_is_not_said_to_be_missing(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "all.ndjson", {**LOW[0], "birthDate": {"value": "1980"}}, *LOW[1:])
    run(path, *AS_OF, "--output", tmp_path / "out")
    (rejected,) = rows(tmp_path / "out" / "rejects.ndjson")
    assert rejected == {
        "patient": "pat-1",
        "reason": "its Patient cannot be read",
        "resources": 3,
    }


def test_any_id_that_fhir_allows_is_an_id(tmp_path: Path) -> None:
    names = ["-", "0", "NULL", "."]
    resources = [
        {**resource, "id": name}
        if resource["resourceType"] == "Patient"
        else {**resource, "subject": {"reference": f"Patient/{name}"}}
        for name in names
        for resource in LOW
    ]
    path = ndjson(tmp_path / "all.ndjson", *resources)
    run(path, *AS_OF, "--output", tmp_path / "out")
    assert sorted(row["patient"] for row in worklist(tmp_path / "out")) == sorted(names)
    assert rows(tmp_path / "out" / "rejects.ndjson") == []


def test_replay_knows_only_what_was_known(tmp_path: Path) -> None:
    visits = [stay("AMB", day, day) for day in (-400, -200, -10)]
    late = alp(26, -210, 35, issued="2026-10-30T00:00:00Z")  # came long after it was taken
    path = ndjson(tmp_path / "all.ndjson", patient(), alp(29, -300, 35), late, *visits)
    arguments = ["--replay", "2025-01-01..2026-11-01", "--output"]
    run(path, *arguments, tmp_path / "out")
    (row,) = rows(tmp_path / "out" / "explanations.ndjson")
    assert [(a["day"], a["situation"]) for a in row["answers"]] == [
        ("2026-04-15", "single-low-alp"),
        ("2026-10-22", "single-low-alp"),
    ]
    run(path, "--snooze-days", 365, *arguments, tmp_path / "snoozed")
    record = json.loads((tmp_path / "snoozed" / "run.json").read_text())
    assert record["counts"]["viewMoments"] == 3
    (policy,) = record["policies"]
    assert [c["cards"] for c in policy["cards"]] == [1]
    assert (policy["snoozed"], policy["again"]) == (1, 0)


def test_replay_asks_at_each_antiresorptive_order(tmp_path: Path) -> None:
    chart = [patient(), alp(29, -300, 35), alp(27, -200, 35), stay("AMB", -400, -400)]
    order = prescribed("alendronate", -100, status="completed")
    path = ndjson(tmp_path / "all.ndjson", *chart, order, prescribed("atorvastatin", -90))
    run(path, "--replay", "2025-01-01..2026-11-01", "--output", tmp_path / "out")
    (row,) = worklist(tmp_path / "out")
    assert (row["situation"], row["hook"], row["drugs"], row["day"]) == (
        "persistent-low-alp-antiresorptive-order",
        "order-sign",
        "alendronate",
        "2026-07-24",
    )


def test_two_policies_say_who_gains_and_who_loses(tmp_path: Path) -> None:
    stricter = tmp_path / "stricter.toml"
    stricter.write_text('version = "strict"\n[situations]\npersistent-low-alp = "off"\n')
    treated = [
        {**r, "subject": {"reference": "Patient/two"}} if "subject" in r else {**r, "id": "two"}
        for r in (patient(), alp(70, -900, 35), alp(27, -45, 35), taking("alendronate", -400))
    ]
    path = ndjson(tmp_path / "all.ndjson", *LOW, *treated)
    plain = tmp_path / "plain.toml"
    plain.write_text('version = "plain"\n')
    two = ["--policy", plain, "--policy", stricter]
    assert run(path, *AS_OF, *two, "--output", tmp_path / "out")[0] == 0
    changed = {r["patient"]: r for r in worklist(tmp_path / "out")}
    assert changed["pat-1"]["change"] == "loses"
    assert changed["pat-1"]["indicator_b"] == ""
    assert changed["pat-1"]["reason_b"] != ""
    assert changed["two"]["change"] == "same card"
    assert run(path, *AS_OF, *two[2:], *two[:2], "--output", tmp_path / "b")[0] == 0
    assert {r["patient"]: r["change"] for r in worklist(tmp_path / "b")}["pat-1"] == "gains"


def test_small_counts_are_not_shown(source: Path, tmp_path: Path) -> None:
    run(source, *AS_OF, "--suppress-below", 5, "--output", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    (policy,) = record["policies"]
    assert policy["patientsWithCard"] is None
    assert [(c["cards"], c["patients"], c["per1000Patients"]) for c in policy["cards"]] == [
        (None, None, None)
    ]
    report = json.loads((tmp_path / "out" / "measure-report.json").read_text())
    masked = report["group"][0]["population"][2]["_count"]["extension"][0]["valueCode"]
    assert masked == "masked"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["{source}", "--output", "{out}"], "either --as-of DAY or --replay"),
        (["{source}", *AS_OF, "--replay", "2020-01-01..2020-02-01", "--output", "{out}"], "either"),
        (["{source}", "--replay", "2020-13-01..2020-02-01", "--output", "{out}"], "two days"),
        (["{source}", "--replay", "2020-02-01..2020-01-01", "--output", "{out}"], "two days"),
        (["{none}", *AS_OF, "--output", "{out}"], "cannot be read (No such file"),
        (["{empty}", *AS_OF, "--output", "{out}"], "holds no .ndjson"),
        (["{source}", *AS_OF, "--output", "{source}"], "Not a directory"),
        (["{source}", *AS_OF, "--output", "/proc/nowhere/out"], "/proc/nowhere"),
        (["{folder}", *AS_OF, "--output", "{folder}/out"], "lies within the source"),
        (["{source}", "--replay", "2020-01-01..2020-02-01", "--output", "{out}"], "--at alp"),
        (["{source}", *AS_OF, "--output", "{out}", "--master", "local"], "--master goes with"),
        (["{source}", *AS_OF, "--output", "{out}", "--policy", "{none}"], "cannot be read"),
        (["{source}", *AS_OF, "--output", "{out}", *["--policy", "x"] * 3], "twice at most"),
        (["{broken}", *AS_OF, "--output", "{out}"], "cannot be read"),
    ],
)
def test_refusal_is_one_clear_line(
    source: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken.ndjson.gz"
    broken.write_bytes(gzip.compress(source.read_bytes())[:-12])
    places = {
        "source": source,
        "folder": source.parent,
        "out": tmp_path / "out",
        "none": tmp_path / "none",
        "empty": tmp_path / "empty",
        "broken": broken,
    }
    code, output = run(*(a.format(**places) for a in arguments))
    assert code == 2
    assert said in output
    assert output.count("\n") == 1
    assert not (tmp_path / "out" / "run.json").exists()


def test_finished_or_other_run_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    run(source, *AS_OF, "--output", tmp_path / "out")
    code, output = run(source, *AS_OF, "--output", tmp_path / "out")
    assert (code, "holds a finished run" in output) == (2, True)
    work = tmp_path / "other" / "work"
    work.mkdir(parents=True)
    (work / "question.json").write_text("{}")
    code, output = run(source, *AS_OF, "--output", tmp_path / "other")
    assert (code, "with another question" in output) == (2, True)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "cds_service", "screen", *map(str, arguments)]


def test_full_disk_is_one_clear_line(source: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: writing fails half-way."""

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    ran = subprocess.run(
        command(source, *AS_OF, "--output", tmp_path / "out"),
        preexec_fn=no_room,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert "too large" in ran.stderr.lower()
    assert not [p for p in (tmp_path / "out").iterdir() if p.is_file()]
    assert run(source, *AS_OF, "--output", tmp_path / "out")[0] == 0


def test_killed_twice_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    export = tmp_path / "export"
    write_population(export, patients=2300, visits_a_year=1, other_results=0)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    arguments = (export, "--replay", "2025-01-01..2026-11-01", "--at", "alp")
    assert run(*arguments, "--output", whole)[0] == 0
    for sign in ("work/spool/000005.json", "work/results/000000.ndjson"):
        _kill_at(killed / sign, command(*arguments, "--output", killed))
        assert not (killed / "run.json").exists()
    assert run(*arguments, "--output", killed)[0] == 0
    assert files(killed) == files(whole)


def _kill_at(sign: Path, words: list[str]) -> None:
    """Start a run, and end it with SIGKILL as soon as a file appears."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(60_000):
            if sign.exists() or process.poll() is not None:
                break
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
    assert process.returncode == -signal.SIGKILL, "the run had ended before"


def test_progress_is_on_standard_error_alone(source: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        command(source, *AS_OF, "--output", tmp_path / "out"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "FORCE_COLOR": "1"},
    )
    assert ran.stdout.count("\n") == 1


def test_rate_of_a_run_that_goes_on_is_its_own() -> None:
    progress = Progress("Asking", 1000, "patients", None)
    progress.begin_at(900)
    progress.advance(20)
    assert progress.line(2.0) == ("Asking: 920 of 1,000 patients, 10 patients/s, about 8 s left")


def test_small_count_in_shadow_is_not_shown_either(source: Path, tmp_path: Path) -> None:
    policy = tmp_path / "shadow.toml"
    policy.write_text('version = "shadow"\n[situations]\npersistent-low-alp = "shadow"\n')
    hidden = ["--policy", policy, "--suppress-below", 5]
    assert run(source, *AS_OF, *hidden, "--output", tmp_path / "out")[0] == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<td>persistent-low-alp (in shadow, patient-view)</td><td>not shown</td>" in page


def test_screening_carries_no_web_server_and_no_validation_in_memory(
    source: Path, tmp_path: Path
) -> None:
    program = (
        "import sys; from cds_service.cli import main; main(sys.argv[1:], standalone_mode=False);"
        "sys.exit(' '.join({'flask', 'sqlalchemy', 'requests', 'fhir'} & set(sys.modules)) or None)"
    )
    words = ["screen", source, *AS_OF, "--output", tmp_path / "out"]
    subprocess.run([sys.executable, "-c", program, *map(str, words)], check=True)
