"""`cds-service load` and `fire` against a FHIR server that is a process of its own."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

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
        (
            ["fire", "--fhir-server", "http://127.0.0.1:1", "--patient", "1", "--save", "no/where"],
            "no/where: cannot be written (No such file or directory)",
        ),
        (
            ["fire", "--fhir-server", "http://x", "--patient", "1", "--service", "http://["],
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


@contextmanager
def answering_anything(*answers: tuple[int, bytes]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers one after the other, whatever is asked; what it was told."""
    left, told = list(answers), []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        told.append(environ.get("HTTP_AUTHORIZATION", ""))
        status, body = left.pop(0) if len(left) > 1 else left[0]
        start_response(f"{status} X", [("Content-Type", "application/json")])
        return [body]

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


OFFERED = json.dumps(
    {"services": [{"hook": "patient-view", "id": "x", "description": "", "prefetch": {}}]}
).encode()


@pytest.mark.parametrize(
    "answers, words",
    [
        ([(200, b"[]")], "no CDS service answers there"),
        ([(200, b'{"services": {}}')], "no CDS service answers there"),
        ([(200, b'{"services": [{"hook": "patient-view"}]}')], "no CDS service answers there"),
        ([(200, b'{"services": ["x"]}')], "no CDS service answers there"),
        ([(500, b"")], "no CDS service answers there"),
        (
            [(401, b"{}")],
            " answered 401: it wants a client's token, which `fire` cannot give;"
            " use a service with CDS_AUTH=off",
        ),
        ([(200, OFFERED), (200, b"[]")], "no answer that CDS Hooks knows"),
        ([(200, OFFERED), (200, b"{}")], "no answer that CDS Hooks knows"),
        ([(200, OFFERED), (200, b'{"cards": [{"summary": 1}]}')], "no answer that CDS Hooks knows"),
        ([(200, OFFERED), (400, b'{"issue": ["x"]}')], "the service answered 400"),
        ([(200, OFFERED), (400, b'"no"')], "the service answered 400"),
        ([(200, OFFERED), (502, b"<html>")], "the service answered 502"),
    ],
)
def test_a_service_that_answers_anything_is_told_in_one_line(
    answers: list[tuple[int, bytes]], words: str
) -> None:
    with answering_anything(*answers) as (service, _):
        given = ["--fhir-server", "http://127.0.0.1:1", "--patient", "1", "--service", service]
        result = run("fire", *given)
    assert (result.exit_code, type(result.exception)) == (2, SystemExit), result.output
    assert words in result.output


@pytest.mark.parametrize(
    "answer, words",
    [
        (b"[]", "answered 200: without saying why"),
        (b'{"issue": ["x"]}', "answered 200: without saying why"),
        (b'{"issue": [{"details": []}]}', "answered 200: without saying why"),
        (b'{"type": "transaction-response", "entry": ["x"]}', "answered for 1 of 1"),
        (b'{"type": "transaction-response", "entry": {}}', "answered for 0 of 1"),
        (json.dumps({"type": "transaction-response", "entry": [1] * 17}).encode(), "17 entries"),
    ],
)
def test_a_fhir_server_that_answers_anything_is_told_in_one_line(answer: bytes, words: str) -> None:
    with answering_anything((200, answer)) as (base, _):
        result = run("load", "--fhir-server", base, str(PATIENTS / "normal-alp.json"))
    assert (result.exit_code, type(result.exception)) == (2, SystemExit), result.output
    assert words in result.output


def test_a_token_is_not_displaced_by_a_password_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.1 login somebody password else\n", encoding="ascii")
    monkeypatch.setenv("NETRC", str(netrc))
    with answering_anything((200, b"{}")) as (base, told):
        named = base.replace(
            "127.0.0.1", "127.1"
        )  # the same, which does not look like this machine
        given = ["--fhir-server", named, "--token", TOKEN, str(PATIENTS / "normal-alp.json")]
        run("load", *given)
    assert told == [f"Bearer {TOKEN}"]


def test_a_proxy_of_the_machine_is_not_asked_for_what_is_on_it(
    sandbox: str, ids: dict[str, str]
) -> None:
    nowhere = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    for arguments in (
        ["demo", "--once", "--port", "0"],
        ["load", "--fhir-server", sandbox, str(PATIENTS / "normal-alp.json")],
        ["fire", "--fhir-server", sandbox, "--patient", ids["normal-alp"], *DAY],
    ):
        result = CliRunner().invoke(main, arguments, env={"COLUMNS": "200", **nowhere})
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "command", [["load", "README.md"], ["fire", "--patient", "1"]], ids=["load", "fire"]
)
def test_a_time_to_wait_is_more_than_none(command: list[str]) -> None:
    result = run(*command, "--fhir-server", "http://127.0.0.1:1", "--timeout", "0")
    assert result.exit_code == 2
    assert "--timeout" in result.output


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
