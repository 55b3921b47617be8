"""The service on loopback, for as long as a command runs."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from werkzeug.serving import BaseWSGIServer, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class CannotStart(RuntimeError):
    """The service cannot run here; the text says why."""


@contextmanager
def serving(app: "WSGIApplication", port: int) -> Iterator[BaseWSGIServer]:
    """Serve until the block ends. Port 0 takes any free one. Raises CannotStart."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    try:
        server = make_server("127.0.0.1", port, app, threaded=True)
    except (OSError, SystemExit) as error:
        raise CannotStart(
            f"port {port} is taken; name another with --port (0 takes any free one)"
        ) from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
