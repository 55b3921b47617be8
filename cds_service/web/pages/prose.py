"""Markdown of our own texts and cards as HTML. Raw HTML in it stays text; links leave no trace behind."""

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")


def html(markdown: str) -> Markup:
    """HTML that may stand in a page as it is."""
    tokens = _markdown.parse(markdown)
    for token in tokens:
        _outward(token)
    assert isinstance(_markdown.renderer, RendererHTML)  # noqa: S101  (the only renderer there is)
    return Markup(_markdown.renderer.render(tokens, _markdown.options, {}))  # noqa: S704


def _outward(token: Token) -> None:
    """Links open beside the chart, and the site they lead to is not told where from."""
    for inner in token.children or ():
        if inner.type == "link_open":
            inner.attrSet("target", "_blank")
            inner.attrSet("rel", "noopener noreferrer")
