"""Draft ServiceRequests: built once, checked once at start, completed for each patient.

Only references change from call to call, and they are made of ids that were checked before.
"""

from typing import Any

from cds_service import draft_check
from cds_service.assessment import Assessment
from cds_service.phrases import FLAGS
from cds_service.rulebook import Order, Rulebook, orderable

_ALP_REASON = "Low alkaline phosphatase (ALP)"


class DraftOrders:
    """The draft of every order that cards may offer."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._orders = rulebook.orders
        self._off = frozenset(rulebook.policy.orders.off)
        self._templates = {
            code: _template(code, order, rulebook) for code, order in rulebook.orders.items()
        }

    def check(self) -> None:
        """Have every draft checked against FHIR. Raises KnowledgeError when one is not valid."""
        subject = {"reference": "Patient/template"}
        draft_check.check({c: {**t, "subject": subject} for c, t in self._templates.items()})

    def __getitem__(self, code: str) -> Order:
        return self._orders[code]

    def needless(self, code: str, a: Assessment) -> str | None:
        """Why an order is not offered: switched off, pointless, placed already or done lately."""
        order = self._orders[code]
        if code in self._off:
            return "switched off by this site"
        if any(FLAGS[flag](a) for flag in order.not_when):
            return "already answered on record"
        wanted = frozenset({f"order:{code}", *order.pending_as})
        if any(o.is_draft and not wanted.isdisjoint(o.concepts) for o in a.record.orders):
            return "already in the draft"
        latest = a.alp.values[-1] if order.repeats_alp and a.alp.values else None
        if a.pending(wanted, after=latest.day.first if latest else None):
            return "already ordered"
        if order.done_by and all(a.resulted(concept) for concept in order.done_by):
            return "resulted lately"
        return None

    def draft(self, code: str, a: Assessment, *, encounter_id: str | None) -> dict[str, Any]:
        """A ServiceRequest for this patient, status draft, intent proposal."""
        draft = dict(self._templates[code])
        draft["subject"] = {"reference": f"Patient/{a.record.patient.id}"}
        if encounter_id is not None:
            draft["encounter"] = {"reference": f"Encounter/{encounter_id}"}
        reason = _reason(a)
        if reason is not None:
            draft["reasonReference"] = [{"reference": reason}]
        return draft


def _reason(a: Assessment) -> str | None:
    """The ALP Observation that the order is about."""
    about = a.alp.latest_low or a.alp.latest or (a.alp.values[-1] if a.alp.values else None)
    return about.result.reference if about else None


def _template(code: str, order: Order, rulebook: Rulebook) -> dict[str, Any]:
    coding: list[dict[str, str]] = [
        {"system": rulebook.order_system, "code": code, "display": order.label}
    ]
    for text in order.codings:
        concept = orderable(rulebook.terminology, text)
        assert concept is not None  # noqa: S101  (checked when the rulebook was loaded)
        coding.append({"system": concept.system, "code": concept.code, "display": concept.display})
    return {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "proposal",
        "code": {"coding": coding, "text": order.text},
        "reasonCode": [{"text": _ALP_REASON}],
        "note": [{"text": order.instructions}],
    }
