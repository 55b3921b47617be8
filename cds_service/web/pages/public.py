"""Pages in which no patient is: a browser may keep them, and asks each time whether they have changed."""

from flask import Blueprint, Response, request

_OK = 200


def cacheable(routes: Blueprint) -> None:
    """Put an ETag on every answer of these routes, and send it again only where it has changed."""

    @routes.after_request
    def mark(response: Response) -> Response:
        if response.status_code == _OK:
            response.headers["Cache-Control"] = "no-cache"
            response.add_etag()
            response.make_conditional(request)
        return response
