"""The resources of a Bundle, with references to its own `urn:` entries made relative."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from cds_service.fhir.bundles import UNREADABLE

_URN = re.compile(rb'"urn:')
_REFERENCE = re.compile(rb'("reference"\s*:\s*")(urn:[^"\\]*)"')


class _Entry(msgspec.Struct, frozen=True):
    fullUrl: str | None = None
    resource: msgspec.Raw = msgspec.Raw(b"null")


class _Bundle(msgspec.Struct, frozen=True):
    entry: tuple[msgspec.Raw, ...] | None = None


class _Named(msgspec.Struct, frozen=True):
    resourceType: str | None = None
    id: str | None = None


_bundle = msgspec.json.Decoder(_Bundle)
_entry = msgspec.json.Decoder(_Entry)
_named = msgspec.json.Decoder(_Named)


def resources_of(bundle: bytes) -> Iterator[bytes]:
    """Each resource as JSON; an entry that is none comes as it is, to be named by the reader."""
    try:
        entries = _bundle.decode(bundle).entry or ()
    except UNREADABLE:
        yield b"{}"
        return
    addresses = _addresses(entries) if _URN.search(bundle) else {}
    for raw in entries:
        try:
            resource = bytes(_entry.decode(raw).resource)
        except UNREADABLE:
            yield bytes(raw)
            continue
        if resource != b"null":
            yield _relative(resource, addresses)


def _addresses(entries: tuple[msgspec.Raw, ...]) -> Mapping[str, str]:
    """`Type/id` by the urn that other entries use for it."""
    found: dict[str, str] = {}
    for raw in entries:
        try:
            entry = _entry.decode(raw)
            named = _named.decode(entry.resource)
        except UNREADABLE:
            continue  # named when its resource is read
        if entry.fullUrl and named.resourceType and named.id:
            found[entry.fullUrl] = f"{named.resourceType}/{named.id}"
    return found


def _relative(resource: bytes, addresses: Mapping[str, str]) -> bytes:
    """The resource with its references rewritten in the text, so that no number changes its digits."""

    def replaced(found: re.Match[bytes]) -> bytes:
        address = found[2].decode()
        return found[1] + addresses.get(address, address).encode() + b'"'

    return _REFERENCE.sub(replaced, resource) if addresses else resource
