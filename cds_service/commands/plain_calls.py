"""Calls of the commands: a token stays where it was sent, and no password of the machine goes along."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import requests
from requests import PreparedRequest

from cds_service.addresses import is_loopback

JSON: Mapping[str, str] = {"Content-Type": "application/json"}


def get(url: str, seconds: float) -> requests.Response:
    """The answer, not redirected. Raises RequestException."""
    return _asked("GET", url, None, seconds, {})


def post(
    url: str, body: bytes, seconds: float, headers: Mapping[str, str] = JSON
) -> requests.Response:
    """The answer, not redirected. Raises RequestException."""
    return _asked("POST", url, body, seconds, headers)


def _asked(
    method: str, url: str, body: bytes | None, seconds: float, headers: Mapping[str, str]
) -> requests.Response:
    with requests.Session() as asking:
        asking.trust_env = not _is_here(url)  # no proxy leads to this machine itself
        return asking.request(
            method,
            url,
            data=body,
            headers=headers,
            timeout=seconds,
            auth=_nobody,
            allow_redirects=False,
        )


def _is_here(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False  # no address, as requests will say


def _nobody(request: PreparedRequest) -> PreparedRequest:
    """Keeps requests from putting a password of the netrc file in place of the token."""
    return request
