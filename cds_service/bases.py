"""The base URL of a FHIR server, taken apart so that two of them can be compared without tricks."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

import msgspec

Network = IPv4Network | IPv6Network

_PORTS = {"http": 80, "https": 443}
# What urlsplit would drop or read in two ways: control characters, spaces, backslashes.
_PLAIN = re.compile(r"[!-\[\]-~]+")
# Some servers take an encoded slash for a slash, and what is before it with it; some decode twice, and
# some leave out what follows a semicolon in a segment, or a null character.
_ENCODED = r"%(?:25)*"
_DOTS = re.compile(
    rf"(/|{_ENCODED}(2f|5c))(\.|{_ENCODED}2e){{1,2}}(/|;|{_ENCODED}(2f|5c|3b|00)|$)", re.IGNORECASE
)
_RIGHT = (
    "an http or https base URL without user, query or fragment, or a network such as 10.0.0.0/8"
)


class Base(msgspec.Struct, frozen=True):
    """Scheme, host, port and path of a FHIR server, in one spelling."""

    scheme: str
    host: str
    port: int
    path: str
    """Without a last slash; empty at the root of the server."""

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if _PORTS[self.scheme] == self.port else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"

    def holds(self, url: str) -> bool:
        """Whether an absolute URL lies at this base or below it, on the same origin."""
        try:
            other = _parts(url, whole=True)
        except ValueError:
            return False
        same = (other.scheme, other.host, other.port) == (self.scheme, self.host, self.port)
        return same and f"{other.path}/".startswith(f"{self.path}/")


def read_base(text: str) -> Base:
    """The base URL written. Raises ValueError saying what would be right."""
    return _parts(text, whole=False)


def read_entry(text: str) -> Base | Network:
    """One entry of a list of allowed servers: a base URL, or a network of internal addresses.

    Raises ValueError saying what would be right.
    """
    if "://" in text:
        return read_base(text)
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(_RIGHT) from error


def bases(entries: Iterable[str]) -> tuple[Base, ...]:
    """The servers in a list of allowed ones, without the networks. Raises ValueError as `read_entry`."""
    return tuple(entry for entry in map(read_entry, entries) if isinstance(entry, Base))


def read_entries(text: str) -> tuple[str, ...]:
    """A comma list of such entries, checked. Raises ValueError saying what would be right."""
    entries = tuple(part.strip() for part in text.split(",") if part.strip())
    for entry in entries:
        read_entry(entry)
    return entries


def _parts(text: str, *, whole: bool) -> Base:
    """`whole` lets a query pass, as in the link of a next page."""
    if not _PLAIN.fullmatch(text):
        raise ValueError(_RIGHT)
    parts = urlsplit(text)
    port = parts.port  # raises ValueError when it is none
    wrong = (
        parts.scheme not in _PORTS
        or not parts.hostname
        or parts.hostname.endswith(".")
        or "@" in parts.netloc
        or "%" in parts.netloc
        or bool(_DOTS.search(parts.path))
        or port == 0
        or (not whole and ("?" in text or "#" in text))
    )
    if wrong or parts.hostname is None:
        raise ValueError(_RIGHT)
    return Base(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], parts.path.rstrip("/"))
