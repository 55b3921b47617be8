"""The rules in plain words, made from the very data that the cards are made from."""

import re
from importlib.metadata import version
from typing import Any

import msgspec
from flask import Blueprint, Response, render_template

from cds_service.bundled_patients import Story, stories
from cds_service.fhir.templates import templates
from cds_service.offered_services import SERVICES, SPECIFICATION
from cds_service.phrases.policy import numbers
from cds_service.policy import Policy
from cds_service.rulebook import Rulebook
from cds_service.rulebook.files import read_policy
from cds_service.rulebook.governance import read_changes, read_source_attributes
from cds_service.rulebook.situation import Situation, conditions
from cds_service.web.pages.public import cacheable
from cds_service.web.pages.refusals import PageNotFound, as_pages
from cds_service.web.pages.security import protect

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def blueprint(rulebook: Rulebook) -> Blueprint:
    """Public pages: they speak of rules, of no patient. Raises KnowledgeError as loading does."""
    routes = Blueprint("knowledge", __name__)
    protect(routes)
    cacheable(routes)
    as_pages(routes)
    changes = read_changes(rulebook.about.version)
    attributes = read_source_attributes(rulebook.situations)
    in_force = numbers(rulebook.policy)
    policy = policy_lines(rulebook.policy)
    common: dict[str, Any] = {
        "about": rulebook.about,
        "policy_version": rulebook.policy.version,
        "software_version": version("low-alp-cds"),
    }

    routes.app_context_processor(
        lambda: {"last_clinical_review": rulebook.about.last_clinical_review}
    )

    def words(text: str) -> str:
        """Policy numbers put in; what only a patient can fill is named in angle marks."""
        return _PLACEHOLDER.sub(lambda m: in_force.get(m[1]) or f"‹{m[1].replace('_', ' ')}›", text)

    @routes.get("/knowledge")
    def index() -> str:
        return render_template(
            "knowledge.html",
            situations=[_row(rulebook.situations[r.slug], rulebook, words) for r in rulebook.rows],
            services=list(SERVICES.values()),
            specification=SPECIFICATION,
            policy=policy,
            changes=changes,
            orders=rulebook.orders,
            orders_off=rulebook.policy.orders.off,
            reasons=rulebook.override_reasons,
            **common,
        )

    @routes.get("/knowledge/situations/<slug>")
    def situation(slug: str) -> str:
        found = rulebook.situations.get(slug)
        if found is None:
            raise PageNotFound("There is no such situation.")
        return render_template(
            "situation.html",
            s=found,
            row=_row(found, rulebook, words),
            words=words,
            conditions=_in_words,
            orders=[(offer, rulebook.orders[offer.code]) for offer in found.orders],
            reasons=[rulebook.override_reasons[code] for code in found.override_reasons],
            citations=[(cited, rulebook.citations[cited.source]) for cited in found.citations],
            patients=_shown_by(slug),
            **common,
        )

    @routes.get("/knowledge/value-sets")
    def value_sets() -> str:
        found = rulebook.terminology.value_sets.values()
        return render_template("value_sets.html", value_sets=list(found), **common)

    @routes.get("/knowledge/source-attributes")
    def source_attributes() -> str:
        return render_template(
            "source_attributes.html",
            topics=attributes.topics,
            hazards=attributes.hazards,
            titles={slug: s.title for slug, s in rulebook.situations.items()},
            citations=list(rulebook.citations.values()),
            prefetch=templates(rulebook.terminology),
            **common,
        )

    @routes.get("/about")
    def about() -> Response:
        return Response(status=301, headers={"Location": "knowledge/source-attributes"})

    return routes


def policy_lines(policy: Policy) -> list[tuple[str, str, str]]:
    """Every number in force: key, value, and the built-in value where this site changed it."""
    built_in = dict(_flat(msgspec.to_builtins(read_policy(None))))
    found = []
    for key, value in _flat(msgspec.to_builtins(policy)):
        if key != "version" and not key.startswith(("situations", "local_codes")):
            usual = built_in.get(key, "none")
            found.append((key, value, "" if usual == value else usual))
    return found


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        inner = [(f"{prefix}.{k}" if prefix else str(k), v) for k, v in value.items()]
        return [line for key, v in inner for line in _flat(v, key)]
    if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        return [line for i, v in enumerate(value, 1) for line in _flat(v, f"{prefix}.{i}")]
    if isinstance(value, list | tuple):
        return [(prefix, ", ".join(map(str, value)) or "none")]
    return [] if value is None else [(prefix, str(value))]


def _row(situation: Situation, rulebook: Rulebook, words: Any) -> dict[str, Any]:
    """One situation as a list shows it."""
    levels = [] if situation.silent else [situation.indicator]
    levels += [i for i in (situation.raised_indicator, situation.lowered_indicator) if i]
    return {
        "slug": situation.slug,
        "priority": situation.priority,
        "title": situation.title,
        "hooks": ", ".join(situation.hooks),
        "kind": situation.kind,
        "levels": levels,
        "criterion": words(situation.criterion),
        "raised_when": words(situation.raised_when),
        "switch": rulebook.policy.situations.get(situation.slug, "on"),
    }


def _in_words(when: str | tuple[str, ...]) -> str:
    """The conditions of a sentence: `warning and not plp normal`."""
    told = [c.replace("!", "not ").replace("_", " ") for c in conditions(when)]
    return " and ".join(told)


def _shown_by(slug: str) -> list[Story]:
    return [story for story in stories() if slug in (story.situation, story.beside)]
