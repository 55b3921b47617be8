"""The timeline as a SMART app: launched from a card's link, authorized by the record system, shown.

What a launch asked for and the token that it got are kept sealed in the database; the browser holds the
only key, in a cookie of its own for each launch, so that two windows never change each other. Nothing of
either stands in an address, a page or a log.
"""

import hmac
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any

import msgspec
from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from cds_service.clients import Client
from cds_service.database.smart_sessions import SmartSessions
from cds_service.errors import KnowledgeError, LaunchRefused, RequestError
from cds_service.fhir import smart
from cds_service.fhir.banner import banner
from cds_service.fhir.prefetch import PATIENT, templates
from cds_service.fhir.resources import FhirValue
from cds_service.guidance import Advisor
from cds_service.hooks.request import PATIENT_VIEW, HookRequest
from cds_service.web.pages import prose
from cds_service.web.pages.cookies import Cookies
from cds_service.web.pages.explained import explained
from cds_service.web.pages.refusals import as_pages
from cds_service.web.pages.security import protect

ReadChart = Callable[[str, str, str, Mapping[str, str]], Mapping[str, FhirValue]]
"""FHIR base, access token, patient id, templates → a value for each key. Raises LaunchRefused."""

_log = logging.getLogger("cds_service")
_LAUNCH_SECONDS = 600
_LONGEST_SESSION_SECONDS = 3600
_SESSION_SECONDS = 300
"""For a token that does not say when it expires."""
_LONGEST_PARAMETER = 4096
_OAUTH_ERROR = re.compile(r"[a-z_]{1,40}")
_VIEW = re.compile(r"[A-Za-z0-9_-]{1,32}")
_LAY = ("Patient", "RelatedPerson", "Person")
_NOT_BEGUN = (
    "This launch was not begun in this browser, was used already, or took more than"
    f" {_LAUNCH_SECONDS // 60} minutes. Open the page from the record system again."
)


class _Opened(msgspec.Struct, frozen=True):
    """One patient's timeline that may be shown for a while."""

    iss: str
    client_name: str
    access_token: str
    patient: str
    user: str
    came_from: str = ""
    """Slug of the situation on the card; empty when it is not known."""


def blueprint(
    advisor: Advisor,
    clients: Sequence[Client],
    sessions: SmartSessions,
    read_chart: ReadChart,
    base_url: str,
    today: Callable[[], date],
) -> Blueprint:
    """The routes of the app, for those clients that have SMART links."""
    routes = Blueprint("smart", __name__)
    issuers = {_issuer(server): c for c in clients if c.smart_links for server in c.fhir_servers}
    framed_by = tuple(dict.fromkeys(o for c in issuers.values() for o in c.frame_ancestors))
    protect(routes, charts=True, private=True, framed_by=framed_by)
    as_pages(routes)
    asked_of = templates(advisor.rulebook.terminology)
    redirect_uri = f"{base_url}/smart/callback"
    cookies = Cookies(base_url)

    @routes.get("/smart/launch")
    def launch() -> Response:
        iss = _issuer(_parameter("iss"))
        client = issuers.get(iss)
        if client is None:
            raise LaunchRefused(
                "This record system is not one that may open pages here.", where="iss"
            )
        server = smart.discover(iss)
        asked = smart.Asked(
            state=token_urlsafe(32),
            verifier=token_urlsafe(64),
            nonce=token_urlsafe(16),
            iss=iss,
            client_id=client.smart_client_id,
            client_name=client.name,
            token_endpoint=server.token_endpoint,
            issuer=server.issuer,
        )
        kinds = [t.partition("?")[0].partition("/")[0] for t in asked_of.values()]
        answer = redirect(
            smart.authorization_url(
                server,
                asked,
                launch=_parameter("launch"),
                scope=smart.scopes(kinds, server),
                redirect_uri=redirect_uri,
            ),
            303,
        )
        secret = sessions.keep(asked, seconds=_LAUNCH_SECONDS)
        cookies.put(answer, _launch_cookie(asked.state), secret, "/smart", _LAUNCH_SECONDS)
        _log.info("smart launched client=%s", client.name)
        return answer

    @routes.get("/smart/callback")
    def callback() -> Response:
        state = _parameter("state")
        asked = sessions.take(request.cookies.get(_launch_cookie(state), ""), smart.Asked)
        if asked is None or not hmac.compare_digest(asked.state, state):
            raise LaunchRefused(_NOT_BEGUN, where="state")
        _refuse_error(asked)
        token = smart.redeem(_parameter("code"), asked, redirect_uri)
        user = smart.fhir_user(token, asked)
        if user.startswith(_LAY) and not advisor.rulebook.policy.audience.patients_and_relatives:
            raise LaunchRefused("This page is for clinicians, not for patients or relatives.")
        lasts = _SESSION_SECONDS if token.expires_in is None else token.expires_in
        seconds = min(lasts, _LONGEST_SESSION_SECONDS)
        opened = _Opened(
            asked.iss,
            asked.client_name,
            token.access_token,
            token.patient or "",
            user,
            str(smart.app_context(token).get("situation", "")),
        )
        view = token_urlsafe(9)
        answer = redirect(url_for("smart.show", view=view), 303)
        secret = sessions.keep(opened, seconds=seconds)
        cookies.put(answer, _view_cookie(view), secret, "/timeline", seconds)
        cookies.drop(answer, _launch_cookie(state), "/smart")
        _log.info("smart opened client=%s", asked.client_name)
        return answer

    @routes.get("/timeline")
    def show() -> str:
        view = request.args.get("view", "")
        secret = request.cookies.get(_view_cookie(view), "") if _VIEW.fullmatch(view) else ""
        opened = sessions.open(secret, _Opened) if secret else None
        if opened is None:
            raise LaunchRefused("Open this page from a patient's card in the record system.")
        try:
            values = read_chart(opened.iss, opened.access_token, opened.patient, asked_of)
        except LaunchRefused:
            sessions.forget(secret)
            raise
        return render_template("timeline.html", **_shown(opened, values, advisor, today()))

    return routes


def check(clients: Sequence[Client], base_url: str | None) -> bool:
    """Whether any client has SMART links. Raises KnowledgeError when one has them and lacks the rest."""
    linked = [c for c in clients if c.smart_links]
    for client in linked:
        if not client.smart_client_id or not client.fhir_servers:
            raise KnowledgeError(
                f"client {client.name}: smart_links needs smart_client_id and fhir_servers"
            )
        if not base_url:
            raise KnowledgeError(f"client {client.name}: smart_links needs CDS_BASE_URL")
    return bool(linked)


def _shown(
    opened: _Opened, values: Mapping[str, FhirValue], advisor: Advisor, as_of: date
) -> dict[str, Any]:
    """What the page shows. Raises DataUnavailable when the chart is not that of the patient launched."""
    call = HookRequest(
        hook=PATIENT_VIEW,
        user=opened.user,
        patient_id=opened.patient,
        encounter_id=None,
        fhir_server=opened.iss,
        prefetch=values,
    )
    answer = advisor.answer(call, as_of, explain=True)
    patient = values[PATIENT]
    return {
        "who": banner(patient if isinstance(patient, msgspec.Raw) else b""),
        "as_of": as_of,
        "cards": [(card, prose.html(card.detail)) for card in answer.response.cards],
        "came_from": advisor.rulebook.situations.get(opened.came_from),
        "open_explanation": True,
        **explained(answer.decision, advisor.rulebook),
    }


def _parameter(name: str) -> str:
    """The one value of a query parameter. Raises RequestError when it is missing, doubled or too long."""
    found = request.args.getlist(name)
    if len(found) != 1 or not found[0] or len(found[0]) > _LONGEST_PARAMETER:
        raise RequestError(
            f"The parameter {name} is to be there once. Open this page from the record system.",
            where=name,
        )
    return found[0]


def _refuse_error(asked: smart.Asked) -> None:
    """The record system said no, or somebody else than it answered."""
    error = request.args.get("error", "")
    if error:
        named = f" ({error})" if _OAUTH_ERROR.fullmatch(error) else ""
        raise LaunchRefused(f"The record system did not allow it{named}.", where="error")
    issuer = request.args.get("iss")
    if issuer is not None and asked.issuer is not None and issuer != asked.issuer:
        raise LaunchRefused("The answer came from another record system.", where="iss")


def _issuer(address: str) -> str:
    return address.rstrip("/")


def _launch_cookie(state: str) -> str:
    return f"cds-launch-{sha256(state.encode()).hexdigest()[:12]}"


def _view_cookie(view: str) -> str:
    return f"cds-timeline-{view}"
