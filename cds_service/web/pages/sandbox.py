"""A sandbox EHR for the demonstration: bundled patients, real hooks over HTTP, cards, feedback.

Never part of the production service: only `cds-service demo` registers it.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import msgspec
from flask import Blueprint, redirect, render_template, request, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response as Answer

from cds_service.bundled_patients import Story, chart, stories
from cds_service.card_text import BACKGROUND
from cds_service.ehr import draft_order, hook_requests
from cds_service.errors import RequestError, ServiceError
from cds_service.fhir.banner import Banner, banner
from cds_service.guidance import Advisor
from cds_service.hooks.request import HOOKS, ORDER_SELECT, ORDER_SIGN, PATIENT_VIEW, decode
from cds_service.web.pages import edit_form, edits, prose
from cds_service.web.pages.explained import explained
from cds_service.web.pages.refusals import PageNotFound, as_pages
from cds_service.web.pages.security import protect
from cds_service.web.pages.visits import Done, Exchange, Json, Send, Visit, Visits, new_id

_LONGEST_COMMENT = 500
_TO_BEGIN_WITH = (
    "persistent-low-alp",
    "low-before-antiresorptive",
    "low-explained-by-antiresorptive",
    "suspect-specimen",
)


def blueprint(advisor: Advisor, send: Send, today: Callable[[], date]) -> Blueprint:
    """The pages of the sandbox. `send` posts to the service, as a record system would."""
    routes = Blueprint("sandbox", __name__)
    protect(routes, charts=True)
    as_pages(routes)
    visits = Visits()
    ehr = _Ehr(advisor, send, today)
    routes.app_context_processor(lambda: {"sandbox": True})

    @routes.get("/")
    def patients() -> str:
        titles = {slug: s.title for slug, s in advisor.rulebook.situations.items()}
        groups = _groups()
        return render_template("sandbox_patients.html", groups=groups, titles=titles, today=today())

    @routes.get("/patients/<name>")
    def patient(name: str) -> str:
        _known(name)
        visit = visits.get(request.args.get("visit", ""))
        if visit is None or visit.patient != name:
            earlier = visits.get(request.args.get("after", ""))
            drafts = earlier.drafts if earlier and earlier.patient == name else ()
            visit = visits.keep(ehr.open(name, request.args.to_dict(), drafts))
        return render_template("sandbox_patient.html", **_shown(visit, advisor, today()))

    @routes.post("/patients/<name>/feedback")
    def feedback(name: str) -> Answer:
        visit = visits.get(request.form.get("visit", ""))
        if visit is None or visit.patient != name:
            raise PageNotFound("This visit is forgotten: open the patient again.")
        visits.keep(ehr.answered(visit, request.form))
        address = url_for("sandbox.patient", name=name, visit=visit.id, _anchor="cards")
        return redirect(address, 303)

    return routes


class _Ehr:
    """Plays the record system: builds the calls, remembers what came back."""

    def __init__(self, advisor: Advisor, send: Send, today: Callable[[], date]) -> None:
        self._rulebook = advisor.rulebook
        self._send = send
        self._today = today

    def open(self, name: str, typed: Mapping[str, str], drafts: tuple[Json, ...]) -> Visit:
        """Fire the hook that was asked for: patient-view, or one about the drug that is ordered."""
        hook = {"select": ORDER_SELECT, "sign": ORDER_SIGN}.get(typed.get("do", ""), PATIENT_VIEW)
        if hook != PATIENT_VIEW:
            drafts = (*_tests(drafts), self._order(typed))
        bundle = edits.edited(chart(name), typed, self._rulebook)
        body = next(hook_requests(bundle, hook, self._rulebook.terminology, drafts))
        body["hookInstance"] = str(uuid4())
        if hook == ORDER_SELECT:
            body["context"]["selections"] = [f"MedicationRequest/{drafts[-1]['id']}"]
        exchange = self._send(f"/cds-services/low-alp-{hook}", body)
        return Visit(new_id(), name, hook, dict(typed), exchange, drafts)

    def _order(self, typed: Mapping[str, str]) -> Json:
        drug = typed.get("drug", "")
        if drug not in self._rulebook.drugs or not self._rulebook.drugs[drug].is_antiresorptive:
            raise RequestError("Choose the antiresorptive that is to be ordered.", where="drug")
        return draft_order(drug, self._rulebook.drug_list, ended=typed.get("ends") == "yes")

    def answered(self, visit: Visit, form: Mapping[str, str]) -> Visit:
        """Send feedback on a card: a suggestion taken, or the card set aside."""
        card = next((c for c in cards(visit) if c["uuid"] == form.get("card")), None)
        if card is None:
            raise RequestError("There is no such card in this visit.", where="card")
        if "suggestion" in form:
            said, told, draft = _taken(card, form["suggestion"])
            drafts = (*visit.drafts, draft)
        else:
            said, told = _set_aside(card, form)
            drafts = visit.drafts
        moment = datetime.combine(self._today(), datetime.now(UTC).time())
        at = f"{moment.isoformat(timespec='milliseconds')}Z"
        entry = {"card": card["uuid"], "outcomeTimestamp": at, **said}
        path = f"{visit.exchange.path}/feedback"
        done = Done(card["uuid"], told, self._send(path, {"feedback": [entry]}))
        return msgspec.structs.replace(visit, drafts=drafts, done=(*visit.done, done))


def cards(visit: Visit) -> list[Json]:
    """The cards that came back; none when the service refused."""
    answer = visit.exchange.answer if visit.exchange.accepted else None
    found = answer.get("cards", []) if answer else []
    return [card for card in found if isinstance(card, dict)]


def _taken(card: Json, suggestion_id: str) -> tuple[Json, str, Json]:
    for suggestion in card.get("suggestions", []):
        if suggestion["uuid"] == suggestion_id:
            draft = dict(suggestion["actions"][0]["resource"])
            draft["id"] = f"draft-{draft['code']['coding'][0]['code'].replace('_', '-')}"
            said = {"outcome": "accepted", "acceptedSuggestions": [{"id": suggestion_id}]}
            return said, f"Added to the draft orders: {suggestion['label']}.", draft
    raise RequestError("There is no such suggestion on this card.", where="suggestion")


def _set_aside(card: Json, form: Mapping[str, str]) -> tuple[Json, str]:
    said: Json = {"outcome": "overridden"}
    reason = next(
        (r for r in card.get("overrideReasons", []) if r["code"] == form.get("reason")), None
    )
    comment = form.get("comment", "").strip()[:_LONGEST_COMMENT]
    given: Json = {"reason": reason} if reason else {}
    if comment:
        given["userComment"] = comment
    if given:
        said["overrideReason"] = given
    return said, f"Set aside: {reason['display'] if reason else 'no reason given'}."


def _tests(drafts: tuple[Json, ...]) -> tuple[Json, ...]:
    """Of earlier drafts the tests; the drug is chosen anew."""
    return tuple(d for d in drafts if d["resourceType"] == "ServiceRequest")


def _known(name: str) -> None:
    if all(story.name != name for story in stories()):
        raise PageNotFound("There is no such bundled patient.")


def _groups() -> list[tuple[str, list[Story]]]:
    """Some to begin with, then the other situations, then those that show a way of writing."""
    begin = [s for name in _TO_BEGIN_WITH for s in stories() if s.name == name]
    named = ("denosumab-gap", "normal-alp", "oncology")
    rest = [s for s in stories() if s not in begin and s.name in (s.situation, *named)]
    others = [s for s in stories() if s not in begin and s not in rest]
    return [
        ("Begin here", begin),
        ("More patients", rest),
        ("The same, as other systems write it", others),
    ]


def _shown(visit: Visit, advisor: Advisor, as_of: date) -> dict[str, Any]:
    """Everything that the page of a visit shows."""
    rulebook = advisor.rulebook
    found: dict[str, Any] = {
        "visit": visit,
        "story": next(s for s in stories() if s.name == visit.patient),
        "who": _who(visit),
        "cards": [(card, *_opened(card.get("detail", ""))) for card in cards(visit)],
        "refused": _refused(visit.exchange),
        "done": {c["uuid"]: [d for d in visit.done if d.card == c["uuid"]] for c in cards(visit)},
        "drugs": [(key, d.label) for key, d in rulebook.drugs.items() if d.is_antiresorptive],
        "lines": edit_form.form(chart(visit.patient), rulebook, visit.typed),
        "changed": any(name.startswith(("alp-", "drug-", "born")) for name in visit.typed),
        "units": edit_form.UNITS,
        "as_of": as_of,
    }
    try:
        call = decode(msgspec.json.encode(visit.exchange.request), HOOKS)
        decision = advisor.answer(call, as_of, explain=True).decision
    except ServiceError:
        return found  # the service refused this call, and the page shows what it said
    return found | explained(decision, rulebook)


def _opened(detail: str) -> tuple[Markup, Markup]:
    """A card's text in two: reasons and values, which stand open, and the rest, which is folded."""
    opened, line, folded = detail.partition(BACKGROUND)
    return prose.html(opened), prose.html(line + folded)


def _who(visit: Visit) -> Banner:
    return banner(msgspec.json.encode(visit.exchange.request["prefetch"]["patient"]))


def _refused(exchange: Exchange) -> str | None:
    """What the service said when it refused; None when it answered."""
    if exchange.accepted:
        return None
    answer = exchange.answer or {}
    said = [i.get("diagnostics", "") for i in answer.get("issue", []) if isinstance(i, dict)]
    return f"{exchange.status}: {' '.join(said) or 'no OperationOutcome came with it'}"
