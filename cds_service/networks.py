"""IP addresses and networks that a site lists."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def networks(text: str) -> tuple[Network, ...]:
    """The networks of a comma list such as `10.0.0.5, 192.168.0.0/16, ::1`.

    Raises ValueError saying what would be right.
    """
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError("addresses or networks such as 10.0.0.5, 192.168.0.0/16, ::1") from error


def listed(address: str | None, allowed: Iterable[Network]) -> bool:
    """Whether that address is in one of the networks; what is no address is in none."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped:  # as a dual-stack socket names IPv4
        found = found.ipv4_mapped
    return any(found in network for network in allowed)


def is_address(text: str) -> bool:
    """Whether that is an IP address and nothing else."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
