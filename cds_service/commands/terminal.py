"""Cards and explanations as they read on a terminal."""

from collections.abc import Iterable

from rich.console import Console, Group
from rich.markdown import Markdown
from rich.markup import escape
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
        buttons = [s.label + (" *" if s.isRecommended else "") for s in card.suggestions or ()]
        parts: list[Text | Markdown] = [Markdown(card.detail)]
        if buttons:
            parts.append(
                Text("\nDraft orders, one press each: " + "   ".join(f"[{b}]" for b in buttons))
            )
        reasons = " · ".join(r.display or r.code for r in card.overrideReasons or ())
        parts.append(Text(f"Set aside because: {reasons}", style="dim"))
        colour = _COLOURS[card.indicator]
        title = Text(f"{card.indicator.upper()}  {card.summary}", style=f"bold {colour}")
        console.print(Panel(Group(title, Text(), *parts), border_style=colour, padding=(0, 1)))


def show_silence(console: Console, decision: Decision) -> None:
    """Why there is no card."""
    found = decision.silence
    if found is not None:
        why = escape(explain.silence(found))
        console.print(f"  {why} [dim]\\[{found.slug}][/dim]", highlight=False)
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
