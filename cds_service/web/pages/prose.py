"""Markdown of our own texts and cards as HTML. Raw HTML in it stays text; links leave no trace behind."""

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
_BOX = '<div class="scroll" tabindex="0" role="group" aria-label="Table">'


def html(markdown: str) -> Markup:
    """HTML that may stand in a page as it is."""
    tokens = _markdown.parse(markdown)
    for token in tokens:
        _outward(token)
    assert isinstance(_markdown.renderer, RendererHTML)  # noqa: S101  (the only renderer there is)
    rendered = _markdown.renderer.render(tokens, _markdown.options, {})
    # A wide table scrolls in a box of its own, which the keyboard reaches. No text holds a bare tag.
    boxed = rendered.replace("<table>", f"{_BOX}<table>").replace("</table>", "</table></div>")
    return Markup(boxed)  # noqa: S704  (made from tokens, every text of which is escaped)


def _outward(token: Token) -> None:
    """Links open beside the chart, and the site they lead to is not told where from."""
    for inner in token.children or ():
        if inner.type == "link_open":
            inner.attrSet("target", "_blank")
            inner.attrSet("rel", "noopener noreferrer")
