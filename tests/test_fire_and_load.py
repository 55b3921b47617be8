"""`cds-service load` and `fire` against a FHIR server that is a process of its own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

from cds_service.app import create_app
from cds_service.cli import main
from cds_service.commands.loopback import serving
from cds_service.transactions import SYSTEM, transaction
from tests.charts import REFERENCE, fixture
from tests.conftest import open_settings
from tests.fetching import TOKEN
from tests.fhir_stub import FhirStub, running

ROOT = Path(__file__).resolve().parent.parent
PATIENTS = ROOT / "fhir_fixtures" / "patients"
DAY = ["--as-of", REFERENCE.isoformat()]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    """The base URL of a FHIR server in a process of its own, empty at first."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "tests.fhir_stub", "--port", "0", "--page-size", "5"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def ids(sandbox: str) -> dict[str, str]:
    """Every bundled patient by name, with the id that the server gave."""
    result = run("load", "--fhir-server", sandbox, str(PATIENTS))
    assert result.exit_code == 0, result.output
    return dict(re.findall(r"^([\w-]+): ([\w-]+) \(\d+ resources", result.output, re.MULTILINE))


def entries(sandbox: str, kind: str) -> list[dict[str, Any]]:
    return requests.get(f"{sandbox}/{kind}", timeout=10).json()["entry"]


def test_loading_twice_changes_nothing(sandbox: str, ids: dict[str, str]) -> None:
    assert ids.keys() == {p.stem for p in PATIENTS.glob("*.json")}
    before = requests.get(f"{sandbox}/Patient", timeout=10).json()["total"]
    again = run("load", "--fhir-server", sandbox, str(PATIENTS / "normal-alp.json"))
    assert again.exit_code == 0, again.output
    assert ids["normal-alp"] in again.output
    assert requests.get(f"{sandbox}/Patient", timeout=10).json()["total"] == before == len(ids)


@pytest.mark.parametrize(
    "name, more, summary",
    [
        ("persistent-low-alp", [], "ALP persistently low (31 and 27 U/L)"),
        ("persistent-low-alp", ["--prefetch", "none"], "ALP persistently low (31 and 27 U/L)"),
        ("persistent-low-alp", ["--prefetch", "alp"], "ALP persistently low (31 and 27 U/L)"),
        ("separate-medication", ["--prefetch", "none"], "INFO"),
        ("normal-alp", [], "No card"),
        ("normal-alp", ["--prefetch", "none"], "No card"),
        ("specialist-managed", ["--draft", "denosumab"], "CRITICAL"),
        ("specialist-managed", ["--draft", "Prolia", "--prefetch", "none"], "CRITICAL"),
        ("persistent-low-alp", ["--draft", "alendronate", "--hook", "order-select"], "WARNING"),
    ],
)
def test_load_then_fire(
    sandbox: str, ids: dict[str, str], name: str, more: list[str], summary: str
) -> None:
    result = run("fire", "--fhir-server", sandbox, "--patient", ids[name], *more, *DAY)
    assert result.exit_code == 0, result.output
    assert summary in result.output
    assert "low-alp-order-sign: order-sign, 12 prefetch keys" in result.output
    if "--prefetch" not in more:
        assert re.search(r"laboratory +\d+ +\d+\.\d\d", result.output)


def test_what_was_fired_can_be_evaluated(sandbox: str, ids: dict[str, str], tmp_path: Path) -> None:
    kept = tmp_path / "call.json"
    options = ["--patient", ids["normal-alp"], "--save", str(kept), "--token", TOKEN]
    result = run("fire", "--fhir-server", sandbox, *options, *DAY)
    assert result.exit_code == 0, result.output
    assert TOKEN not in kept.read_text(encoding="utf-8") + result.output
    call = json.loads(kept.read_text(encoding="utf-8"))
    assert call["fhirServer"] == sandbox
    again = run("evaluate", str(kept), *DAY)
    assert again.exit_code == 0, again.output
    assert "No card" in again.output


def test_a_running_service_is_fired_at_and_asks_the_server_itself() -> None:
    with running(FhirStub()) as stub:
        stub.token = TOKEN
        stub.store(e["resource"] for e in fixture("persistent-low-alp")["entry"])
        settings = open_settings(fhir_servers=(stub.base,))
        app = create_app(settings, today=lambda: REFERENCE)
        with serving(app, 0) as server:
            service = f"http://127.0.0.1:{server.server_port}/"
            common = ["fire", "--fhir-server", stub.base, "--patient", "persistent-low-alp"]
            common += ["--service", service]
            result = run(*common, "--token", TOKEN, "--prefetch", "patient")
            assert "ALP persistently low" in result.output
            refused = run(*common)
            assert refused.exit_code == 2
            assert "answered 401" in refused.output, "each failed query is named"
            assert "the service answered 412" in refused.output
            assert run(
                *common, "--token", TOKEN, "--scope", "launch", "--prefetch", "none"
            ).exit_code
            assert run(*common, *DAY).exit_code == 2


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["fire", "--fhir-server", "ftp://x", "--patient", "1"], "--fhir-server is to be"),
        (
            ["fire", "--fhir-server", "http://127.0.0.1:1", "--patient", "1", "--token", "a b"],
            "--token",
        ),
        (["fire", "--fhir-server", "http://127.0.0.1:1", "--patient", "1"], "answered 412"),
        (
            ["fire", "--fhir-server", "http://x", "--patient", "1", "--hook", "order-sign"],
            "--draft DRUG goes with",
        ),
        (
            ["fire", "--fhir-server", "http://x", "--patient", "1", "--prefetch", "alps"],
            "--prefetch is to be none, or keys out of patient, alp",
        ),
        (
            [
                "fire",
                "--fhir-server",
                "http://x",
                "--patient",
                "1",
                "--service",
                "http://127.0.0.1:1",
            ],
            "no CDS service answers there",
        ),
        (["load", "--fhir-server", "x", "README.md"], "--fhir-server is to be"),
        (["load", "--fhir-server", "http://127.0.0.1:1", "README.md"], "not valid JSON"),
        (["load", "--fhir-server", "http://127.0.0.1:1", "nowhere.json"], "cannot be read"),
        (
            ["load", "--fhir-server", "http://127.0.0.1:1", str(PATIENTS)],
            "Error: http://127.0.0.1:1: no connection to the FHIR server; nothing was loaded",
        ),
    ],
)
def test_wrong_input_is_one_line_and_exit_status_2(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert words in result.output
    assert "Traceback" not in result.output


def test_a_transaction_names_every_resource_so_that_it_is_found_again() -> None:
    sent, left_out = transaction(fixture("entry-of-another-patient"), "x")
    assert left_out > 0, "no server accepts a reference to nobody"
    kinds = [e["request"]["url"].partition("?")[0] for e in sent["entry"]]
    assert kinds == [e["resource"]["resourceType"] for e in sent["entry"]]
    for entry in sent["entry"]:
        assert "id" not in entry["resource"], "the server gives the ids"
        assert {i["system"] for i in entry["resource"]["identifier"]} >= {SYSTEM}
    people = [e["fullUrl"] for e in sent["entry"] if e["resource"]["resourceType"] == "Patient"]
    subjects = {s["reference"] for e in sent["entry"] if (s := e["resource"].get("subject"))}
    assert subjects <= set(people)
    assert transaction(fixture("entry-of-another-patient"), "x") == (sent, left_out)
    assert transaction(fixture("corrected-result"), "x")[1] == 1, "the newest copy stays"
