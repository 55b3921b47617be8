"""What a browser may do with our pages: nothing from elsewhere, no script but our own files."""

from collections.abc import Callable, Sequence

from flask import Blueprint, Response

# Plotly puts a style element into the page and style attributes on what it draws; without
# 'unsafe-inline' for styles the chart loses its cursor, hover and bar styles. Scripts get no such
# exception, and where there is no chart styles get none either.
_STYLES_OF_A_CHART = "'self' 'unsafe-inline'"


def protect(
    routes: Blueprint, *, charts: bool = False, private: bool = False, framed_by: Sequence[str] = ()
) -> None:
    """Put the headers on every answer of these routes.

    `private`: about a patient, kept by no cache. `framed_by`: origins that may show them in a frame.
    """
    routes.after_request(_header_writer(charts=charts, private=private, framed_by=framed_by))


def _header_writer(
    *, charts: bool, private: bool, framed_by: Sequence[str]
) -> Callable[[Response], Response]:
    styles = _STYLES_OF_A_CHART if charts else "'self'"
    ancestors = " ".join(framed_by) or "'none'"
    policy = "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src {styles}",
            "img-src 'self' data:",
            "form-action 'self'",
            "base-uri 'none'",
            f"frame-ancestors {ancestors}",
        )
    )

    def write(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        if private:
            response.headers["Cache-Control"] = "no-store"
        return response

    return write
