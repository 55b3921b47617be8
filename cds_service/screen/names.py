"""The patient's name, read only when a run asks for names."""

from collections.abc import Iterable

import msgspec

from cds_service.fhir.bundles import UNREADABLE


class _Name(msgspec.Struct, frozen=True):
    text: str | None = None
    family: str | None = None
    given: tuple[str, ...] | None = None


class _Patient(msgspec.Struct, frozen=True, tag_field="resourceType", tag="Patient"):
    name: tuple[_Name, ...] | None = None


_patient = msgspec.json.Decoder(_Patient)


def name_in(lines: Iterable[bytes]) -> str | None:
    """The first name of the Patient among these lines; None when none is given or readable."""
    for line in lines:
        try:
            names = _patient.decode(line).name or ()
        except UNREADABLE:
            continue  # another resource, or a name in a shape that FHIR does not know
        for name in names:
            parts = [*(name.given or ()), *([name.family] if name.family else [])]
            found = name.text or " ".join(parts)
            if found:
                return found
    return None
