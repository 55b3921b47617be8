"""README.md is true: its tables, commands, paths, links and examples are tried."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
from decimal import Decimal
from functools import reduce
from pathlib import Path

import pytest
from click.testing import CliRunner

from cds_service import rulebook
from cds_service.cli import main
from cds_service.settings import SETTINGS
from tests import readme_tables
from tests.conftest import CANONICAL, Client
from tests.readme_tables import BLOCKS, README, ROOT

TEXT = README.read_text(encoding="utf-8")
LONGEST = 700
SERVED_AT = "http://127.0.0.1:8000"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROSE = _FENCE.sub("", TEXT)
CODE = re.findall(r"`([^`\n]+)`", PROSE)
_PATH = re.compile(r"[\w<>-][\w.<>-]*(/[\w.<>-]+)*/?")
_FILE_ENDINGS = (".py", ".toml", ".json", ".md", ".yml")
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S+")


def fenced(language: str) -> list[str]:
    return [text for found, text in _FENCE.findall(TEXT) if found == language]


def commands() -> list[str]:
    """Every command of the sh blocks, continued lines joined."""
    lines = "".join(fenced("sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def told(command: str) -> list[str]:
    """The words of a command, the assignments before it left off."""
    words = shlex.split(command)
    while _ASSIGNMENT.fullmatch(words[0]):
        assert words[0].partition("=")[0] in {s.name for s in SETTINGS}
        words = words[1:]
    return words


def options(subcommand: str) -> set[str]:
    return {o for p in main.commands[subcommand].params for o in p.opts} | {"--help"}


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def headings() -> set[str]:
    """The anchors that GitHub makes of the headings."""
    titles = re.findall(r"^#+ (.+)$", PROSE, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}


@pytest.fixture
def site_policy(tmp_path: Path) -> Path:
    """The site policy that the README gives as an example."""
    (example,) = fenced("toml")
    path = tmp_path / "site-policy.toml"
    path.write_text(example, encoding="utf-8")
    return path


def test_generated_parts_are_current() -> None:
    assert readme_tables.renewed(TEXT) == TEXT, "renew: python -m tests.readme_tables --write"


def test_every_generated_part_stands_there_once() -> None:
    assert sorted(re.findall(r"<!-- generated: ([\w-]+) -->", TEXT)) == sorted(BLOCKS)
    assert all(TEXT.count(f"<!-- end: {name} -->") == 1 for name in BLOCKS)


def test_is_short() -> None:
    assert TEXT.count("\n") <= LONGEST


@pytest.mark.parametrize("command", commands())
def test_command_exists(command: str) -> None:
    words = told(command)
    match words:
        case ["make", *named]:
            assert named
            assert set(named) <= targets()
        case ["cds-service", subcommand, *arguments]:
            # click itself checks names and values of the options; nothing is run.
            main.commands[subcommand].make_context(subcommand, arguments)
        case [".venv/bin/python", "-m", module, *_]:
            assert importlib.util.find_spec(module) is not None
        case ["curl", *_]:
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


def test_option_within_a_sentence_exists() -> None:
    known = set.union(*(options(name) for name in main.commands))
    assert {c for c in CODE if c.startswith("--")} <= known


@pytest.mark.parametrize(
    "command", [c for c in commands() if "cds-service check" in c or "cds-service evaluate" in c]
)
def test_command_succeeds(command: str, site_policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    policy = str(site_policy) if "CDS_POLICY=" in command else None
    result = CliRunner().invoke(main, told(command)[1:], env={"CDS_POLICY": policy})
    assert result.exit_code == 0, result.output


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_curl_brings_the_card_shown(service: Client) -> None:
    command, at_order = [c for c in commands() if c.startswith("curl ")]
    assert SERVED_AT in command
    assert SERVED_AT in at_order
    words = shlex.split(command.replace(SERVED_AT, service.base))
    direct = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    ran = subprocess.run(words, cwd=ROOT, env=direct, capture_output=True, check=True, timeout=30)
    assert fenced("json") == [readme_tables.as_shown(json.loads(ran.stdout))]
    words = shlex.split(at_order.replace(SERVED_AT, service.base))
    ran = subprocess.run(words, cwd=ROOT, env=direct, capture_output=True, check=True, timeout=30)
    assert len(json.loads(ran.stdout)["cards"]) == 1


def test_the_demonstration_serves_where_curl_asks() -> None:
    defaults = main.commands["demo"].make_context("demo", []).params
    assert f"http://127.0.0.1:{defaults['port']}" == SERVED_AT


def test_example_of_a_site_policy_does_what_it_says(site_policy: Path) -> None:
    book = rulebook.load(CANONICAL, site_policy)
    built_in = rulebook.load(CANONICAL).policy
    assert book.policy.alp.adult_female == 38 != built_in.alp.adult_female
    assert book.policy.situations["single-low-alp"] == "shadow"
    assert book.terminology.concepts("urn:oid:1.2.3.4", "ALP") == ("alp-total",)
    assert book.policy.version == "example-hospital-1"


def test_files_named_exist() -> None:
    paths = {
        c
        for c in CODE
        if _PATH.fullmatch(c)
        and ("/" in c or c.endswith(_FILE_ENDINGS))
        and c not in ("app.py", "site-policy.toml")
    }
    assert paths, "none recognised"
    lost = {p for p in paths if not list(ROOT.glob(p.replace("<slug>", "*").rstrip("/")))}
    assert not lost


def test_every_folder_of_the_package_is_told() -> None:
    folders = {p.parent for p in (ROOT / "cds_service").glob("*/*") if p.suffix != ".pyc"}
    assert {f"cds_service/{f.name}/" for f in folders} <= set(CODE)


def test_every_threat_has_a_test_that_exists() -> None:
    named = [c for c in CODE if c.startswith("test_")]
    defined = {
        name
        for path in (ROOT / "tests").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(named) >= 16
    assert set(named) <= defined


def test_links_resolve() -> None:
    targets_of_links = re.findall(r"\]\(([^)\s]+)\)", PROSE)
    inside = [t for t in targets_of_links if not t.startswith("https://")]
    assert inside, "none recognised"
    for target in inside:
        path, _, anchor = target.partition("#")
        assert not path or (ROOT / path).exists(), target
        assert not anchor or path or anchor in headings(), target


def test_numbers_of_the_policy_are_those_in_force() -> None:
    policy = rulebook.load(CANONICAL).policy
    told_numbers = re.findall(r"(\d+)[^()\n|\d]{0,20}\(`([a-z_]+\.[a-z_]+)`\)", PROSE)
    assert told_numbers, "none recognised"
    for number, key in told_numbers:
        assert Decimal(number) == reduce(getattr, key.split("."), policy), key


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
    assert owner in TEXT
    for path in (ROOT / "cds_service/knowledge/value_sets").glob("*.json"):
        value_set = json.loads(path.read_text(encoding="utf-8"))
        if any(include["system"] == system for include in value_set["compose"]["include"]):
            assert owner in value_set["copyright"], path.name
