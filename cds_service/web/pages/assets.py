"""Style sheet, script and charting library, all served by ourselves: a page asks nobody else."""

import json
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response, send_from_directory

from cds_service import words
from cds_service.web.pages.security import protect

_DAY_SECONDS = 86_400


def blueprint() -> Blueprint:
    """Static files and templates of every page."""
    routes = Blueprint(
        "assets",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )
    protect(routes)
    routes.add_app_template_filter(words.on, "on")
    routes.add_app_template_filter(words.dated, "dated")
    routes.add_app_template_filter(_pretty, "pretty")
    library = _charting_library()

    @routes.get("/static/plotly.min.js")
    def plotly() -> Response:
        return send_from_directory(library, "plotly.min.js", max_age=_DAY_SECONDS)

    return routes


def _pretty(value: object) -> str:
    """JSON for reading; text that is none stays as it is."""
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)


def _charting_library() -> Path:
    """The folder in which the package plotly carries its script; the package itself is not imported."""
    found = find_spec("plotly")
    assert found is not None  # noqa: S101  (a dependency of ours)
    assert found.origin is not None  # noqa: S101  (and no namespace package)
    return Path(found.origin).parent / "package_data"
