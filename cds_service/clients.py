"""Who calls: one record system that this site trusts, and what it is trusted with."""

import msgspec


class Client(msgspec.Struct, frozen=True):
    """A CDS client. What is remembered and whom we call is kept apart by client."""

    name: str
    """The site's own name for it; it may stand in logs."""
    fhir_servers: tuple[str, ...] = ()
    """Base URLs of FHIR servers that may be called on its behalf; none: nothing is called."""
    smart_links: bool = False
    """Its cards carry the link that opens the timeline, and its FHIR servers may launch it."""
    smart_client_id: str = ""
    """The id under which the timeline is registered at its authorization server, as a public client."""
    frame_ancestors: tuple[str, ...] = ()
    """Origins of its own pages that may show the timeline in a frame; none: it opens as a page."""


OPEN = Client("open")
"""Whoever calls while client authentication is off."""
