"""Which addresses a site may write down: this machine's own, https URLs, and origins of web pages."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

HTTPS_URL = "an https URL (http on loopback only) without user, query or fragment"
ORIGIN = (
    "an origin such as https://ehr.example: scheme, host, a port only where it is not the usual one,"
    " nothing after"
)
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_USUAL_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_https_url(text: str) -> bool:
    """Whether that is an https URL, or http on this machine, that says nothing but where."""
    parts = _parts(text)
    if parts is None or not parts.hostname or "@" in parts.netloc or "?" in text or "#" in text:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def is_origin(text: str) -> bool:
    """Whether a browser would send this as `Origin`."""
    parts = _parts(text)
    if parts is None or parts.scheme not in _USUAL_PORTS or "@" in text:
        return False
    if not _HOST.fullmatch(parts.hostname or "") or parts.port == _USUAL_PORTS[parts.scheme]:
        return False
    return f"{parts.scheme}://{parts.netloc}" == text.lower() == text.rstrip(":")


def _parts(text: str) -> SplitResult | None:
    """The parts of a URL in which every character means itself; None for any other text."""
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        return None
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    return parts
