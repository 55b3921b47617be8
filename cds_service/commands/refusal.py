"""How a command ends on bad input or settings: one clear line on standard error, exit status 2."""

import os
from pathlib import Path

import click

from cds_service import guidance
from cds_service.clients_file import TrustedClients, read_clients
from cds_service.errors import KnowledgeError
from cds_service.guidance import Advisor
from cds_service.settings import Settings, from_environment


class Refusal(click.ClickException):
    """Bad input or settings: one clear line on standard error."""

    exit_code = 2


def settings_in_force() -> Settings:
    """The settings of the environment. Raises Refusal naming the one that is wrong."""
    try:
        return from_environment(os.environ)
    except KnowledgeError as error:
        raise Refusal(str(error)) from error


def trusted_clients(path: Path) -> TrustedClients:
    """The clients in that file. Raises Refusal naming file, client, key and what would be right."""
    try:
        return read_clients(path)
    except KnowledgeError as error:
        raise Refusal(str(error)) from error


def advisor_for(settings: Settings, key: bytes | None = None) -> Advisor:
    """The pipeline with the knowledge and policy in force. Raises Refusal when they are wrong.

    With a key it knows what is remembered, and adds nothing to it.
    """
    try:
        if key is None:
            return guidance.start(settings)
        return guidance.start_with_memory(settings, key, read_only=True)[0]
    except KnowledgeError as error:
        raise Refusal(str(error)) from error
