"""A patient Bundle made into a FHIR transaction that may be sent again and again."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from cds_service.fhir.references import redirected

Json = dict[str, Any]
SYSTEM = "https://low-alp-cds.example/fhir/fixture"
"""System of the identifiers by which a resource that was loaded before is found again."""


def transaction(bundle: Mapping[str, Any], name: str) -> tuple[Json, int]:
    """The transaction for a Bundle, and how many of its resources had to be left out.

    Every resource is updated by an identifier made of `name`, its type and its id, or created where
    there is none yet; the server gives the ids. Left out is what is about a patient who is not in the
    Bundle, since no server accepts a reference to nobody, and all but the newest copy of a resource.
    """
    given = [e["resource"] for e in bundle.get("entry") or ()]
    newest: dict[str, Json] = {}
    for resource in sorted(given, key=_updated):
        newest[f"{resource['resourceType']}/{resource['id']}"] = resource
    kept = {address: r for address, r in newest.items() if _subject_known(r, newest)}
    urns = {address: uuid5(NAMESPACE_URL, f"{name}/{address}").urn for address in kept}
    entries = [_entry(name, address, resource, urns) for address, resource in kept.items()]
    sent = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    return sent, len(given) - len(kept)


def _entry(name: str, address: str, resource: Json, urns: Mapping[str, str]) -> Json:
    identifier = {"system": SYSTEM, "value": f"{name}/{address}"}
    others = [i for i in resource.get("identifier", ()) if i.get("system") != SYSTEM]
    body = {k: redirected(v, urns) for k, v in resource.items() if k != "id"}
    body["identifier"] = [*others, identifier]
    wanted = quote(f"{identifier['system']}|{identifier['value']}", safe="")
    return {
        "fullUrl": urns[address],
        "resource": body,
        "request": {"method": "PUT", "url": f"{resource['resourceType']}?identifier={wanted}"},
    }


def _subject_known(resource: Json, there: Mapping[str, Json]) -> bool:
    subject = resource.get("subject")
    return subject is None or subject.get("reference") in there


def _updated(resource: Json) -> str:
    return str(resource.get("meta", {}).get("lastUpdated", ""))
