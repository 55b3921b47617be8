"""One situation as its TOML file tells it: what a clinician signs off."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Formatter
from typing import Literal

import msgspec

from cds_service.decision import Kind, Row
from cds_service.errors import KnowledgeError
from cds_service.hooks.card import SUMMARY_LIMIT, Indicator
from cds_service.hooks.request import HOOKS
from cds_service.phrases import FLAGS, PHRASES, POLICY
from cds_service.phrases.flags import WARNING
from cds_service.rulebook.files import convert, read_toml
from cds_service.situations import Predicate, predicates

# Words that would turn advice into an order or a verdict.
BANNED = re.compile(
    r"\b(must|contraindicated|stop|diagnose[sd]?|confirms|safe to give)\b", re.IGNORECASE
)


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence that stands on a card when its conditions hold and its placeholders have words."""

    text: str
    when: str | tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """The placeholders of the text, found once when the file is read."""


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order that a card offers when its conditions hold."""

    code: str
    when: str | tuple[str, ...] = ()
    recommended: bool = False


class Situation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Title, rule, words, orders and sources of one row of the decision table."""

    title: str
    priority: int
    hooks: tuple[str, ...]
    criterion: str
    silent: bool = False
    accompanies: bool = False
    meaning: str = ""
    indicator: Indicator = "info"
    raised_indicator: Indicator | None = None
    raised_when: str = ""
    lowered_indicator: Indicator | None = None
    summary: str = ""
    why: tuple[Line, ...] = ()
    explain: tuple[Line, ...] = ()
    options: tuple[Line, ...] = ()
    no_action: str = ""
    would_change: str = ""
    orders: tuple[Offer, ...] = ()
    override_reasons: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()
    slug: str = ""
    headline: Line = Line("")
    """The summary as a line."""
    holds: Predicate | None = None

    @property
    def kind(self) -> Kind:
        """Whether it gives a card, stands beside one, or names a silence."""
        if self.silent:
            return "silence"
        return "accompanying" if self.accompanies else "card"

    @property
    def row(self) -> Row:
        """The situation as the decision sees it."""
        assert self.holds is not None  # noqa: S101  (set when the file is read)
        return Row(self.slug, self.priority, frozenset(self.hooks), self.kind, self.holds)

    def level_indicator(self, level: Literal["usual", "raised", "lowered"]) -> Indicator:
        """The indicator of a card at that level."""
        if level == "raised" and self.raised_indicator:
            return self.raised_indicator
        if level == "lowered" and self.lowered_indicator:
            return self.lowered_indicator
        return self.indicator

    @property
    def lines(self) -> Iterable[Line]:
        """Every conditional sentence."""
        return (*self.why, *self.explain, *self.options)

    @property
    def speaks_of(self) -> frozenset[str]:
        """Every placeholder that its sentences use."""
        return frozenset(n for line in (self.headline, *self.lines) for n in line.names)


def placeholders(text: str) -> tuple[str, ...]:
    """The names in braces."""
    return tuple(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def conditions(when: str | tuple[str, ...]) -> tuple[str, ...]:
    """The conditions of a line, of which all have to hold."""
    return (when,) if isinstance(when, str) else when


def read_situations(
    folder: Path,
    orders: Mapping[str, object],
    citations: Mapping[str, object],
    reasons: Mapping[str, object],
) -> dict[str, Situation]:
    """Every situation by slug, checked. Raises KnowledgeError naming the file."""
    known = predicates()
    found: dict[str, Situation] = {}
    for path in sorted(folder.glob("*.toml")):
        slug = path.stem
        if slug not in known:
            raise KnowledgeError(f"{path.name}: no predicate {slug.replace('-', '_')} exists")
        written = convert(read_toml(path), Situation, path)
        situation = msgspec.structs.replace(
            written,
            slug=slug,
            holds=known[slug],
            headline=_taken_apart((Line(written.summary),))[0],
            why=_taken_apart(written.why),
            explain=_taken_apart(written.explain),
            options=_taken_apart(written.options),
        )
        _check(situation, path.name, orders, citations, reasons)
        found[slug] = situation
    missing = sorted(set(known) - set(found))
    if missing:
        raise KnowledgeError(f"{folder}: no file for the predicates {', '.join(missing)}")
    return found


def _taken_apart(lines: Iterable[Line]) -> tuple[Line, ...]:
    return tuple(Line(line.text, conditions(line.when), placeholders(line.text)) for line in lines)


def _check(
    situation: Situation,
    file: str,
    orders: Mapping[str, object],
    citations: Mapping[str, object],
    reasons: Mapping[str, object],
) -> None:
    _all_known(file, "hooks", situation.hooks, HOOKS)
    for key in ("criterion", "raised_when", "no_action", "would_change", "meaning"):
        _all_known(file, key, placeholders(getattr(situation, key)), POLICY)
    if situation.silent:
        if not situation.meaning:
            raise KnowledgeError(f"{file}: a silence needs a meaning")
        return
    _all_known(file, "citations", situation.citations, citations)
    _all_known(file, "override_reasons", situation.override_reasons, reasons)
    _all_known(file, "orders", [o.code for o in situation.orders], orders)
    if not (situation.citations and situation.why and situation.options and situation.no_action):
        raise KnowledgeError(f"{file}: a card needs why, options, no_action and citations")
    for line in situation.lines:
        _all_known(file, "text", line.names, PHRASES)
        _check_conditions(file, line.when)
    for offer in situation.orders:
        _check_conditions(file, offer.when)
    _check_summary(situation, file)
    texts = [situation.summary, situation.no_action, situation.would_change, situation.criterion]
    for text in [*texts, *(line.text for line in situation.lines)]:
        banned = BANNED.search(text)
        if banned:
            raise KnowledgeError(f"{file}: the word {banned[0]!r} may not stand on a card: {text}")


def _check_summary(situation: Situation, file: str) -> None:
    names = placeholders(situation.summary)
    _all_known(file, "summary", names, PHRASES)
    text = re.sub(r"\{\w+\}", "", situation.summary)
    longest = len(text) + sum(PHRASES[name].longest for name in names)
    if longest >= SUMMARY_LIMIT:
        raise KnowledgeError(
            f"{file}: the summary may reach {longest} characters; fewer than {SUMMARY_LIMIT} fit"
        )


def _check_conditions(file: str, when: str | tuple[str, ...]) -> None:
    names = [c.removeprefix("!") for c in conditions(when)]
    _all_known(file, "when", names, {*FLAGS, WARNING})


def _all_known(file: str, key: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise KnowledgeError(f"{file}: {key}: {name} is not known")
