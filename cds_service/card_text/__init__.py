"""The text of a card: five blocks of GitHub-flavoured markdown, read in ten seconds.

Why this fired, values used, not known to this tool, options to consider, sources and rule. The rule
in general words comes last: what holds for this patient is said first. Text that comes from the
record is escaped; everything else is ours.
"""

from collections.abc import Iterator, Sequence

import msgspec

from cds_service import words
from cds_service.assessment import Assessment
from cds_service.card_text.beside import beside
from cds_service.card_text.gaps import left_out, unknown
from cds_service.card_text.since import since
from cds_service.card_text.speaker import Speaker
from cds_service.card_text.table import values_table
from cds_service.phrases.policy import numbers
from cds_service.rulebook import Rulebook
from cds_service.rulebook.situation import Line, Situation, conditions

BACKGROUND = "*Background:*"
"""The line at which reasons and values end, and what is to be read at leisure begins."""


class FixedText(msgspec.Struct, frozen=True):
    """What a situation's card says whoever the patient is: put together once, at start."""

    closing: str
    """When doing nothing is reasonable, and what would change the advice."""
    sources: Sequence[Line]
    rule: str
    review: str
    """Who has reviewed it and whom it is for, up to the date."""
    speaks_of: frozenset[str]


def fixed_text(situation: Situation, rulebook: Rulebook) -> FixedText:
    """The closing sentences, the sources with their conditions, the rule in words, and the review."""
    about = rulebook.about
    in_force = numbers(rulebook.policy)
    return FixedText(
        closing=f"{situation.no_action} {situation.would_change}".format_map(in_force),
        sources=tuple(_sources(situation, rulebook)),
        rule=(
            f"Rule `{situation.slug}` (knowledge {about.version}, policy {rulebook.policy.version}):"
            f" {situation.criterion.format_map(in_force)}"
        ),
        review=(
            f"Last clinical review: {about.last_clinical_review}."
            f" For {about.intended_user}; advisory, does not replace judgement. Data as of"
        ),
        speaks_of=situation.speaks_of,
    )


def detail(
    situation: Situation, fixed: FixedText, speaker: Speaker, a: Assessment, notes: Sequence[str]
) -> str:
    """The whole text. `notes` say which orders were left out, and why."""
    # The card on a suspect specimen says it in its own words.
    noted = () if "urgent" in fixed.speaks_of else tuple(beside(a))
    return "\n\n".join(
        (
            _block(
                "Why this fired",
                [*noted, *speaker.bullets(situation.why), *since(a, situation.slug)],
            ),
            _block(
                "Values used",
                values_table(a, fixed.speaks_of),
                left_out(a),
                [BACKGROUND, "", *speaker.bullets(situation.explain)],
            ),
            _block("Not known to this tool", unknown(a)),
            _block(
                "Options to consider",
                [*speaker.bullets(situation.options), *(f"- {n}" for n in notes)],
                [fixed.closing],
            ),
            _block(
                "Sources and rule version",
                list(dict.fromkeys(speaker.bullets(fixed.sources))),
                [fixed.rule],
                [f"{fixed.review} {words.on(a.as_of)}."],
            ),
        )
    )


def _block(title: str, *parts: Sequence[str]) -> str:
    return f"**{title}**\n\n" + "\n\n".join("\n".join(p) for p in parts if p)


def _sources(situation: Situation, rulebook: Rulebook) -> Iterator[Line]:
    for cited in situation.citations:
        source = rulebook.citations[cited.source]
        label = f"[{source.label}]({source.url})" if source.url else source.label
        yield Line(f"{label} – {source.evidence}", conditions(cited.when))
