"""What a browser may do with an answer: nothing, unless a page says otherwise."""

from flask import Flask, Response

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_ONE_YEAR = "max-age=31536000"


def install(app: Flask, *, https: bool) -> None:
    """Mark every answer. A page that needs more sets the header itself, and keeps it."""

    @app.after_request
    def mark(response: Response) -> Response:
        for name, value in _ALWAYS.items():
            response.headers.setdefault(name, value)
        if https:
            response.headers.setdefault("Strict-Transport-Security", _ONE_YEAR)
        return response
