"""The parts of README.md and of the pages in docs/ that are made from code and knowledge.

`python -m tests.readme_tables --write` renews them; `tests/test_readme.py` fails when they are stale.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from cds_service import app, rulebook
from cds_service.clients_file import KEYS
from cds_service.fhir.templates import ALP, MEDICATIONS, PATIENT, templates
from cds_service.guidance import Advisor
from cds_service.hooks import card
from cds_service.hooks.request import PATIENT_VIEW, decode
from cds_service.offered_services import SERVICES
from cds_service.phrases.policy import numbers
from cds_service.rulebook import Rulebook
from cds_service.rulebook.situation import Situation
from cds_service.settings import SETTINGS
from tests.charts import REFERENCE

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
SHOWN_REQUEST = "fhir_fixtures/requests/persistent-low-alp.json"
LEFT_OUT = "…"
_CANONICAL = "https://low-alp-cds.example"
_BLOCK = re.compile(r"<!-- generated: ([\w-]+) -->\n.*?<!-- end: \1 -->", re.DOTALL)
_LONGEST_CRITERION = 300
_LONGEST_TEXT = 110
_ACCOMPANIES = (
    "beside another card; alone when an order ends denosumab, or hypophosphatasia is on record and"
    " nothing acts"
)


def renewed(page: str) -> str:
    """The page with every generated part as code and knowledge now make it."""
    return _BLOCK.sub(lambda found: _block(found[1]), page)


def as_shown(answer: Mapping[str, Any]) -> str:
    """A service's answer as the README shows it: the first card, with its long parts cut."""
    found = answer["cards"][0]
    suggestion = found["suggestions"][0]
    action = suggestion["actions"][0]
    shown = {
        "uuid": LEFT_OUT,
        "summary": found["summary"],
        "detail": _cut(found["detail"], _LONGEST_TEXT),
        "indicator": found["indicator"],
        "source": _only(found["source"], "label"),
        "suggestions": [
            {
                "label": suggestion["label"],
                "actions": [
                    {
                        "type": action["type"],
                        "resource": _only(action["resource"], "resourceType", "status", "intent"),
                    }
                ],
            },
            LEFT_OUT,
        ],
        "selectionBehavior": found["selectionBehavior"],
        "overrideReasons": [_only(found["overrideReasons"][0], "code", "display"), LEFT_OUT],
        "extension": found["extension"],
    }
    body = ",\n".join(f"  {_json(name)}: {_json(value)}" for name, value in shown.items())
    return f'{{"cards": [{{\n{body}\n}}]}}\n'


def picture() -> str:
    """The drawing at the head of app.py."""
    drawing = (app.__doc__ or "").split("\n\n", 1)[1].strip("\n")
    return f"```text\n{drawing}\n```\n"


def shown_card() -> str:
    """The card that the curl of the README brings."""
    advisor = Advisor(rulebook.load(_CANONICAL))
    request = decode((ROOT / SHOWN_REQUEST).read_bytes(), (PATIENT_VIEW,))
    answer = card.encode(advisor.answer(request, REFERENCE).response)
    return f"```json\n{as_shown(msgspec.json.decode(answer))}```\n"


def situations() -> str:
    """Every situation that gives a card, in the order in which they are tried."""
    book = rulebook.load(_CANONICAL)
    head = ("Order", "Situation", "Hooks", "Indicator", "Holds when (shortened)")
    rows = (
        (str(s.priority), _link(s), ", ".join(s.hooks), _indicator(s, book), _criterion(s, book))
        for s in _in_order(book)
        if not s.silent
    )
    served = ", ".join(dict.fromkeys(s.hook for s in SERVICES.values()))
    return f"{_table(head, rows)}\nHooks answered by this version: {served}.\n"


def silences() -> str:
    """Every row that says nothing, in the order in which they are tried."""
    book = rulebook.load(_CANONICAL)
    head = ("Order", "Silence", "Holds when (shortened)")
    rows = ((str(s.priority), _link(s), _criterion(s, book)) for s in _in_order(book) if s.silent)
    return _table(head, rows)


def settings() -> str:
    """Every environment variable."""
    rows = ((f"`{s.name}`", f"`{s.default}`" if s.default else "none", s.meaning) for s in SETTINGS)
    return _table(("Variable", "Default", "Meaning"), rows)


def clients() -> str:
    """Every key of a trusted client."""
    rows = ((f"`{key}`", meaning) for key, meaning in KEYS.items())
    return _table(("Key", "Meaning"), rows)


def prefetch() -> str:
    """Every prefetch key with what is asked for."""
    rows = []
    for key, template in templates(rulebook.load(_CANONICAL).terminology).items():
        kind, _, query = template.partition("?")
        rows.append((f"`{key}`", kind.partition("/")[0], ", ".join(_parameters(query)), _need(key)))
    return _table(("Key", "Resource", "Besides the patient", "Required"), rows)


BLOCKS: Mapping[str, Callable[[], str]] = {
    "picture": picture,
    "card": shown_card,
    "situations": situations,
    "silences": silences,
    "settings": settings,
    "clients": clients,
    "prefetch": prefetch,
}


@click.command()
@click.option("--write", is_flag=True, help="Write them into the pages.")
def main(write: bool) -> None:
    """Say which pages have stale generated parts, or renew them."""
    for path in PAGES:
        old = path.read_text(encoding="utf-8")
        new = renewed(old)
        if write:
            path.write_text(new, encoding="utf-8", newline="\n")
        elif new != old:
            raise click.ClickException(
                f"{path.name} is stale: renew with `python -m tests.readme_tables --write`"
            )


def _block(name: str) -> str:
    return f"<!-- generated: {name} -->\n{BLOCKS[name]()}<!-- end: {name} -->"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _only(value: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {**{name: value[name] for name in names}, LEFT_OUT: LEFT_OUT}


def _cut(text: str, longest: int) -> str:
    """The text, or as many whole words as fit."""
    if len(text) <= longest:
        return text
    return f"{text[:longest].rsplit(' ', 1)[0].rstrip(',;')} {LEFT_OUT}"


def _in_order(book: Rulebook) -> Iterator[Situation]:
    return (book.situations[row.slug] for row in book.rows)


def _link(situation: Situation) -> str:
    return f"[{situation.slug}](cds_service/knowledge/situations/{situation.slug}.toml)"


def _indicator(situation: Situation, book: Rulebook) -> str:
    text: str = situation.indicator
    if situation.raised_indicator:
        when = situation.raised_when.format_map(numbers(book.policy))
        text += f"; {situation.raised_indicator} when {when}"
    return f"{text}; {_ACCOMPANIES}" if situation.accompanies else text


def _criterion(situation: Situation, book: Rulebook) -> str:
    return _cut(situation.criterion.format_map(numbers(book.policy)), _LONGEST_CRITERION)


def _parameters(query: str) -> Iterator[str]:
    for parameter in filter(None, query.split("&")):
        name, _, value = parameter.partition("=")
        if name == "code":
            yield f"{len(value.split(','))} codes"
        elif name != "patient":
            yield f"`{parameter}`"


def _need(key: str) -> str:
    if key in (PATIENT, ALP):
        return "yes"
    return "one of these four" if key in MEDICATIONS else "no"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    rules = tuple("---" for _ in head)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rules, *rows))


if __name__ == "__main__":
    main()
