"""Who calls: one record system that this site trusts, and what it is trusted with."""

import msgspec


class Client(msgspec.Struct, frozen=True):
    """A CDS client. What is remembered and whom we call is kept apart by client."""

    name: str
    """The site's own name for it; it may stand in logs."""
    fhir_servers: tuple[str, ...] = ()
    """Base URLs of FHIR servers that may be called on its behalf; none: nothing is called."""


OPEN = Client("open")
"""Whoever calls while client authentication is off."""
