"""`cds-service serve`: the production server."""

import logging
import sys

import click
import msgspec

from cds_service.addresses import is_loopback
from cds_service.app import create_app
from cds_service.commands.refusal import Refusal, settings_in_force
from cds_service.commands.server import Server, can_listen
from cds_service.errors import KnowledgeError
from cds_service.settings import Settings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1, 256))
@click.option(
    "--open-to-network",
    is_flag=True,
    help="With CDS_AUTH=off, listen beyond loopback all the same. Anyone who reaches it can call it.",
)
def serve(host: str, port: int, workers: int, threads: int, open_to_network: bool) -> None:
    """Run the production server."""
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
    _log_to_stderr(settings)
    # No more places than threads, so that a client at its share leaves threads to the others.
    places = min(settings.max_concurrent, threads)
    try:
        app = create_app(msgspec.structs.replace(settings, max_concurrent=places))
    except KnowledgeError as error:
        raise Refusal(str(error)) from error
    click.echo(_greeting(settings, host, port), err=True)
    if settings.hash_key is None:
        click.echo(
            "CDS_HASH_KEY is not set: what is remembered of a patient ends with this process.",
            err=True,
        )
    Server(
        app,
        host=host,
        port=port,
        workers=workers,
        threads=threads,
        largest_body=settings.max_body_bytes,
    ).run()


def _greeting(settings: Settings, host: str, port: int) -> str:
    address = f"Serving on http://{host}:{port}/cds-services"
    if settings.auth == "off":
        return (
            f"{address} WITHOUT client authentication (CDS_AUTH=off):"
            " whoever reaches it may call. Not for patients."
        )
    return f"{address} for the clients in CDS_CLIENTS, who call {settings.base_url}/cds-services"


def _log_to_stderr(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
