"""A report as one HTML file that needs nothing else, with a plain table under each plot."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

import msgspec

Cell = str | int | float | None


class Part(msgspec.Struct, frozen=True):
    """One question and its answer: a sentence, a table, and mostly a plot of the same numbers."""

    title: str
    text: str
    head: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    figure: Mapping[str, Any] | None = None
    """A plotly figure; None where there is nothing to see. The page gives the colour that `meta` names."""
    key: str = ""
    """What the part is called within the page; empty: its number."""


class Frame(msgspec.Struct, frozen=True):
    """What stands around the parts."""

    title: str
    lead: Sequence[str]
    """Sentences under the title, the most important one last."""
    caution: str
    no_number: str = "–"
    """Stands for a number that there is not."""
    footer: str = ""
    """HTML after the last part."""


def page(frame: Frame, parts: Sequence[Part]) -> Iterator[bytes]:
    """The file in pieces: the plotting library alone is some megabytes."""
    template = (resources.files("cds_service.html_report") / "page.html").read_text("utf-8")
    before, after = map(Template, template.split("$plotly"))
    named = {part.key or f"part-{n}": part for n, part in enumerate(parts)}
    figures = {key: part.figure for key, part in named.items() if part.figure is not None}
    yield before.substitute(
        title=escape(frame.title),
        lead=_lead(frame.lead),
        caution=escape(frame.caution),
        sections="\n".join(_section(key, part, frame.no_number) for key, part in named.items()),
        footer=frame.footer,
    ).encode()
    yield from _plotly()
    # Within a script element only `<` could end the text early.
    yield after.substitute(figures=json.dumps(figures).replace("<", "\\u003c")).encode()


def table(
    caption: str, head: Sequence[str], rows: Sequence[tuple[Cell, ...]], no_number: str = "–"
) -> str:
    """A table as HTML; columns with numbers stand right."""
    if not rows:
        return '<p class="note">Nothing to count.</p>'
    numbers = [any(isinstance(r[n], int | float) for r in rows) for n in range(len(head))]
    heads = "".join(
        f'<th scope="col"{_class(n)}>{escape(h)}</th>' for h, n in zip(head, numbers, strict=True)
    )
    body = "".join(f"<tr>{_cells(row, numbers, no_number)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _lead(sentences: Sequence[str]) -> str:
    *notes, summary = map(escape, sentences)
    small = "".join(f'<p class="note">{note}</p>\n' for note in notes)
    return f'{small}<p class="summary">{summary}</p>'


def _plotly() -> Iterator[bytes]:
    # Only the script that the package carries is used; importing the package would take time and memory.
    library = resources.files("plotly") / "package_data" / "plotly.min.js"
    with library.open("rb") as lines:
        for line in lines:
            yield line.replace(b"</script", b"<\\/script")


def _section(key: str, part: Part, no_number: str) -> str:
    plot = ""
    if part.figure is not None:
        label = escape(
            f"{part.title}: bar chart; the table below holds the same numbers", quote=True
        )
        plot = f'<div class="plot" id="{key}" role="img" aria-label="{label}"></div>'
    numbers = table(f"{part.title}, in numbers", part.head, part.rows, no_number)
    return (
        f'<section aria-labelledby="{key}-title"><h2 id="{key}-title">'
        f"{escape(part.title)}</h2><p>{escape(part.text)}</p>{plot}{numbers}</section>"
    )


def _cells(row: Sequence[Cell], numbers: Sequence[bool], no_number: str) -> str:
    first, *others = [(_cell(c, no_number), _class(n)) for c, n in zip(row, numbers, strict=True)]
    cells = "".join(f"<td{kind}>{cell}</td>" for cell, kind in others)
    return f'<th scope="row"{first[1]}>{first[0]}</th>{cells}'


def _class(number: bool) -> str:
    return ' class="n"' if number else ""


def _cell(cell: Cell, no_number: str) -> str:
    if cell is None:
        return no_number
    if isinstance(cell, float):
        return f"{cell:,.2f}"
    return f"{cell:,}" if isinstance(cell, int) else escape(cell)
