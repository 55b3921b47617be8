"""The additive named for a specimen, when it is one that lowers measured ALP."""

import re
from collections.abc import Iterator

from cds_service.fhir import resources as r
from cds_service.fhir.bundles import contained
from cds_service.fhir.references import Referred

_SPOILING = re.compile(
    r"(?<!no )(?<!non-)(?<!without )(edta|citrate|oxalate|fluoride)(?!.free)", re.IGNORECASE
)
_LONGEST_TEXT = 200


def spoiling_additive(observation: r.Observation, specimens: Referred[r.Specimen]) -> str | None:
    """The additive named for the specimen, if it is one that lowers measured ALP."""
    reference = observation.specimen
    if reference is None:
        return None
    texts = [reference.display or ""]
    target = reference.reference or ""
    if target.startswith("#"):
        inside = (c for c in contained(observation.contained) if c.id == target[1:])
        specimen = next((c for c in inside if isinstance(c, r.Specimen)), None)
    else:
        specimen = specimens.get(target)
    texts.extend(_container_texts(specimen))
    found = _SPOILING.search(" ".join(text[:_LONGEST_TEXT] for text in texts))
    if found is None:
        return None
    return "EDTA" if found[0].lower() == "edta" else found[0].lower()


def _container_texts(specimen: r.Specimen | None) -> Iterator[str]:
    for container in (specimen.container if specimen else None) or ():
        yield container.description or ""
        for concept in (container.type, container.additiveCodeableConcept):
            if concept is not None:
                yield concept.text or ""
                yield from (c.display or "" for c in concept.coding or ())
