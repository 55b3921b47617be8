"""The audit trail: one line of JSON a call, of who asked what about whom, and what came of it.

Patient and user stand there as keyed hashes: whoever has the key can look for a patient, and nobody
else can tell who it was.
"""

import logging
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
from flask import Flask, Response, g, request

from cds_service.clients import Client
from cds_service.guidance import Answer
from cds_service.hooks.request import HookRequest
from cds_service.logs import AUDIT, ORIGIN
from cds_service.pseudonym import pseudonym
from cds_service.web.access import PUBLIC

_log = logging.getLogger(AUDIT)
_OUTCOMES = {401: "refused", 412: "no-data", 429: "too-many", 503: "unavailable"}


class Trail:
    """What is known of the call under way."""

    def __init__(self, hash_key: bytes) -> None:
        self._hash_key = hash_key
        self._started = time.perf_counter()
        self._noted: dict[str, Any] = {}

    def asked(self, call: HookRequest, client: Client) -> None:
        """Whom the call is about, and who is in front of the screen."""
        self._noted |= {
            "hook": call.hook,
            "patient": pseudonym(self._hash_key, client.name, call.patient_id),
            "user": pseudonym(self._hash_key, client.name, call.user),
        }

    def decided(self, answer: Answer) -> None:
        """What was said."""
        situation = answer.decision.primary or answer.decision.silence
        self._noted |= {
            "situation": situation.slug if situation else None,
            "cards": len(answer.response.cards),
        }
        if answer.decision.shadow:
            self._noted["shadow"] = [finding.slug for finding in answer.decision.shadow]

    def note(self, **words: str) -> None:
        """Words of our own that belong on the line, such as the reason of a refusal."""
        self._noted |= words

    def line(self, status: int) -> dict[str, Any]:
        """The line, once the answer is known."""
        origin = ORIGIN.get()
        client: Client | None = g.get("client")
        claimed = {} if client else {"claimed": g.get("claimed")}
        return {
            "request_id": origin.request_id if origin else None,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": client.name if client else None,
            **claimed,  # whose client a refused token said it was
            "endpoint": request.endpoint,
            **self._noted,
            "status": status,
            "outcome": _outcome(status),
            "ms": round((time.perf_counter() - self._started) * 1000, 1),
        }


def install(app: Flask, hash_key: bytes) -> None:
    """Write a line for every call that is not to a public address; to be installed first."""

    @app.before_request
    def begin() -> None:
        g.trail = Trail(hash_key)

    @app.after_request
    def write(response: Response) -> Response:
        if request.endpoint not in PUBLIC and request.method != "OPTIONS":
            line = trail().line(response.status_code)
            _log.info("audit %s", msgspec.json.encode(line).decode(), extra={"audit": line})
        return response


def trail() -> Trail:
    """The trail of the call under way."""
    found: Trail = g.trail
    return found


def _outcome(status: int) -> str:
    if status < 400:
        return "answered"
    return _OUTCOMES.get(status, "refused" if status < 500 else "failed")
