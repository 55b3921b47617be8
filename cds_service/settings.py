"""Every setting, with its default and meaning. The table in the README is made from this module."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from cds_service.errors import KnowledgeError

Auth = Literal["required", "off"]
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_LARGEST_BODY = 1024 * 1024 * 1024


class Setting(msgspec.Struct, frozen=True):
    """One environment variable."""

    name: str
    default: str
    meaning: str


SETTINGS = (
    Setting(
        "CDS_AUTH",
        "required",
        "`required` or `off`. Client authentication is not built yet: `required` refuses to serve,"
        " `off` serves on loopback only, unless `serve --open-to-network` says otherwise",
    ),
    Setting("CDS_POLICY", "", "path of a site policy TOML, laid over the built-in policy"),
    Setting(
        "CDS_CANONICAL_URL",
        "https://low-alp-cds.example",
        "base of the code systems and value sets that this service defines",
    ),
    Setting(
        "CDS_MAX_BODY_BYTES", "10485760", "largest request body, in bytes; a longer one is 413"
    ),
    Setting("CDS_LOG_LEVEL", "INFO", "`DEBUG`, `INFO`, `WARNING` or `ERROR`"),
)


class Settings(msgspec.Struct, frozen=True):
    """The settings in force."""

    auth: Auth = "required"
    policy: Path | None = None
    canonical_url: str = "https://low-alp-cds.example"
    max_body_bytes: int = 10_485_760
    log_level: str = "INFO"


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises KnowledgeError naming the variable and what would be right."""
    known = [s.name for s in SETTINGS]
    for name in environment:
        if name.startswith("CDS_") and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise KnowledgeError(f"{name} is no setting of this version; {hint}")
    given = {s.name: environment.get(s.name) or s.default for s in SETTINGS}
    auth = given["CDS_AUTH"]
    if auth not in ("required", "off"):
        raise KnowledgeError(f"CDS_AUTH is {auth!r}; it is to be 'required' or 'off'")
    level = given["CDS_LOG_LEVEL"].upper()
    if level not in LOG_LEVELS:
        raise KnowledgeError(
            f"CDS_LOG_LEVEL is {level!r}; it is to be one of {', '.join(LOG_LEVELS)}"
        )
    return Settings(
        auth="off" if auth == "off" else "required",
        policy=Path(given["CDS_POLICY"]) if given["CDS_POLICY"] else None,
        canonical_url=_url(given["CDS_CANONICAL_URL"]),
        max_body_bytes=_bytes(given["CDS_MAX_BODY_BYTES"]),
        log_level=level,
    )


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise KnowledgeError(
            f"CDS_CANONICAL_URL is {text!r}; it is to be an absolute http or https URL"
        )
    return text.rstrip("/")


def _bytes(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1024 <= int(text[:12]) <= _LARGEST_BODY:
        raise KnowledgeError(
            f"CDS_MAX_BODY_BYTES is {text!r}; it is to be a number from 1024 to {_LARGEST_BODY}"
        )
    return int(text)
