"""Our value sets and code systems as FHIR JSON, at the addresses that they are named by."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from flask import Blueprint, Response

from cds_service.errors import UnknownService
from cds_service.rulebook import Rulebook
from cds_service.rulebook.files import KNOWLEDGE
from cds_service.web.pages.public import cacheable
from cds_service.web.pages.security import protect

Json = dict[str, Any]
_DRAFTED_UNDER = "https://low-alp-cds.example"
"""Base of the addresses in the files; a site's own takes its place."""
_FHIR_JSON = "application/fhir+json"


def blueprint(rulebook: Rulebook) -> Blueprint:
    """`GET /fhir/ValueSet/{id}` and `GET /fhir/CodeSystem/{id}`."""
    routes = Blueprint("terminology", __name__)
    protect(routes)
    cacheable(routes)
    systems = code_systems(rulebook)

    @routes.get("/fhir/ValueSet/<resource_id>")
    def value_set_(resource_id: str) -> Response:
        if resource_id not in rulebook.terminology.value_sets:
            raise UnknownService(
                "There is no such ValueSet; all are listed at /knowledge/value-sets."
            )
        return _fhir("valueset", "ValueSet", value_set(resource_id, rulebook))

    @routes.get("/fhir/CodeSystem/<resource_id>")
    def code_system_(resource_id: str) -> Response:
        if resource_id not in systems:
            raise UnknownService(f"There is no such CodeSystem; there are {', '.join(systems)}.")
        return _fhir("codesystem", "CodeSystem", systems[resource_id])

    return routes


def value_set(value_set_id: str, rulebook: Rulebook) -> Json:
    """A ValueSet as in force at this site: under its own addresses, with its local codes."""
    text = (KNOWLEDGE / "value_sets" / f"{value_set_id}.json").read_text(encoding="utf-8")
    resource: Json = json.loads(text.replace(_DRAFTED_UNDER, rulebook.canonical))
    for local in rulebook.policy.local_codes:
        if local.value_set == value_set_id:
            concept = {"code": local.code, "display": local.display or local.code}
            resource["compose"]["include"].append({"system": local.system, "concept": [concept]})
    return resource


def code_systems(rulebook: Rulebook) -> Mapping[str, Json]:
    """The code systems that cards and draft orders use."""
    orders = [
        {"code": code, "display": order.label, "definition": order.text}
        for code, order in rulebook.orders.items()
    ]
    reasons = [
        {"code": code, "display": reason.display, "definition": reason.meaning}
        | {"property": [{"code": "hl7", "valueCode": reason.hl7}]}
        for code, reason in rulebook.override_reasons.items()
    ]
    situations = [
        {"code": slug, "display": situation.title}
        for slug, situation in rulebook.situations.items()
    ]
    nearest = {
        "code": "hl7",
        "description": "Nearest code of http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes",
        "type": "code",
    }
    return {
        "orders": _system(rulebook, "orders", "Draft orders offered by cards", orders),
        "override-reasons": _system(
            rulebook, "override-reasons", "Why a card is set aside", reasons, property=[nearest]
        ),
        "situations": _system(
            rulebook, "situations", "Situations that cards are about", situations
        ),
    }


def _system(
    rulebook: Rulebook, system_id: str, title: str, concepts: Iterable[Json], **more: Any
) -> Json:
    found = list(concepts)
    return {
        "resourceType": "CodeSystem",
        "id": system_id,
        "url": f"{rulebook.canonical}/fhir/CodeSystem/{system_id}",
        "version": rulebook.about.version,
        "name": "".join(word.capitalize() for word in system_id.split("-")),
        "title": title,
        "status": "draft",
        "experimental": False,
        "date": str(rulebook.about.date),
        "publisher": "Low ALP CDS",
        "caseSensitive": True,
        "content": "complete",
        "count": len(found),
        **more,
        "concept": found,
    }


def _fhir(module: str, model: str, resource: Json) -> Response:
    body = _validated(module, model, msgspec.json.encode(resource))
    return Response(body, content_type=_FHIR_JSON)


@lru_cache(maxsize=256)
def _validated(module: str, model: str, body: bytes) -> bytes:
    """The body, once fhir.resources accepts it: what goes out is checked, whatever a site added."""
    from importlib import import_module

    getattr(import_module(f"fhir.resources.R4B.{module}"), model).model_validate_json(body)
    return body
