"""Which FHIR servers may be called, and at which addresses.

Nothing is called that the site has not listed. A listed name must lead to a public address: to an
internal one only when its network is listed too, or when the name itself is `localhost`. An address
listed as such is meant.
"""

import socket
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from cds_service.bases import Base, Network, read_base, read_entry

_Address = IPv4Address | IPv6Address
# An IPv6 network that is nothing but another way to an IPv4 address (RFC 6052).
_NAT64 = ip_network("64:ff9b::/96")


class AddressRefused(OSError):
    """The name of a listed server leads to an address that may not be called."""


class AllowedServers:
    """The servers that may be called for one client."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Raises ValueError when an entry is neither a base URL nor a network."""
        read = [read_entry(entry) for entry in entries]
        self._bases = frozenset(e for e in read if isinstance(e, Base))
        self._networks = [e for e in read if not isinstance(e, Base)]
        self._addresses = {a for b in self._bases if (a := _literal(b.host)) is not None}

    def find(self, server: str) -> Base | None:
        """The listed base that a call names: the same scheme, host, port and path, or none."""
        with suppress(ValueError):
            asked = read_base(server)
            return asked if asked in self._bases else None
        return None

    def addresses(self, host: str, port: int) -> list[str]:
        """Where a host may be reached.

        Raises AddressRefused when its name leads to any address that may not be called, and OSError
        when it leads nowhere.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not all(self._permits(ip_address(address), host) for address in addresses):
            raise AddressRefused("the name leads to an address that may not be called")
        return addresses

    def _permits(self, address: _Address, host: str) -> bool:
        if address in self._addresses or _within(address, self._networks):
            return True
        inner = _unwrapped(address)
        if inner.is_loopback:
            return host == "localhost" or host.endswith(".localhost")
        if inner != address and _within(inner, self._networks):
            return True
        return inner.is_global and not (inner.is_multicast or inner.is_reserved or _local(inner))


def _local(address: _Address) -> bool:
    """Whether it is one of the site-local addresses of old, which Python takes for public ones."""
    return isinstance(address, IPv6Address) and address.is_site_local


def _literal(host: str) -> _Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _within(address: _Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _unwrapped(address: _Address) -> _Address:
    """The IPv4 address inside an IPv6 one, where there is one."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
