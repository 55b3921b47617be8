"""Status codes as FHIR writes them, whatever the capitals and spaces of the sender."""


def normal(status: str | None) -> str | None:
    """`Not Taken` and `not-taken ` are `not-taken`."""
    return status.strip().lower().replace(" ", "-") if status else None
