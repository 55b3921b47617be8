"""Our gunicorn worker with limits small enough for a test: `python -m tests.small_server`.

`/` answers at once, `/large` with more than any socket holds. One thread, ten connections.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
from gunicorn.app.base import BaseApplication

from cds_service.commands.patient_worker import PatientWorker

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LARGE_BYTES = 64 * 1024 * 1024
CONNECTIONS = 10
_PIECE = b"x" * 65536


class Impatient(PatientWorker):
    """Waits for nobody long."""

    whole_request_seconds = 1.0
    answer_seconds = 3.0
    largest_body = 1_000_000


class Small(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """One worker."""

    def __init__(self, port: int) -> None:
        self._port = port
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": f"127.0.0.1:{self._port}",
            "workers": 1,
            "threads": 1,
            "worker_connections": CONNECTIONS,
            "worker_class": Impatient,
            "keepalive": 75,
            "control_socket_disable": True,
        }
        for name, option in options.items():
            self.cfg.set(name, option)

    def load(self) -> "WSGIApplication":
        return answer


def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """The application: reads a body to its end, as ours does."""
    environ["wsgi.input"].read(Impatient.largest_body + 1)
    large = environ["PATH_INFO"] == "/large"
    length = LARGE_BYTES if large else 2
    start_response("200 OK", [("Content-Length", str(length))])
    return (_PIECE for _ in range(LARGE_BYTES // len(_PIECE))) if large else [b"ok"]


@click.command()
@click.option("--port", type=int, required=True)
def main(port: int) -> None:
    """Serve until ended."""
    Small(port).run()


if __name__ == "__main__":
    main()
