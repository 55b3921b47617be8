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
from cds_service.situations.verdict import is_of_a_recent_low

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


class Cited(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source that a card names when its conditions hold: when it bears on this patient."""

    source: str
    when: str | tuple[str, ...] = ()


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
    """What the card says when none of `summaries` does."""
    summaries: tuple[Line, ...] = ()
    """Summaries for some patients: the first whose conditions hold stands instead."""
    why: tuple[Line, ...] = ()
    explain: tuple[Line, ...] = ()
    options: tuple[Line, ...] = ()
    no_action: str = ""
    would_change: str = ""
    orders: tuple[Offer, ...] = ()
    override_reasons: tuple[str, ...] = ()
    citations: tuple[Cited, ...] = ()
    """The first stands on every card, as its `source`; one that is named twice bears in either case."""
    slug: str = ""
    headlines: tuple[Line, ...] = ()
    """The summaries as lines, `summary` last."""
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
        return Row(
            self.slug,
            self.priority,
            frozenset(self.hooks),
            self.kind,
            self.holds,
            is_of_a_recent_low(self.holds),
        )

    def level_indicator(self, level: Literal["usual", "raised", "lowered"]) -> Indicator:
        """The indicator of a card at that level."""
        if level == "raised" and self.raised_indicator:
            return self.raised_indicator
        if level == "lowered" and self.lowered_indicator:
            return self.lowered_indicator
        return self.indicator

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source that it may name, each once; that of the card comes first."""
        return tuple(dict.fromkeys(cited.source for cited in self.citations))

    @property
    def lines(self) -> Iterable[Line]:
        """Every conditional sentence."""
        return (*self.why, *self.explain, *self.options)

    @property
    def speaks_of(self) -> frozenset[str]:
        """Every placeholder that its sentences use."""
        return frozenset(n for line in (*self.headlines, *self.lines) for n in line.names)


def placeholders(text: str) -> tuple[str, ...]:
    """The names in braces."""
    try:
        return tuple(name for _, name, _, _ in Formatter().parse(text) if name is not None)
    except ValueError as error:
        raise KnowledgeError(f"braces do not match ({error}): {text}") from error


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
        try:
            situation = _taken_apart(msgspec.structs.replace(written, slug=slug, holds=known[slug]))
            _check(situation, orders, citations, reasons)
        except KnowledgeError as error:
            raise KnowledgeError(f"{path.name}: {error}") from error
        found[slug] = situation
    missing = sorted(set(known) - set(found))
    if missing:
        raise KnowledgeError(f"{folder}: no file for the predicates {', '.join(missing)}")
    return found


def _taken_apart(situation: Situation) -> Situation:
    """The sentences with their placeholders found, once and for all."""
    return msgspec.structs.replace(
        situation,
        headlines=_lines((*situation.summaries, Line(situation.summary))),
        why=_lines(situation.why),
        explain=_lines(situation.explain),
        options=_lines(situation.options),
    )


def _lines(lines: Iterable[Line]) -> tuple[Line, ...]:
    return tuple(Line(line.text, conditions(line.when), placeholders(line.text)) for line in lines)


def _check(
    situation: Situation,
    orders: Mapping[str, object],
    citations: Mapping[str, object],
    reasons: Mapping[str, object],
) -> None:
    _all_known("hooks", situation.hooks, HOOKS)
    for key in ("criterion", "raised_when", "no_action", "would_change", "meaning"):
        _all_known(key, placeholders(getattr(situation, key)), POLICY)
    if situation.silent:
        if not situation.meaning:
            raise KnowledgeError("meaning: a silence needs one")
        return
    _all_known("citations", situation.sources, citations)
    _all_known("override_reasons", situation.override_reasons, reasons)
    _all_known("orders", [o.code for o in situation.orders], orders)
    for key in ("summary", "why", "options", "no_action", "would_change", "citations"):
        if not getattr(situation, key):
            raise KnowledgeError(f"{key}: a card needs it")
    for when in (*(o.when for o in situation.orders), *(c.when for c in situation.citations)):
        _check_conditions(when)
    if situation.citations[0].when:
        raise KnowledgeError("citations: the first is the source of the card and has no condition")
    _check_words(situation)


def _check_words(situation: Situation) -> None:
    for line in situation.lines:
        _all_known("text", line.names, PHRASES)
        _check_conditions(line.when)
    for line in situation.headlines:
        _check_conditions(line.when)
        _check_summary(line)
    texts = [
        situation.title,
        situation.no_action,
        situation.would_change,
        situation.criterion,
        *(line.text for line in (*situation.headlines, *situation.lines)),
    ]
    for text in texts:
        banned = BANNED.search(text)
        if banned:
            raise KnowledgeError(f"the word {banned[0]!r} may not stand on a card: {text}")


def _check_summary(line: Line) -> None:
    _all_known("summary", line.names, PHRASES)
    text = re.sub(r"\{\w+\}", "", line.text)
    longest = len(text) + sum(PHRASES[name].longest for name in line.names)
    if longest >= SUMMARY_LIMIT:
        raise KnowledgeError(
            f"the summary may reach {longest} characters; fewer than {SUMMARY_LIMIT} fit"
        )


def _check_conditions(when: str | tuple[str, ...]) -> None:
    names = [c.removeprefix("!") for c in conditions(when)]
    _all_known("when", names, {*FLAGS, WARNING})


def _all_known(key: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise KnowledgeError(f"{key}: {name} is not known")
