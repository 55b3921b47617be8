"""`cds-service serve`: the production server."""

import logging
import mmap
import secrets
from typing import TYPE_CHECKING

import click
import msgspec

from cds_service.addresses import is_loopback
from cds_service.app import CANARY, create_app
from cds_service.canary import Canary
from cds_service.commands.cores import usable_cores
from cds_service.commands.refusal import Refusal, settings_in_force
from cds_service.commands.server import Options, Server, can_listen
from cds_service.errors import KnowledgeError
from cds_service.logs import write_to_stderr
from cds_service.metrics import Metrics, shared_by_workers, shared_no_longer
from cds_service.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_MOST_WORKERS = 64
_log = logging.getLogger("cds_service")
_KEY_BYTES = 32


class _Workers(click.ParamType[int]):
    """A number of workers, or `auto` for one a core."""

    name = "auto|N"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if value == "auto":
            return min(usable_cores(), _MOST_WORKERS)
        number: int = click.IntRange(1, _MOST_WORKERS).convert(value, param, ctx)  # type: ignore[arg-type]
        return number


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--workers", default="auto", show_default=True, type=_Workers(), help="auto: one a core."
)
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1, 256))
@click.option(
    "--drain-seconds",
    default=0,
    show_default=True,
    type=click.IntRange(0, 600),
    help="How long a stop goes on answering, not ready, until a proxy has noticed.",
)
@click.option(
    "--graceful-seconds",
    default=30,
    show_default=True,
    type=click.IntRange(1, 3600),
    help="How long a stop waits for the requests under way.",
)
@click.option(
    "--open-to-network",
    is_flag=True,
    help="With CDS_AUTH=off, listen beyond loopback all the same. Anyone who reaches it can call it.",
)
def serve(
    host: str,
    port: int,
    workers: int,
    threads: int,
    drain_seconds: int,
    graceful_seconds: int,
    open_to_network: bool,
) -> None:
    """Run the production server. SIGTERM ends it gracefully, SIGHUP reloads policy and clients."""
    settings = settings_in_force()
    if settings.auth == "off" and not is_loopback(host) and not open_to_network:
        raise Refusal(
            f"CDS_AUTH=off listens on loopback only, not on {host}."
            " Add --open-to-network if everyone who can reach it may call it."
        )
    if not can_listen(host, port):
        raise Refusal(
            f"Cannot listen on {host} port {port}: taken, or not an address of this machine."
        )
    write_to_stderr(settings.log_level, settings.log_format)
    folder = shared_by_workers()
    options = Options(
        host=host,
        port=port,
        workers=workers,
        threads=threads,
        largest_body=settings.max_body_bytes,
        drain_seconds=drain_seconds,
        graceful_seconds=graceful_seconds,
        metrics_folder=folder,
    )
    try:
        server = _server(settings, options)
    except BaseException:
        shared_no_longer(folder)
        raise
    _log.warning(_greeting(settings, host, port))
    if settings.hash_key is None:
        _log.warning(
            "CDS_HASH_KEY is not set: what is remembered of a patient ends with this process."
        )
    server.run()


def _server(settings: Settings, options: Options) -> Server:
    """The server with its first application. Raises Refusal when knowledge, policy or clients are wrong."""
    metrics = Metrics()
    # No more places than threads, so that a client at its share leaves threads to the others.
    places = min(settings.max_concurrent, options.threads)
    site = _Site(msgspec.structs.replace(settings, max_concurrent=places), metrics)
    try:
        return Server(
            site, options, lambda outcome: metrics.reloads.labels(outcome).inc(), site.drain
        )
    except KnowledgeError as error:
        raise Refusal(str(error)) from error


def _greeting(settings: Settings, host: str, port: int) -> str:
    address = f"Serving on http://{host}:{port}/cds-services"
    if settings.auth == "off":
        return (
            f"{address} WITHOUT client authentication (CDS_AUTH=off):"
            " whoever reaches it may call. Not for patients."
        )
    return f"{address} for the clients in CDS_CLIENTS, who call {settings.base_url}/cds-services"


class _Site:
    """Builds the application from the site's files, at start and at every reload."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._key = secrets.token_bytes(_KEY_BYTES)  # one for all workers, and after a reload
        self._started = False
        self._draining = mmap.mmap(-1, 1)  # one byte that all workers see

    def __call__(self) -> "WSGIApplication":
        """Raises KnowledgeError when policy or clients are wrong, or a reload would silence a rule.

        At start a silenced rule leaves the service not ready; at a reload, what runs is better.
        """
        app = create_app(
            self._settings,
            random_key=self._key,
            metrics=self._metrics,
            probes={"server": self._probe},
        )
        canary: Canary = app.extensions[CANARY]
        cause = canary.report().cause
        if cause and self._started:
            raise KnowledgeError(cause)
        self._started = True
        return app

    def drain(self) -> None:
        """From now on not ready: no new calls, please."""
        self._draining[0] = 1

    def _probe(self) -> str | None:
        return "it is about to stop" if self._draining[0] else None
