"""Status codes as FHIR writes them, whatever the capitals and spaces of the sender."""

_AS_WRITTEN = frozenset({"active", "completed", "final", "finished", "resolved", "stopped"})
"""Those of nearly every entry: there is nothing to mend in them."""


def normal(status: str | None) -> str | None:
    """`Not Taken` and `not-taken ` are `not-taken`."""
    if status in _AS_WRITTEN:
        return status
    return status.strip().lower().replace(" ", "-") if status else None
