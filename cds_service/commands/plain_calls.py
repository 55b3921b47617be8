"""Calls of the commands: a token stays where it was sent, and no password of the machine goes along."""

from collections.abc import Mapping

import requests
from requests import PreparedRequest

NO_HEADERS: Mapping[str, str] = {}


def get(url: str, seconds: float) -> requests.Response:
    """The answer, not redirected. Raises RequestException."""
    return requests.get(url, timeout=seconds, auth=_nobody, allow_redirects=False)


def post(
    url: str, body: bytes, seconds: float, headers: Mapping[str, str] = NO_HEADERS
) -> requests.Response:
    """The answer, not redirected. Raises RequestException."""
    return requests.post(
        url, data=body, headers=headers, timeout=seconds, auth=_nobody, allow_redirects=False
    )


def _nobody(request: PreparedRequest) -> PreparedRequest:
    """Keeps requests from putting a password of the netrc file in place of the token."""
    return request
