"""The access that an EHR hands over with a call: a token for this call alone, and what it grants."""

import re

import msgspec

from cds_service.fhir.scopes import Scopes

# RFC 6750 allows fewer characters; what matters is that no token can break out of its header.
_TOKEN = re.compile(r"[!-~]{1,16384}")


class AccessToken:
    """A bearer token. It is shown nowhere: not in a log, a message, a traceback or a copy."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Raises ValueError when the text cannot stand in a header."""
        if not _TOKEN.fullmatch(text):
            raise ValueError("visible ASCII characters, without spaces")
        self._text = text

    def __repr__(self) -> str:
        return "AccessToken(…)"

    def __reduce__(self) -> str:
        raise TypeError("an access token is not copied")

    @property
    def header(self) -> str:
        """The value of the Authorization header. For the request that needs it, and nothing else."""
        return f"Bearer {self._text}"


class Grant(msgspec.Struct, frozen=True):
    """What `fhirAuthorization` of a call gives."""

    token: AccessToken
    scopes: Scopes
