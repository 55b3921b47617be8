"""The `cds-service` command: what it prints, and how it refuses."""

import copy
import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

from cds_service.addresses import is_loopback
from cds_service.cli import main
from cds_service.rulebook.files import KNOWLEDGE, read_toml
from cds_service.settings import SETTINGS
from tests.charts import REFERENCE, Json, alp, bundle, dose, fixture, patient
from tests.processes import (
    NO_SETTINGS,
    OFF,
    PATIENCE_SECONDS,
    ROOT,
    answering,
    command,
    environment,
    free_port,
    running,
)

REQUESTS = ROOT / "fhir_fixtures" / "requests"
PATIENTS = ROOT / "fhir_fixtures" / "patients"
INDEX = json.loads((ROOT / "fhir_fixtures" / "index.json").read_text(encoding="utf-8"))
SITUATIONS = {entry["name"]: entry["situation"] for entry in INDEX}
PERSISTENT = str(REQUESTS / "persistent-low-alp.json")
NORMAL = str(REQUESTS / "normal-alp.json")
BUNDLE = str(PATIENTS / "persistent-low-alp.json")
AS_OF = ("--as-of", REFERENCE.isoformat())


def run(
    *arguments: str, given: bytes | None = None, settings: Mapping[str, str] = NO_SETTINGS
) -> Result:
    """The command within this process, with these settings and no others."""
    unset = {s.name: None for s in SETTINGS}
    # Wide enough that no line is broken within a sentence.
    environment = {**unset, "COLUMNS": "300", "TERM": "dumb", **settings}
    return CliRunner().invoke(main, arguments, input=given, env=environment)


def evaluated(
    *arguments: str, given: bytes | None = None, settings: Mapping[str, str] = NO_SETTINGS
) -> list[Json]:
    """What `evaluate --format json` says, a line for each patient."""
    result = run("evaluate", "--format", "json", *arguments, given=given, settings=settings)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return [json.loads(line) for line in result.stdout.splitlines()]


def process(
    *arguments: str, settings: Mapping[str, str] = NO_SETTINGS
) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, run to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def written(folder: Path, name: str, content: Any) -> str:
    path = folder / name
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return str(path)


def request(name: str = "persistent-low-alp") -> Json:
    found: Json = json.loads((REQUESTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def says_one_line(error: str, *words: str) -> None:
    assert len(error.splitlines()) == 1, error
    assert error.startswith("Error: ")
    for word in words:
        assert word in error


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, f"{result.output}\n{result.exception!r}"
    assert result.stdout == ""
    says_one_line(result.stderr, *words)


# check


def test_check_says_what_is_in_force() -> None:
    result = run("check")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert re.match(
        r"Knowledge \d\S*, policy \d\S*: \d+ situations, \d+ value sets, ", result.stdout
    )
    assert "Last clinical review: none yet" in result.stdout


def test_check_names_what_a_site_switched(tmp_path: Path) -> None:
    policy = written(
        tmp_path,
        "site.toml",
        'version = "St Elsewhere 3"\n[situations]\npersistent-low-alp = "off"\n'
        'single-low-alp = "shadow"\nfracture-low-alp = "on"\n',
    )
    result = run("check", settings={"CDS_POLICY": policy})
    assert result.exit_code == 0
    assert "policy St Elsewhere 3:" in result.stdout
    switched = ["persistent-low-alp is off", "single-low-alp is shadow"]
    assert result.stdout.splitlines()[1:] == switched


def test_check_names_the_numbers_and_codes_of_a_site(tmp_path: Path) -> None:
    policy = written(
        tmp_path,
        "site.toml",
        "[alp]\nadult_female = 38\n"
        '[[local_codes]]\nvalue_set = "alp-total"\nsystem = "urn:x"\ncode = "ALP"\n'
        '[[local_codes]]\nvalue_set = "plp"\nsystem = "urn:x"\ncode = "B6"\n',
    )
    result = run("check", settings={"CDS_POLICY": policy})
    assert result.stdout.splitlines()[1:] == [
        "alp.adult_female = 38 (built-in: 35)",
        "local_codes = value_set alp-total, system urn:x, code ALP;"
        " value_set plp, system urn:x, code B6 (built-in: none)",
    ]


def test_check_needs_no_authentication_to_be_set_up() -> None:
    assert run("check", settings={"CDS_AUTH": "required"}).exit_code == 0


def test_settings_that_are_empty_are_as_good_as_unset() -> None:
    assert run("check", settings={s.name: "" for s in SETTINGS}).output == run("check").output


def test_version_is_that_of_the_package() -> None:
    assert re.fullmatch(r"cds-service, version \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize("group", [(), ("client",), ("db",)])
def test_the_list_of_commands_cuts_no_sentence(group: tuple[str, ...]) -> None:
    commands = run(*group, "--help").stdout.partition("Commands:\n")[2]
    assert all(line.endswith(".") for line in commands.splitlines())
    assert "..." not in commands


@pytest.mark.parametrize("name", ["serve", "demo", "evaluate", "check"])
def test_every_command_explains_itself(name: str) -> None:
    assert name in run("--help").stdout
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"{name} [OPTIONS]" in result.stdout


# evaluate


def test_a_hook_request_gives_its_cards() -> None:
    result = run("evaluate", PERSISTENT, *AS_OF)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "persistent-low-alp.json (patient-view)" in result.stdout
    assert "WARNING  ALP persistently low (31 and 27 U/L)" in result.stdout
    assert "Draft orders, one press each: [Blood test: PLP (vitamin B6 level) *]" in result.stdout
    assert "Set aside because: Already evaluated" in result.stdout


def test_silence_gives_its_reason() -> None:
    result = run("evaluate", NORMAL, *AS_OF)
    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    why = "the latest ALP that counts, 58 U/L on 2 Sep 2026, is not low"
    assert f"No card, because {why}. [nothing-low]" in said


def test_json_is_one_object_a_patient() -> None:
    (found,) = evaluated(PERSISTENT, *AS_OF)
    cards = found.pop("cards")
    assert found == {
        "file": PERSISTENT,
        "patient": "persistent-low-alp",
        "hook": "patient-view",
        "asOf": "2026-11-01",
        "situation": "persistent-low-alp",
        "reason": found["reason"],
    }
    assert found["reason"]
    assert [c["indicator"] for c in cards] == ["warning"]


def test_json_of_silence_has_no_cards() -> None:
    (found,) = evaluated(NORMAL, *AS_OF)
    assert (found["situation"], found["cards"]) == ("nothing-low", [])


def test_a_folder_gives_every_file_in_order() -> None:
    found = evaluated(str(REQUESTS), *AS_OF)
    assert [Path(f["file"]).stem for f in found] == sorted(SITUATIONS)
    assert {Path(f["file"]).stem: f["situation"] for f in found} == SITUATIONS


def test_a_folder_of_patients_gives_the_same_answers() -> None:
    found = evaluated(str(PATIENTS), *AS_OF)
    assert {Path(f["file"]).stem: f["situation"] for f in found} == SITUATIONS


def test_what_is_no_patient_in_a_folder_is_named_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "a-list.json").write_text("[]", encoding="utf-8")
    (tmp_path / "index.json").write_text('{"patients": []}', encoding="utf-8")
    nothing = run("evaluate", str(tmp_path))
    assert (nothing.exit_code, nothing.stdout) == (2, "")
    assert nothing.stderr.splitlines()[-1] == (
        f"Error: {tmp_path}: the folder holds neither a hook request nor a FHIR Bundle"
    )
    (tmp_path / "z.json").write_bytes(Path(PERSISTENT).read_bytes())
    found = run("evaluate", "--format", "json", str(tmp_path), *AS_OF)
    assert found.exit_code == 0, found.output
    (line,) = found.stdout.splitlines()
    assert json.loads(line)["situation"] == "persistent-low-alp"
    assert found.stderr.splitlines() == [
        f"Left out: {tmp_path / name}: neither a hook request nor a FHIR Bundle"
        for name in ("a-list.json", "index.json")
    ]
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    broken = run("evaluate", str(tmp_path), *AS_OF)
    assert (broken.exit_code, "broken.json: not valid JSON" in broken.stderr) == (2, True)


def test_several_files_come_in_the_order_given() -> None:
    found = evaluated(PERSISTENT, NORMAL, PERSISTENT, *AS_OF)
    assert [f["file"] for f in found] == [PERSISTENT, NORMAL, PERSISTENT]


@pytest.mark.parametrize("folder", [REQUESTS, PATIENTS], ids=["hook request", "Bundle"])
def test_standard_input(folder: Path) -> None:
    body = (folder / "persistent-low-alp.json").read_bytes()
    (found,) = evaluated("-", *AS_OF, given=body)
    assert found["file"] == "standard input"
    assert found["situation"] == "persistent-low-alp"


def test_standard_input_of_a_real_process() -> None:
    done = subprocess.run(
        command("evaluate", "-", *AS_OF, "--format", "json"),
        cwd=ROOT,
        env=environment(),
        input=(REQUESTS / "persistent-low-alp.json").read_bytes(),
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["situation"] == "persistent-low-alp"


def test_a_bundle_is_asked_about_on_its_own_day(tmp_path: Path) -> None:
    chart = bundle(patient(58), alp(31, -30, 35), timestamp="2026-10-20T09:00:00+02:00")
    (found,) = evaluated(written(tmp_path, "chart.json", chart))
    assert (found["asOf"], found["situation"]) == ("2026-10-20", "single-low-alp")


@pytest.mark.parametrize("timestamp", [None, "yesterday", ["2026-10-20"]])
def test_a_bundle_without_its_day_is_asked_about_today(tmp_path: Path, timestamp: Any) -> None:
    chart = bundle(patient(58), timestamp=timestamp)
    (found,) = evaluated(written(tmp_path, "chart.json", chart))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["asOf"])
    assert found["asOf"] != "2026-10-20"


@pytest.mark.parametrize(
    "day, situation", [("2026-11-01", "persistent-low-alp"), ("2029-11-01", "nothing-low")]
)
@pytest.mark.parametrize("folder", [REQUESTS, PATIENTS], ids=["hook request", "Bundle"])
def test_as_of_is_the_day_of_the_question(folder: Path, day: str, situation: str) -> None:
    (found,) = evaluated(str(folder / "persistent-low-alp.json"), "--as-of", day)
    assert (found["asOf"], found["situation"]) == (day, situation)


TWO = {"persistent-low-alp": "persistent-low-alp", "normal-alp": "nothing-low"}


def test_each_patient_of_a_bundle_is_asked_about(tmp_path: Path) -> None:
    both = bundle(*(e["resource"] for n in TWO for e in fixture(n)["entry"]))
    found = evaluated(written(tmp_path, "both.json", both))
    assert {f["patient"]: f["situation"] for f in found} == TWO


def test_explain_tells_facts_and_rows() -> None:
    result = run("evaluate", PERSISTENT, *AS_OF, "--explain")
    assert result.exit_code == 0
    assert "What is on record" in result.stdout
    assert "ALP 27 Sep 2026: 27 U/L, low against 35 U/L" in result.stdout
    assert "Antiresorptives: none on record." in result.stdout
    assert re.search(r"CARD +Persistently low ALP .*\[persistent-low-alp\]", result.stdout)
    assert re.search(r"\bno +Low ALP in pregnancy \[pregnancy-low-alp\]", result.stdout)
    assert "No pregnancy is on record for today." in result.stdout


def test_explain_tells_every_row_of_a_silence_too() -> None:
    (found,) = evaluated(NORMAL, *AS_OF, "--explain")
    rows = {r["situation"]: r["outcome"] for r in found["rows"]}
    assert rows["nothing-low"] == "silence"
    files = {p.stem: read_toml(p) for p in (KNOWLEDGE / "situations").glob("*.toml")}
    asked = {slug for slug, toml in files.items() if "patient-view" in toml["hooks"]}
    assert set(rows) == asked
    assert all(r["reason"] for r in found["rows"])


def test_rows_are_told_only_when_asked_for() -> None:
    (found,) = evaluated(PERSISTENT, *AS_OF)
    assert "rows" not in found


def test_explain_tells_what_a_site_switched_off(tmp_path: Path) -> None:
    policy = written(tmp_path, "site.toml", '[situations]\npersistent-low-alp = "off"')
    (found,) = evaluated(PERSISTENT, *AS_OF, "--explain", settings={"CDS_POLICY": policy})
    assert ("persistent-low-alp", "off") in {(r["situation"], r["outcome"]) for r in found["rows"]}
    assert found["situation"] != "persistent-low-alp"


def test_shadow_is_told_on_the_terminal(tmp_path: Path) -> None:
    policy = written(tmp_path, "site.toml", '[situations]\npersistent-low-alp = "shadow"')
    result = run("evaluate", PERSISTENT, *AS_OF, settings={"CDS_POLICY": policy})
    said = " ".join(result.stdout.split())
    assert "No card, because persistent-low-alp is in shadow: low 3 of 3 episodes" in said
    assert "no row applies" not in said
    assert "In shadow: persistent-low-alp" in said
    (found,) = evaluated(PERSISTENT, *AS_OF, settings={"CDS_POLICY": policy})
    assert found["shadow"] == ["persistent-low-alp"]
    assert found["cards"] == []


@pytest.mark.parametrize("folder", [REQUESTS, PATIENTS], ids=["hook request", "Bundle"])
def test_hook_is_the_hook_asked_as(folder: Path) -> None:
    (found,) = evaluated(str(folder / "persistent-low-alp.json"), *AS_OF, "--hook", "patient-view")
    assert (found["hook"], found["situation"]) == ("patient-view", "persistent-low-alp")


def test_hook_overrules_that_of_the_request(tmp_path: Path) -> None:
    path = written(tmp_path, "request.json", {**request(), "hook": "encounter-start"})
    (found,) = evaluated(path, *AS_OF, "--hook", "patient-view")
    assert found["hook"] == "patient-view"


@pytest.mark.parametrize("options", [[], ["--hook", "order-select"], ["--hook", "order-sign"]])
def test_a_drafted_drug_is_asked_about_at_the_order(options: list[str]) -> None:
    (found,) = evaluated(BUNDLE, *AS_OF, "--draft", "alendronate", *options)
    assert found["hook"] == (options or ["", "order-sign"])[1]
    assert found["situation"] == "persistent-low-alp-antiresorptive-order"
    assert [c["indicator"] for c in found["cards"]] == ["warning"]


def test_an_order_that_ends_denosumab_is_asked_about(tmp_path: Path) -> None:
    chart = bundle(patient(69), alp(28, -900, 35), alp(27, -20, 35), dose("denosumab", -150))
    path = written(tmp_path, "chart.json", chart)
    (ending,) = evaluated(path, "--draft", "denosumab", "--end")
    assert (ending["hook"], ending["situation"]) == ("order-sign", "denosumab-gap")


@pytest.mark.parametrize("name", ["chart[final].json", "[/bold].json", "[red]chart.json"])
def test_a_file_name_is_no_markup(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(request()), encoding="utf-8")
    result = run("evaluate", str(path), *AS_OF)
    assert result.exit_code == 0, repr(result.exception)
    assert name in result.stdout


# Refusals: exit code 2 and one clear line


PATIENT_A = {"resourceType": "Patient", "id": "a"}
PATIENT_B = {"resourceType": "Patient", "id": "b"}


def collection(*entries: Any) -> Json:
    return {"resourceType": "Bundle", "type": "collection", "entry": list(entries)}


def without(found: Json, *keys: str) -> Json:
    left = copy.deepcopy(found)
    for key in keys:
        del left["prefetch"][key]
    return left


MEDICATIONS = tuple(key for key in request()["prefetch"] if key.startswith("medication"))
BAD_FILES: list[tuple[str, Any, str]] = [
    ("an empty file", "", "not valid JSON"),
    ("not JSON", "{not json", "not valid JSON"),
    ("JSON cut off", json.dumps(request())[:-2], "not valid JSON"),
    ("JSON nested without end", "[" * 100_000, "not valid JSON"),
    ("a list", [], "neither a hook request nor a FHIR Bundle"),
    ("a text", '"Bundle"', "neither a hook request nor a FHIR Bundle"),
    ("an empty object", {}, "neither a hook request nor a FHIR Bundle"),
    ("a Patient", PATIENT_A, "neither a hook request nor a FHIR Bundle"),
    ("a Bundle without entries", {"resourceType": "Bundle"}, "no Patient"),
    ("a Bundle with none", collection(), "no Patient"),
    ("a Bundle without a Patient", collection({"resource": alp(31, -30)}), "no Patient"),
    (
        "a Patient without an id",
        collection({"resource": {"resourceType": "Patient"}}),
        "no Patient",
    ),
    ("a Bundle whose entry is a number", {"resourceType": "Bundle", "entry": 5}, "no Patient"),
    ("a Bundle of nulls", collection(None, {"resource": None}), "no Patient"),
    ("a hook that is a number", {**request(), "hook": 5}, "hook"),
    ("a hook that is not answered", {**request(), "hook": "encounter-start"}, "answers the hook"),
    (
        "a request without context",
        {k: v for k, v in request().items() if k != "context"},
        "context",
    ),
    (
        "a request without prefetch",
        {k: v for k, v in request().items() if k != "prefetch"},
        "required",
    ),
    ("a request without the patient", without(request(), "patient"), "'patient'"),
    ("a request without ALP", without(request(), "alp"), "'alp'"),
    ("a request without medications", without(request(), *MEDICATIONS), "medicationStatements"),
]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("content, says", [b[1:] for b in BAD_FILES], ids=[b[0] for b in BAD_FILES])
def test_a_file_that_cannot_be_evaluated(
    tmp_path: Path, content: Any, says: str, form: str
) -> None:
    path = written(tmp_path, "given.json", content)
    refused(run("evaluate", path, "--format", form), f"{path}: ", says)


def test_standard_input_that_cannot_be_evaluated() -> None:
    refused(run("evaluate", "-", given=b"{not json"), "standard input: ", "not valid JSON")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "given.json"
    path.write_bytes(b'{"hook": "\xff"}')
    refused(run("evaluate", str(path)), str(path), "not valid JSON")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "nowhere.json")
    refused(run("evaluate", path), f"{path}: ", "No such file")


def test_an_empty_folder(tmp_path: Path) -> None:
    written(tmp_path, "notes.txt", "no JSON here")
    refused(run("evaluate", str(tmp_path)), f"{tmp_path}: ", "no .json file")


@pytest.mark.parametrize(
    "path, options, says",
    [
        (BUNDLE, ["--hook", "order-sign"], "--draft"),
        (BUNDLE, ["--hook", "order-select"], "--draft"),
        (BUNDLE, ["--hook", "patient-view", "--draft", "denosumab"], "--draft"),
        (BUNDLE, ["--draft", "aspirin"], "alendronate"),
        (BUNDLE, ["--draft", "vitamin-b6"], "alendronate"),
        (BUNDLE, ["--end"], "--draft"),
        (PERSISTENT, ["--draft", "denosumab"], "--draft"),
        (PERSISTENT, ["--hook", "order-sign"], "context.draftOrders"),
        (PERSISTENT, ["--hook", "order-select"], "context.draftOrders"),
    ],
    ids=[
        "order-sign without a draft",
        "order-select without a draft",
        "a draft at patient-view",
        "a draft of another drug",
        "a draft of a drug that is no antiresorptive",
        "the end of nothing",
        "a draft beside a hook request",
        "a request without drafts as order-sign",
        "a request without drafts as order-select",
    ],
)
def test_options_that_do_not_fit(path: str, options: list[str], says: str) -> None:
    refused(run("evaluate", path, *options), says)


def test_what_came_before_a_bad_file_is_still_told(tmp_path: Path) -> None:
    bad = written(tmp_path, "bad.json", "{")
    result = run("evaluate", PERSISTENT, bad, *AS_OF, "--format", "json")
    assert result.exit_code == 2
    assert [json.loads(line)["file"] for line in result.stdout.splitlines()] == [PERSISTENT]
    says_one_line(result.stderr, bad)


@pytest.mark.parametrize(
    "entries",
    [
        [{"fullUrl": ["urn:uuid:1"], "resource": PATIENT_A}],
        [{"fullUrl": 7, "resource": PATIENT_A}],
        [
            {"resource": PATIENT_A},
            {"resource": PATIENT_B},
            {"resource": {"resourceType": "Condition", "subject": {"reference": 7}}},
        ],
        [{"resource": PATIENT_A}, {"resource": {"resourceType": ["Condition"]}}],
        [{"resource": PATIENT_A}, {"resource": {**alp(31, -30), "code": "ALP"}}],
        [
            {"resource": PATIENT_A},
            {"resource": {"resourceType": "ServiceRequest", "status": ["active"]}},
        ],
    ],
    ids=[
        "address that is a list",
        "address that is a number",
        "reference that is a number",
        "type that is a list",
        "code that is text",
        "status that is a list",
    ],
)
def test_a_bundle_with_an_odd_entry_is_read_all_the_same(
    tmp_path: Path, entries: list[Json]
) -> None:
    found = evaluated(written(tmp_path, "odd.json", collection(*entries)))
    assert found[0]["patient"] == "a"
    assert {f["situation"] for f in found} == {"nothing-low"}


BAD_SETTINGS = [
    ("CDS_AUTH", "maybe", "'required' or 'off'"),
    ("CDS_AUTH", "OFF", "'required' or 'off'"),
    ("CDS_MAX_BODY_BYTES", "ten", "a number from 1024"),
    ("CDS_MAX_BODY_BYTES", "0", "a number from 1024"),
    ("CDS_MAX_BODY_BYTES", "1023", "a number from 1024"),
    ("CDS_MAX_BODY_BYTES", "-4096", "a number from 1024"),
    ("CDS_MAX_BODY_BYTES", "1e6", "a number from 1024"),
    ("CDS_MAX_BODY_BYTES", "10 MiB", "a number from 1024"),
    ("CDS_MAX_BODY_BYTES", "１０４８５７６０", "a number from 1024"),  # digits, but not ASCII
    ("CDS_MAX_BODY_BYTES", "1073741825", "to 1073741824"),
    ("CDS_MAX_BODY_BYTES", "9" * 5000, "to 1073741824"),
    ("CDS_LOG_LEVEL", "loud", "DEBUG, INFO, WARNING, ERROR"),
    ("CDS_CANONICAL_URL", "low-alp-cds", "an absolute http or https URL"),
    ("CDS_CANONICAL_URL", "ftp://example.org", "an absolute http or https URL"),
    ("CDS_CANONICAL_URL", "https://", "an absolute http or https URL"),
    ("CDS_CANONICAL_URL", "https://example.org?a=b", "an absolute http or https URL"),
    ("CDS_CANONICAL_URL", "https://[half", "an absolute http or https URL"),
    ("CDS_CANONICAL_URL", 'https://example.org/"x', "an absolute http or https URL"),
    ("CDS_CANONICAL_URL", "https://example.org/a b", "an absolute http or https URL"),
]


@pytest.mark.parametrize(
    "name, value, right", BAD_SETTINGS, ids=[f"{n}={v[:20]}" for n, v, _ in BAD_SETTINGS]
)
def test_a_setting_that_is_wrong(name: str, value: str, right: str) -> None:
    refused(run("check", settings={name: value}), f"{name} is ", right)


@pytest.mark.parametrize("value, right", [("1024", 0), ("1073741824", 0), ("1023", 2)])
def test_limits_of_the_body_size(value: str, right: int) -> None:
    assert run("check", settings={"CDS_MAX_BODY_BYTES": value}).exit_code == right


IN_PROCESS = {
    "check": ("check",),
    "evaluate": ("evaluate", PERSISTENT),
    "demo": ("demo", "--once", "--port", "0"),
}


@pytest.mark.parametrize("arguments", IN_PROCESS.values(), ids=IN_PROCESS)
def test_every_command_refuses_a_wrong_setting(arguments: tuple[str, ...]) -> None:
    refused(run(*arguments, settings={"CDS_AUTH": "maybe"}), "CDS_AUTH is 'maybe'")


@pytest.mark.parametrize("arguments", IN_PROCESS.values(), ids=IN_PROCESS)
def test_every_command_refuses_a_policy_that_is_not_there(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    path = str(tmp_path / "nowhere.toml")
    refused(run(*arguments, settings={"CDS_POLICY": path}), f"{path}: cannot be read")


@pytest.mark.parametrize("arguments", IN_PROCESS.values(), ids=IN_PROCESS)
def test_every_command_refuses_a_policy_that_is_wrong(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    path = written(tmp_path, "site.toml", "[alp]\nadult_femal = 30")
    refused(run(*arguments, settings={"CDS_POLICY": path}), f"{path}: unknown key alp.adult_femal")


# serve: real processes only, for what is not refused stays up


def test_serve_refuses_without_authentication_unless_it_is_off() -> None:
    for settings in (NO_SETTINGS, {"CDS_AUTH": "required"}):
        done = process("serve", "--port", str(free_port()), settings=settings)
        assert (done.returncode, done.stdout) == (2, "")
        says_one_line(done.stderr, "CDS_AUTH=required", "CDS_AUTH=off")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])  # noqa: S104  (it is refused)
def test_serve_without_authentication_stays_on_loopback(host: str) -> None:
    done = process("serve", "--host", host, settings=OFF)
    assert (done.returncode, done.stdout) == (2, "")
    says_one_line(done.stderr, host, "--open-to-network")


@pytest.mark.parametrize(
    "host, loopback",
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104  (it is refused)
        ("::", False),
        ("", False),
        ("10.0.0.1", False),
        ("fe80::1", False),
        ("example.org", False),
        ("127.example.org", False),  # a name, which may lead anywhere
        ("127.0.0.1.example.org", False),
    ],
)
def test_loopback_is_an_address_of_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"CDS_AUTH": "maybe"}, "CDS_AUTH is 'maybe'"),
        ({"CDS_AUTH": "off", "CDS_MAX_BODY_BYTES": "ten"}, "CDS_MAX_BODY_BYTES is 'ten'"),
        ({"CDS_AUTH": "off", "CDS_POLICY": "/nowhere.toml"}, "/nowhere.toml: cannot be read"),
    ],
    ids=["CDS_AUTH", "CDS_MAX_BODY_BYTES", "CDS_POLICY"],
)
def test_serve_refuses_a_wrong_setting(settings: dict[str, str], says: str) -> None:
    done = process("serve", "--port", str(free_port()), settings=settings)
    assert (done.returncode, done.stdout) == (2, "")
    says_one_line(done.stderr, says)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_serve_answers_and_ends_cleanly(tmp_path: Path, end: signal.Signals) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    log = tmp_path / "log"
    options = ("--port", str(port), "--workers", "2", "--threads", "2")
    settings = {**OFF, "CDS_DATABASE_URL": f"sqlite:///{tmp_path / 'memory.sqlite3'}"}
    with (
        log.open("w", encoding="utf-8") as output,
        running("serve", *options, output=output, settings=settings) as server,
    ):
        found = answering(base, server)
        assert found.status_code == 200
        assert "low-alp-patient-view" in [s["id"] for s in found.json()["services"]]
        answer = requests.post(
            f"{base}/cds-services/low-alp-patient-view", json=request(), timeout=10
        )
        assert answer.status_code == 200
        assert isinstance(answer.json()["cards"], list), "which, depends on the day of the test"
        server.send_signal(end)
        assert server.wait(timeout=PATIENCE_SECONDS) == 0
    told = log.read_text(encoding="utf-8")
    assert f"Serving on {base}/cds-services" in told
    assert "answered service=low-alp-patient-view" in told
    assert "Traceback" not in told
    assert "persistent-low-alp.alp" not in told, "no id of the record is logged"
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{base}/cds-services", timeout=5)


# demo


def test_demo_shows_cards_and_ends() -> None:
    """With the defaults: it needs no setting to be changed."""
    done = process("demo", "--once", "--port", "0")
    assert done.returncode == 0, done.stderr
    assert "ALP persistently low (31 and 27 U/L)" in done.stdout
    said = " ".join(done.stdout.split())
    assert "No card, because the latest ALP that counts, 58 U/L on 2 Sep 2026, is not low." in said
    assert len(done.stdout.splitlines()) < 130, "a screen or three, not ten"
    assert "Data as of 1 Nov 2026" in done.stdout, "the patients' day, whatever day it is outside"
    assert done.stdout.count("Why this fired") == 1, "one card whole, the others in short"
    short = done.stdout.partition("More calls, in short")[2]
    assert re.findall(r"^(\S+) · (\S+)$", short, re.M) == [
        ("low-explained-by-antiresorptive", "patient-view"),
        ("low-before-antiresorptive", "patient-view"),
        ("suspect-specimen", "patient-view"),
        ("child-single-low-alp", "patient-view"),
        ("normal-alp", "patient-view"),
    ]
    assert re.findall(r"^(\S+) · order-sign, (\S+) drafted$", short, re.M) == [
        ("persistent-low-alp", "alendronate"),
        ("specialist-managed", "denosumab"),
        ("normal-alp", "alendronate"),
    ]
    assert "  CRITICAL  Hypophosphatasia" in short
    assert "  Draft orders: [New blood sample: ALP, K, Ca and Mg]" in short
    assert "answers at" not in done.stdout, "it is gone when this is read"
    assert "Press Ctrl-C" not in done.stdout
    assert "Traceback" not in done.stderr


def test_demo_follows_a_site_policy(tmp_path: Path) -> None:
    policy = written(tmp_path, "site.toml", '[situations]\npersistent-low-alp = "off"')
    done = process("demo", "--once", "--port", "0", settings={"CDS_POLICY": policy})
    assert done.returncode == 0, done.stderr
    assert "ALP persistently low (31 and 27 U/L)" not in done.stdout
    assert "INFO  ALP 31 U/L on alendronate" in done.stdout


def test_demo_stays_up_until_ctrl_c(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        log.open("w", encoding="utf-8") as output,
        running("demo", "--port", "0", output=output) as demo,
    ):
        address = _awaited(log, r"The service answers at (http://127\.0\.0\.1:\d+)", demo)
        _awaited(log, r"Press (Ctrl-C)", demo)
        told = log.read_text(encoding="utf-8")
        assert told.splitlines()[1] == f"Open the sandbox EHR at {address}/"
        assert told.count(f"Open the sandbox EHR at {address}/") == 2, "first and last"
        assert requests.get(f"{address}/cds-services", timeout=5).status_code == 200
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=PATIENCE_SECONDS) == 0
    told = log.read_text(encoding="utf-8")
    assert "Ended." in told
    assert "Traceback" not in told


def _awaited(log: Path, pattern: str, started: "subprocess.Popen[str]") -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = re.search(pattern, log.read_text(encoding="utf-8"))
        if found:
            return found[1]
        assert started.poll() is None, log.read_text(encoding="utf-8")
        time.sleep(0.05)
    raise AssertionError(f"{pattern!r} was not told within {PATIENCE_SECONDS} s")


def test_demo_names_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = process("demo", "--once", "--port", str(port))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"Error: port {port} is taken")
    assert "Traceback" not in done.stderr
