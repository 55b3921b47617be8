"""Who calls, by the token in `Authorization`: verified, counted, and used up."""

import time

from flask import g, request

from cds_service.clients import Client
from cds_service.database.admission import Admissions
from cds_service.errors import TooManyCalls, Unauthorized, Unavailable
from cds_service.tokens.key_server import KeysUnavailable
from cds_service.tokens.token_check import Refused, TokenCheck
from cds_service.web import rate


class Authentication:
    """Answers who calls, or refuses."""

    def __init__(self, tokens: TokenCheck, admissions: Admissions) -> None:
        self._tokens = tokens
        self._admissions = admissions

    def __call__(self) -> Client:
        """The client whose token came with this request.

        Raises Unauthorized, the same for every reason; TooManyCalls; or Unavailable when key server
        or database cannot be asked.
        """
        now = time.time()
        try:
            accepted = self._tokens.accept(bearer_token(), (request.path,), now)
        except Refused as refused:
            if refused.client is not None:
                g.claimed = refused.client.name
            raise Unauthorized(refused.reason) from refused
        except KeysUnavailable as error:
            raise Unavailable(
                "The keys of the client cannot be fetched at the moment.", retry_seconds=30
            ) from error
        client = accepted.client
        g.claimed = client.name
        admission = self._admissions.admit(
            accepted.token_hash, accepted.expires_at, now, lambda counts: rate.count(client, counts)
        )
        if not admission.first_use:
            raise Unauthorized("used before")
        if admission.wait_seconds:
            raise TooManyCalls(
                f"More than the {client.rate_per_minute} calls a minute that are agreed with this client.",
                retry_seconds=admission.wait_seconds,
            )
        return client


def bearer_token() -> str:
    """The token in `Authorization`. Raises Refused when there is none."""
    values = request.headers.getlist("Authorization")
    if len(values) != 1:
        raise Refused(
            "no Authorization header" if not values else "more than one Authorization header"
        )
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused("Authorization is not of the form: Bearer, a space, the token")
    return token.strip()
