"""README.md and docs/ are true: their tables, commands, paths, links and examples are tried."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from datetime import date
from decimal import Decimal
from functools import reduce
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from cds_service import rulebook
from cds_service.app import create_app
from cds_service.cli import main
from cds_service.hooks import feedback
from cds_service.settings import SETTINGS, from_environment
from tests import pages_told, readme_tables
from tests.conftest import CANONICAL, Client
from tests.pages_told import ALL, CODE, COMMANDS, THE_README, Page
from tests.readme_tables import BLOCKS, ROOT

LONGEST = 450
LONGEST_PAGE = 120
SERVED_AT = "http://127.0.0.1:8000"
POLICY = pages_told.page("docs/policy.md")
CLIENTS = pages_told.page("docs/clients.md")
CONNECTING = pages_told.page("docs/connecting.md")
DECISIONS = pages_told.page("docs/decisions.md")
_PATH = re.compile(r"[\w<>-][\w.<>-]*(/[\w.<>-]+)*/?")
_FILE_ENDINGS = (".py", ".toml", ".json", ".md", ".yml")
_WRITTEN_BY_THE_READER = {"site-policy.toml", "try_token.py", "try-keys.json"}
every_page = pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)


def options(subcommand: str) -> set[str]:
    return {o for p in main.commands[subcommand].params for o in p.opts} | {"--help"}


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


@pytest.fixture
def site_policy(tmp_path: Path) -> Path:
    """The site policy that is given as an example."""
    (example,) = POLICY.fenced("toml")
    path = tmp_path / "site-policy.toml"
    path.write_text(example, encoding="utf-8")
    return path


# --- as a whole ---


@every_page
def test_generated_parts_are_current(page: Page) -> None:
    renewed = readme_tables.renewed(page.text)
    assert renewed == page.text, "renew: python -m tests.readme_tables --write"


def test_every_generated_part_stands_in_one_place() -> None:
    text = "".join(page.text for page in ALL)
    assert sorted(re.findall(r"<!-- generated: ([\w-]+) -->", text)) == sorted(BLOCKS)
    assert all(text.count(f"<!-- end: {name} -->") == 1 for name in BLOCKS)


@every_page
def test_is_short(page: Page) -> None:
    assert page.text.count("\n") <= (LONGEST if page == THE_README else LONGEST_PAGE)


def test_a_newcomer_is_told_at_once_what_to_type() -> None:
    first, second, *_ = THE_README.commands
    assert (first, second) == ("make demo", "make test")
    assert "make test" in THE_README.text.splitlines()[:25]


def test_the_readme_leads_to_every_page() -> None:
    led_to = {target.partition("#")[0] for target in THE_README.links}
    assert {page.name for page in ALL if page != THE_README} <= led_to


# --- commands ---


@pytest.mark.parametrize("command", COMMANDS)
def test_command_exists(command: str) -> None:
    words = pages_told.words(command)
    match words:
        case ["make", *named]:
            assert named
            assert set(named) <= targets()
        case ["cds-service", subcommand, *arguments]:
            # click itself checks names and values of the options; nothing is run.
            main.commands[subcommand].make_context(subcommand, arguments)
        case [".venv/bin/python", "-m", module, *_]:
            assert importlib.util.find_spec(module) is not None
        case ["curl", *_] | [".venv/bin/python", "try_token.py", *_]:
            pass  # run below
        case _:
            assert words == [".", ".venv/bin/activate"], "nobody tries this command"


@pytest.mark.parametrize("span", [c for c in CODE if c.startswith(("make ", "cds-service "))])
def test_command_within_a_sentence_exists(span: str) -> None:
    program, name, *rest = span.split()
    if program == "make":
        assert name in targets()
    else:
        assert {word for word in rest if word.startswith("--")} <= options(name)
        assert not rest or rest[0].startswith("--") or _has(name, rest[0])


def _has(command: str, subcommand: str) -> bool:
    return subcommand in getattr(main.commands[command], "commands", {})


def test_profile_of_the_compose_file_exists() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    known = {profile for service in services.values() for profile in service["profiles"]}
    told = {c.split()[3] for c in CODE if c.startswith("docker compose --profile ")}
    assert told
    assert told <= known


def test_option_within_a_sentence_exists() -> None:
    known = set.union(*(options(name) for name in main.commands))
    assert {c for c in CODE if c.startswith("--")} <= known


def test_setting_within_a_sentence_exists() -> None:
    """Each may also be read from the file that the same name with _FILE gives."""
    known = {s.name for s in SETTINGS}
    told = {name for c in CODE for name in re.findall(r"\bCDS_[A-Z_]+\b", c)}
    assert told - {"CDS_HASH_KEY_FILE", "CDS_DATABASE_URL_FILE"} <= known


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if "cds-service check" in c or "cds-service evaluate" in c]
)
def test_command_succeeds(command: str, site_policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    policy = str(site_policy) if "CDS_POLICY=" in command else None
    result = CliRunner().invoke(main, pages_told.words(command)[1:], env={"CDS_POLICY": policy})
    assert result.exit_code == 0, result.output


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_curl_brings_the_card_shown(service: Client) -> None:
    command, at_order = [c for c in THE_README.commands if c.startswith("curl ")]
    assert SERVED_AT in command
    assert SERVED_AT in at_order
    words = shlex.split(command.replace(SERVED_AT, service.base))
    direct = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    ran = subprocess.run(words, cwd=ROOT, env=direct, capture_output=True, check=True, timeout=30)
    assert THE_README.fenced("json") == [readme_tables.as_shown(json.loads(ran.stdout))]
    words = shlex.split(at_order.replace(SERVED_AT, service.base))
    ran = subprocess.run(words, cwd=ROOT, env=direct, capture_output=True, check=True, timeout=30)
    assert len(json.loads(ran.stdout)["cards"]) == 1


def test_the_demonstration_serves_where_curl_asks() -> None:
    defaults = main.commands["demo"].make_context("demo", []).params
    assert f"http://127.0.0.1:{defaults['port']}" == SERVED_AT


# --- examples ---


def test_example_of_a_site_policy_does_what_it_says(site_policy: Path) -> None:
    book = rulebook.load(CANONICAL, site_policy)
    built_in = rulebook.load(CANONICAL).policy
    assert book.policy.alp.adult_female == 38 != built_in.alp.adult_female
    assert book.policy.situations["single-low-alp"] == "shadow"
    assert book.terminology.concepts("urn:oid:1.2.3.4", "ALP") == ("alp-total",)
    assert book.policy.version == "example-hospital-1"


def test_example_of_feedback_is_taken_with_a_reason_of_ours(service: Client) -> None:
    (example,) = CONNECTING.fenced("json")
    answer = service.post(
        "/cds-services/low-alp-patient-view/feedback",
        data=example,
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()) == (200, {"received": 2, "unknownCards": 2})
    taken, aside = feedback.decode(example.encode())
    assert len(taken.suggestions) == 1
    book = service.advisor.rulebook
    assert aside.reason_system == book.override_system
    assert aside.reason_code in book.policy.snooze.months
    assert aside.comment


def test_a_key_of_ones_own_opens_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page on clients, done line by line: the token is made, let in once, and then refused."""
    (program,) = CLIENTS.fenced("python")
    make, add, serve, call = CLIENTS.commands[2:]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "try_token.py").write_text(program, encoding="utf-8")
    assert pages_told.words(make)[1:] == ["try_token.py", ">", "try-token.txt"]
    made = subprocess.run(
        [sys.executable, "try_token.py"], capture_output=True, text=True, check=True, timeout=30
    )
    bearer = {"Authorization": f"Bearer {made.stdout.strip()}"}
    added = CliRunner().invoke(main, pages_told.words(add)[1:], env=pages_told.assigned(add))
    assert added.exit_code == 0, added.output
    settings = pages_told.assigned(serve)
    port = main.commands["serve"].make_context("serve", pages_told.words(serve)[2:]).params["port"]
    assert settings["CDS_BASE_URL"] == f"http://127.0.0.1:{port}"
    *_, body, address = shlex.split(call)
    path = address.removeprefix(settings["CDS_BASE_URL"])
    http = create_app(from_environment(settings)).test_client()
    sent = (ROOT / body.removeprefix("@")).read_bytes()
    answers = [
        http.post(path, data=sent, content_type="application/json", headers=bearer)
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 401]


# --- paths, links, numbers ---


@every_page
def test_files_named_exist(page: Page) -> None:
    paths = {
        c
        for c in page.code
        if _PATH.fullmatch(c)
        and ("/" in c or c.endswith(_FILE_ENDINGS))
        and c != "app.py"
        and c not in _WRITTEN_BY_THE_READER
    }
    lost = {p for p in paths if not list(ROOT.glob(p.replace("<slug>", "*").rstrip("/")))}
    assert not lost


def test_every_folder_and_module_of_the_package_is_told() -> None:
    modules = {p.name for p in (ROOT / "cds_service").glob("*.py")} - {"__init__.py", "__main__.py"}
    assert {f"cds_service/{name}" for name in modules} <= set(THE_README.code)
    folders = {p.parent for p in (ROOT / "cds_service").glob("*/*") if p.suffix != ".pyc"}
    assert {f"cds_service/{f.name}/" for f in folders} <= set(THE_README.code)


def test_every_threat_has_a_test_that_exists() -> None:
    named = [c for c in THE_README.code if c.startswith("test_")]
    defined = {
        name
        for path in (ROOT / "tests").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(named) >= 16
    assert set(named) <= defined


@every_page
def test_links_resolve(page: Page) -> None:
    assert page.links, "every page leads somewhere"
    anchors = {told.path: told.anchors for told in ALL}
    for target in page.links:
        path, _, anchor = target.partition("#")
        led_to = (page.path.parent / path).resolve() if path else page.path
        assert led_to.exists(), target
        assert not anchor or anchor in anchors[led_to], target


def test_numbers_of_the_policy_are_those_in_force() -> None:
    policy = rulebook.load(CANONICAL).policy
    prose = "\n".join(page.prose for page in ALL)
    told_numbers = re.findall(r"(\d+)[^()\n|\d]{0,20}\(`([a-z_]+\.[a-z_]+)`\)", prose)
    assert told_numbers, "none recognised"
    for number, key in told_numbers:
        assert Decimal(number) == reduce(getattr, key.split("."), policy), key


def test_every_decision_has_its_day_and_reason_and_is_told_once() -> None:
    (in_short,) = re.findall(r"^## Decisions\n(.*?)^## ", THE_README.text, re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\| (\d.*) \| (.+) \| (.+) \|$", in_short + DECISIONS.text, re.MULTILINE)
    assert len(rows) >= 85
    assert {date.fromisoformat(day).year for day, _, _ in rows} == {2026}
    assert [c for c, n in Counter(choice for _, choice, _ in rows).items() if n > 1] == []


@pytest.mark.parametrize(
    "system, owner",
    [
        ("http://loinc.org", "LOINC is copyright"),
        ("http://snomed.info/sct", "SNOMED International"),
        ("http://www.whocc.no/atc", "WHO Collaborating Centre"),
        ("urn:oid:1.2.208.176.2.1", "NPU steering committee"),
    ],
)
def test_value_sets_carry_the_notices(system: str, owner: str) -> None:
    assert owner in THE_README.text
    for path in (ROOT / "cds_service/knowledge/value_sets").glob("*.json"):
        value_set = json.loads(path.read_text(encoding="utf-8"))
        if any(include["system"] == system for include in value_set["compose"]["include"]):
            assert owner in value_set["copyright"], path.name
