"""Cards and explanations as they read on a terminal."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, Group
from rich.markdown import Markdown
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cds_service import explain
from cds_service.decision import Decision
from cds_service.hooks.card import Card
from cds_service.rulebook import Rulebook

_COLOURS = {"info": "blue", "warning": "yellow", "critical": "red"}


def show_cards(console: Console, cards: Iterable[Card]) -> None:
    """Cards as an EHR would show them: summary, text, buttons."""
    for card in cards:
        parts: list[Text | Markdown] = [Markdown(card.detail)]
        if card.suggestions:
            parts.append(Text(f"\nDraft orders, one press each: {_buttons(card)}"))
        reasons = " · ".join(r.display or r.code for r in card.overrideReasons or ())
        parts.append(Text(f"Set aside because: {reasons}", style="dim"))
        body = Group(_headline(card), Text(), *parts)
        console.print(Panel(body, border_style=_COLOURS[card.indicator], padding=(0, 1)))


def show_in_short(console: Console, title: str, cards: Sequence[Card]) -> None:
    """What was asked, then of each card its summary and its buttons."""
    console.print(Text(title, style="bold"))
    for line in (line for card in cards for line in _in_short(card)):
        console.print(Padding(line, (0, 0, 0, 2), expand=False))


def show_nothing(console: Console) -> None:
    """An answer without a card, where the service alone knows why."""
    console.print("  No card: the service looked and found nothing to say.")


def show_silence(console: Console, decision: Decision) -> None:
    """Why there is no card."""
    found, why = decision.silence, explain.silence(decision)
    if found is not None and why is not None:
        slug = "" if decision.withheld else f" [dim]\\[{found.slug}][/dim]"
        console.print(f"  {escape(why)}{slug}", highlight=False)
    for finding in decision.shadow:
        console.print(f"  In shadow: {finding.slug}")


def show_explanation(console: Console, decision: Decision, rulebook: Rulebook) -> None:
    """The facts, then every row with its reason."""
    console.print("[bold]What is on record[/bold]")
    for line in [*explain.facts(decision.assessment), *explain.gaps(decision.assessment)]:
        console.print(f"  {escape(line)}", highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column()
    for outcome, title, reason in explain.rows(decision, rulebook):
        fired = outcome in ("CARD", "SILENT", "SNOOZED", "SHADOW")
        style = "bold" if fired else "dim"
        table.add_row(Text(outcome, style=style), Text(f"{title}\n{reason}", style=style))
    console.print("[bold]The rows in the order they are tried; the first that holds decides[/bold]")
    console.print(table)


def _headline(card: Card) -> Text:
    return Text(
        f"{card.indicator.upper()}  {card.summary}", style=f"bold {_COLOURS[card.indicator]}"
    )


def _buttons(card: Card) -> str:
    """The labels of the draft orders; a star marks what is recommended."""
    return "   ".join(
        f"[{s.label}{' *' if s.isRecommended else ''}]" for s in card.suggestions or ()
    )


def _in_short(card: Card) -> Iterator[Text]:
    yield _headline(card)
    if card.suggestions:
        yield Text(f"Draft orders: {_buttons(card)}")
