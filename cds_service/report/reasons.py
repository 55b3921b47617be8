"""Why cards were set aside, over all and by situation. Pure."""

from collections import Counter

from cds_service.database.history import History, PastCard
from cds_service.report import Plot, Section
from cds_service.rulebook import Rulebook


def by_reason(found: History, book: Rulebook) -> Section:
    """How often each reason was given."""
    said = Counter(_reason(c, book) for c in found.cards if c.became == "overridden")
    ordered = sorted(said.items(), key=lambda i: (-i[1], i[0]))
    total = sum(said.values())
    labels = [words for (_, words), _ in ordered]
    return Section(
        "reasons",
        "Why cards were set aside",
        "The reason chosen last for each card. Reasons that a client added itself stand by their code.",
        ("Reason", "Cards", "Of those set aside, %"),
        [(words, count, percent(count, total)) for (_, words), count in ordered],
        Plot(labels, [("Set aside", [n for _, n in ordered])]) if said else None,
        [code for (code, _), _ in ordered],
    )


def by_situation_and_reason(found: History, book: Rulebook) -> Section:
    """The reasons given for each situation, the most frequent first."""
    said = Counter((c.situation, _reason(c, book)) for c in found.cards if c.became == "overridden")
    ordered = sorted(said.items(), key=lambda i: (-i[1], i[0][1]))
    situations = Counter(c.situation for c in found.cards if c.became == "overridden")
    slugs = sorted(situations, key=lambda slug: (-situations[slug], slug))
    reasons = [
        "; ".join(f"{words} {n}" for (of, (_, words)), n in ordered if of == slug) for slug in slugs
    ]
    return Section(
        "reasonsBySituation",
        "Reasons by situation",
        "A reason that stands out for one situation says where its rule or its words need work.",
        ("Situation", "Set aside", "Reasons"),
        [
            (title_of(slug, book), situations[slug], said_why)
            for slug, said_why in zip(slugs, reasons, strict=True)
        ],
        machine_rows=[
            {"situation": slug, "reason": code, "cards": n} for (slug, (code, _)), n in ordered
        ],
    )


def _reason(card: PastCard, book: Rulebook) -> tuple[str, str]:
    """Code and words of why a card was set aside."""
    if card.reason_code is None:
        return ("comment", "A comment only") if card.commented else ("none", "No reason given")
    if card.reason_system != book.override_system:
        return (
            f"{card.reason_system or ''}|{card.reason_code}",
            f"{card.reason_code} (of the client)",
        )
    known = book.override_reasons.get(card.reason_code)
    return card.reason_code, known.display if known else card.reason_code


def title_of(slug: str, book: Rulebook) -> str:
    """A situation that this version no longer has stands by its slug."""
    situation = book.situations.get(slug)
    return situation.title if situation else slug


def percent(part: int, total: int) -> int | None:
    """A whole number; None of nothing."""
    return round(100 * part / total) if total else None
