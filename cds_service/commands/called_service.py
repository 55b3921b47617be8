"""A CDS service as `cds-service fire` asks it: what it offers, and its cards for a call."""

from collections.abc import Sequence
from http import HTTPStatus

import msgspec
import requests

from cds_service.commands import plain_calls
from cds_service.commands.refusal import Refusal
from cds_service.ehr import Json
from cds_service.fhir.bundles import UNREADABLE
from cds_service.hooks.card import Card

_SECONDS = 60
_WANTS_A_CLIENT = (
    "answered 401: it wants a client's token, which `fire` cannot give;"
    " use a service with CDS_AUTH=off"
)


class Offered(msgspec.Struct, frozen=True):
    """A service as discovery names it."""

    hook: str
    id: str
    prefetch: dict[str, str] | None = None


class _Discovery(msgspec.Struct, frozen=True):
    services: tuple[Offered, ...]


class _Answer(msgspec.Struct, frozen=True):
    cards: tuple[Card, ...]


class _Issue(msgspec.Struct, frozen=True):
    diagnostics: str | None = None


class _Outcome(msgspec.Struct, frozen=True):
    issue: tuple[_Issue, ...] = ()


def offered(address: str) -> Sequence[Offered]:
    """The services on offer. Raises Refusal when that is not known there."""
    try:
        answer = plain_calls.get(f"{address}/cds-services", _SECONDS)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise Refusal(f"{address} {_WANTS_A_CLIENT}")
        return msgspec.json.decode(answer.content, type=_Discovery).services
    except (requests.RequestException, *UNREADABLE) as error:
        raise Refusal(f"{address}: no CDS service answers there") from error


def cards(url: str, call: Json) -> Sequence[Card]:
    """The cards for a call. Raises Refusal with what the service said instead."""
    body = msgspec.json.encode(call)
    try:
        response = plain_calls.post(url, body, _SECONDS)
    except requests.RequestException as error:
        raise Refusal(f"{url}: no answer from the service") from error
    if response.status_code != HTTPStatus.OK:
        raise Refusal(f"the service answered {response.status_code}: {_reason(response.content)}")
    try:
        return msgspec.json.decode(response.content, type=_Answer).cards
    except UNREADABLE as error:
        raise Refusal(f"{url}: no answer that CDS Hooks knows") from error


def _reason(body: bytes) -> str:
    try:
        issues = msgspec.json.decode(body, type=_Outcome).issue
    except UNREADABLE:
        issues = ()
    return (issues[0].diagnostics if issues else None) or "without saying why"
