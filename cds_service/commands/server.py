"""The production server: gunicorn with threads that no slow client can hold.

It stops and reloads without dropping a request.
"""

import logging
import select
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger

from cds_service.commands.patient_worker import PatientWorker
from cds_service.errors import KnowledgeError
from cds_service.metrics import stop_counting

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_HUNG_WORKER_SECONDS = 30
_IDLE_CONNECTION_SECONDS = 75
"""Longer than a proxy keeps an unused connection, so that it is never us who close it under a call."""
_TO_A_WORKER = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGUSR1}
)
"""What the master sends its workers."""
_log = logging.getLogger("cds_service")


class Options(msgspec.Struct, frozen=True):
    """How to serve."""

    host: str
    port: int
    workers: int
    threads: int
    largest_body: int
    """In bytes."""
    drain_seconds: int
    """How long a stop goes on answering, not ready, until a proxy has noticed."""
    graceful_seconds: int
    """How long a stop waits for the requests under way."""
    metrics_folder: Path
    """Shared by the workers; gone when the server ends."""


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn around one application, which is built again on SIGHUP."""

    def __init__(
        self,
        build: "Callable[[], WSGIApplication]",
        options: Options,
        reloaded: Callable[[str], None],
        draining: Callable[[], None],
    ) -> None:
        """`draining` is called when a stop begins, `reloaded` takes `done` or `refused`.

        Raises what `build` raises.
        """
        self._build = build
        self._reloaded = reloaded
        self.draining = draining
        app = build()
        address = f"[{options.host}]" if ":" in options.host else options.host
        self.drain_seconds = options.drain_seconds
        self._options: dict[str, Any] = {
            "bind": f"{address}:{options.port}",
            "workers": options.workers,
            "threads": options.threads,
            "worker_class": type("Worker", (Worker,), {"largest_body": options.largest_body}),
            "preload_app": True,
            "timeout": _HUNG_WORKER_SECONDS,
            "graceful_timeout": options.graceful_seconds,
            "keepalive": _IDLE_CONNECTION_SECONDS,
            "logger_class": _Log,
            "accesslog": None,
            "loglevel": "warning",
            "control_socket_disable": True,
            "forwarded_allow_ips": "",  # web.proxies alone decides whom to believe
            "worker_exit": lambda _, __: stop_counting(),
            "on_exit": lambda _: _clear_up(options.metrics_folder),
        }
        super().__init__()
        self.callable = app

    def load_config(self) -> None:
        """Take over our options."""
        for name, option in self._options.items():
            self.cfg.set(name, option)

    def load(self) -> "WSGIApplication":
        """The application to serve, as last built."""
        return self.callable

    def run(self) -> None:
        """Serve until told to stop."""
        _Master(self).run()

    def renew(self) -> bool:
        """Build the application again from the files as they are now. False: the old one stays."""
        try:
            self.callable = self._build()
        except KnowledgeError as error:
            _log.error("reload refused, what was in force stays in force: %s", error)
        except Exception as error:  # noqa: BLE001  (whatever it is must not end the service)
            kind = type(error).__name__
            _log.error("reload refused, what was in force stays in force: fault=%s", kind)
        else:
            _log.warning("reloaded policy and clients")
            self._reloaded("done")
            return True
        self._reloaded("refused")
        return False


class _Master(Arbiter):  # type: ignore[misc]
    """Keeps the workers; on SIGHUP replaces them only when there is something new to serve.

    The application is built here, before the fork, so workers share its memory. New workers start
    before old ones are told to finish what they have and end.
    """

    def handle_hup(self) -> None:
        if self.app.renew():
            super().handle_hup()

    def spawn_worker(self) -> Any:
        """A new process has the master's way with signals until it has set its own.

        One that came in between would be lost, and a stop would wait for that worker until it is
        killed; so they wait until the worker is ready for them.
        """
        held = signal.pthread_sigmask(signal.SIG_BLOCK, _TO_A_WORKER)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def handle_term(self) -> None:
        self.app.draining()
        time.sleep(self.app.drain_seconds)  # workers answer; other signals wait
        super().handle_term()


class Worker(PatientWorker):
    """A worker that, before it stops, takes over the calls that the system accepted for it already.

    Those callers were told that they are connected; closing the socket on them would drop a request.
    """

    def init_signals(self) -> None:
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TO_A_WORKER)

    def set_accept_enabled(self, enabled: bool) -> None:
        if enabled or self.alive:
            super().set_accept_enabled(enabled)
            return
        for listener in self.sockets:
            # One less than there is room for: the last is taken in place of one that waits already.
            while (
                select.select([listener], [], [], 0)[0]
                and self.nr_conns < self.worker_connections - 1
            ):
                self.accept(listener)
        super().set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()  # who comes from now on is refused, and may ask another replica


class _Log(Logger):  # type: ignore[misc]
    """gunicorn's own warnings go where ours go, in the same form."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def _clear_up(metrics_folder: Path) -> None:
    stop_counting()
    shutil.rmtree(metrics_folder, ignore_errors=True)


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
