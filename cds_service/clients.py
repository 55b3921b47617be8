"""Who calls: one record system that this site trusts, and what it is trusted with."""

from typing import Any, Literal

import msgspec

ALGORITHMS = (
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "PS256",
    "PS384",
    "PS512",
    "RS256",
    "RS384",
    "RS512",
)
"""Signatures by a private key. Those by a shared secret, and none at all, are not on the list."""

ActionSelection = Literal["any", "all", "at-most-one"]


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A CDS client. What is remembered and whom we call is kept apart by client."""

    name: str
    """The site's own name for it; it may stand in logs."""
    fhir_servers: tuple[str, ...] = ()
    """Base URLs of FHIR servers that may be called on its behalf; none: nothing is called."""
    issuer: str = ""
    """`iss` of its tokens."""
    tenants: tuple[str, ...] = ()
    """`tenant` of its tokens; none: whatever the issuer says."""
    jwks_url: str | None = None
    jwks_file: str | None = None
    jwks: dict[str, Any] | None = None
    """Its public keys: one of the three."""
    jku: tuple[str, ...] = ()
    """Addresses that a token may name as the place of its key; no other is ever called."""
    algorithms: tuple[str, ...] = ("ES384", "RS384")
    cors_origins: tuple[str, ...] = ()
    """Origins of web pages that may call as this client; none: no web page."""
    smart_links: bool = False
    """Its cards carry the link that opens the timeline, and its FHIR servers may launch it."""
    smart_client_id: str = ""
    """The id under which the timeline is registered at its authorization server, as a public client."""
    frame_ancestors: tuple[str, ...] = ()
    """Origins of its own pages that may show the timeline in a frame; none: it opens as a page."""
    action_selection_behavior: tuple[ActionSelection, ...] = ()
    """The values that it understands. Cards have one action a suggestion today, and send none."""
    strict_discovery: bool = False
    """Whether its discovery document leaves out every member that CDS Hooks 1.0 did not have."""
    rate_per_minute: int | None = 6000
    """Calls that are answered a minute, on all machines together; None: as many as come."""
    trust_public_sandbox_key: bool = False
    """Whether the sandbox of cds-hooks.org, whose private key anyone can read, may call as it."""


OPEN = Client("open", rate_per_minute=None)
"""Whoever calls while client authentication is off."""
