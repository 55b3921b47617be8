"""What a browser may do with our pages: nothing from elsewhere, no script but our own files."""

from collections.abc import Callable, Sequence

from flask import Blueprint, Response

# While it loads, Plotly puts one style element for maps into the page. It is let in by its hash, so that
# no other inline style is; the hash changes with Plotly, and the browser tests say so. The rules of the
# chart itself go into a sheet of ours (`plotly.js-style-global`), which needs no exception.
_STYLES_OF_A_CHART = "'self' 'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='"


def protect(
    routes: Blueprint,
    *,
    charts: bool = False,
    framed_by: Callable[[], Sequence[str]] = tuple,
) -> None:
    """Put the policy on every answer of these routes; all other headers are those of any answer.

    `framed_by` gives the origins that may show this answer in a frame.
    """
    styles = _STYLES_OF_A_CHART if charts else "'self'"
    policy = "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src {styles}",
            "img-src 'self' data:",
            "form-action 'self'",
            "base-uri 'none'",
        )
    )

    @routes.after_request
    def write(response: Response) -> Response:
        ancestors = " ".join(framed_by()) or "'none'"
        response.headers["Content-Security-Policy"] = f"{policy}; frame-ancestors {ancestors}"
        return response
