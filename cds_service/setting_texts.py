"""How the text of each kind of setting is read. Each raises ValueError saying what would be right."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from cds_service.addresses import HTTPS_URL, ORIGIN, is_https_url, is_origin

_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_PLAIN = re.compile(r"[A-Za-z0-9._~:/@!$&'()*+,;=%\[\]-]+")
"""Nothing that ends a text of JSON, where such an address is put in."""
_SHORTEST_KEY = 32
_SHORTEST_WAIT, _LONGEST_WAIT = 0.1, 60


def auth(text: str) -> Literal["required", "off"]:
    """Whether callers are asked who they are."""
    if text not in ("required", "off"):
        raise ValueError("'required' or 'off'")
    return "off" if text == "off" else "required"


def path(text: str) -> Path | None:
    """A path; None for nothing."""
    return Path(text) if text else None


def url(text: str) -> str:
    """An absolute URL, without a slash at its end."""
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    is_whole = parts.scheme in ("http", "https") and parts.hostname and _PLAIN.fullmatch(text)
    if not is_whole or parts.query or parts.fragment:
        raise ValueError("an absolute http or https URL, of the characters that RFC 3986 allows")
    return text.rstrip("/")


def database(text: str) -> str:
    """A URL of SQLAlchemy, with the driver that is installed."""
    if not text.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
        raise ValueError("a URL that begins with sqlite:/// or postgresql://")
    return text.replace("postgresql://", "postgresql+psycopg://", 1)


def key(text: str) -> bytes | None:
    """A secret; None for nothing."""
    if text and len(text) < _SHORTEST_KEY:
        raise ValueError(f"a secret of at least {_SHORTEST_KEY} characters")
    return text.encode() or None


def base(text: str) -> str | None:
    """A public address, without a slash at its end; None for nothing."""
    if text and not is_https_url(text):
        raise ValueError(HTTPS_URL)
    return text.rstrip("/") or None


def origins(text: str) -> tuple[str, ...]:
    """A comma list of origins of web pages."""
    origins = tuple(origin.strip() for origin in text.split(",") if origin.strip())
    if not all(map(is_origin, origins)):
        raise ValueError(f"a comma list, each {ORIGIN}")
    return origins


def number(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number within bounds, both allowed."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= most:
            raise ValueError(f"a number from {least} to {most}")
        return int(text)

    return read


def seconds(text: str) -> float:
    """A time to wait."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not _SHORTEST_WAIT <= seconds <= _LONGEST_WAIT:
        raise ValueError(f"a number of seconds from {_SHORTEST_WAIT} to {_LONGEST_WAIT}")
    return seconds


def level(text: str) -> str:
    """A level of the log."""
    if text.upper() not in _LOG_LEVELS:
        raise ValueError(f"one of {', '.join(_LOG_LEVELS)}")
    return text.upper()


def log_format(text: str) -> Literal["text", "json"]:
    """The form of a log line."""
    if text not in ("text", "json"):
        raise ValueError("'text' or 'json'")
    return "json" if text == "json" else "text"
