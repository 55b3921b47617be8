"""The production server: gunicorn with threads that no slow client can hold, stopped gracefully."""

import socket
from typing import TYPE_CHECKING

from gunicorn.app.base import BaseApplication

from cds_service.commands.patient_worker import PatientWorker

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn around one application."""

    def __init__(
        self,
        app: "WSGIApplication",
        *,
        host: str,
        port: int,
        workers: int,
        threads: int,
        largest_body: int,
    ) -> None:
        self._app = app
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._options = {
            "bind": address,
            "workers": workers,
            "threads": threads,
            "worker_class": type("Worker", (PatientWorker,), {"largest_body": largest_body}),
            "preload_app": True,
            "accesslog": None,
            "loglevel": "warning",
            "control_socket_disable": True,
        }
        super().__init__()

    def load_config(self) -> None:
        """Take over our options."""
        for name, option in self._options.items():
            self.cfg.set(name, option)

    def load(self) -> "WSGIApplication":
        """The application to serve."""
        return self._app


def can_listen(host: str, port: int) -> bool:
    """Whether a server can open that port; asked before workers are started."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
