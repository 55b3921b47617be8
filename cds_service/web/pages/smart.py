"""The timeline as a SMART app: launched from a card's link, authorized by the record system, shown.

What a launch asked for and the token that it got are kept sealed in the database; the browser holds the
only key, in a cookie of its own for each launch, so that two windows never change each other. Nothing of
either stands in an address, a page or a log.
"""

import hmac
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any

import msgspec
from flask import Blueprint, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from cds_service.bases import bases, read_base
from cds_service.clients import Client
from cds_service.database.smart_sessions import SmartSessions
from cds_service.errors import EhrUnavailable, KnowledgeError, LaunchRefused, RequestError
from cds_service.fhir import smart
from cds_service.fhir.banner import banner
from cds_service.fhir.budget import FetchFailed, TokenRefused
from cds_service.fhir.grant import AccessToken, Grant
from cds_service.fhir.scopes import read_scopes
from cds_service.fhir.templates import PATIENT, templates
from cds_service.guidance import Advisor
from cds_service.hooks.request import PATIENT_VIEW, HookRequest
from cds_service.web.audit import trail
from cds_service.web.pages import prose
from cds_service.web.pages.cookies import Cookies
from cds_service.web.pages.explained import explained
from cds_service.web.pages.refusals import as_pages
from cds_service.web.pages.security import protect
from cds_service.web.places import count_as

_log = logging.getLogger("cds_service")
_LAUNCH_SECONDS = 600
_LONGEST_SESSION_SECONDS = 3600
_SESSION_SECONDS = 300
"""For a token that does not say when it expires."""
_LONGEST_PARAMETER = 4096
_OAUTH_ERROR = re.compile(r"[a-z_]{1,40}")
_VIEW = re.compile(r"[A-Za-z0-9_-]{1,32}")
_REFERRED_TO = ("Medication", "Specimen")
_LAY = ("Patient", "RelatedPerson", "Person")
_NOT_HERE = "This record system is not one that may open pages here."
_NO_LONGER = (
    "The record system does not accept this session any more: open the page from there again."
)
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
    scope: str
    """As the record system granted it; empty when it did not say."""
    came_from: str = ""
    """Slug of the situation on the card; empty when it is not known."""


def blueprint(
    advisor: Advisor,
    clients: Sequence[Client],
    sessions: SmartSessions,
    base_url: str,
    today: Callable[[], date],
) -> Blueprint:
    """The routes of the app, for those clients that have SMART links."""
    routes = Blueprint("smart", __name__)
    issuers = {base.url: c for c in clients if c.smart_links for base in bases(c.fhir_servers)}
    framed_by = tuple(dict.fromkeys(o for c in issuers.values() for o in c.frame_ancestors))
    protect(routes, charts=True, framed_by=framed_by)
    as_pages(routes)
    asked_of = templates(advisor.rulebook.terminology).values()
    kinds = [t.partition("?")[0].partition("/")[0] for t in asked_of] + [*_REFERRED_TO]
    redirect_uri = f"{base_url}/smart/callback"
    cookies = Cookies(base_url)

    @routes.get("/smart/launch")
    def launch() -> Response:
        iss = _issuer(_parameter("iss"))
        client = _known(issuers, iss)
        server = smart.discover(advisor.fhir.session_of(client), iss)
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
        if asked is None or not hmac.compare_digest(asked.state.encode(), state.encode()):
            raise LaunchRefused(_NOT_BEGUN, where="state")
        _refuse_error(asked)
        client = _known(issuers, asked.iss)
        session = advisor.fhir.session_of(client)
        token = smart.redeem(session, _parameter("code"), asked, redirect_uri)
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
            token.scope or "",
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
        client = g.client = _known(issuers, opened.iss)
        try:
            shown = _shown(opened, client, advisor, today())
        except TokenRefused as error:
            sessions.forget(secret)
            raise LaunchRefused(_NO_LONGER) from error
        return render_template("timeline.html", **shown)

    return routes


def check(clients: Sequence[Client], base_url: str | None) -> bool:
    """Whether any client has SMART links. Raises KnowledgeError without a base URL for them."""
    linked = [c for c in clients if c.smart_links]
    for client in linked:
        if not base_url:
            raise KnowledgeError(f"client {client.name}: smart_links needs CDS_BASE_URL")
    return bool(linked)


def _shown(opened: _Opened, client: Client, advisor: Advisor, as_of: date) -> dict[str, Any]:
    """What the page shows.

    Raises TokenRefused when the token is not accepted any more, EhrUnavailable when there is no Patient,
    and DataUnavailable when there is no ALP, or the chart is not that of the patient launched.
    """
    grant = Grant(AccessToken(opened.access_token), read_scopes(opened.scope))
    patient = _patient(opened, grant, client, advisor)
    call = HookRequest(
        hook=PATIENT_VIEW,
        user=opened.user,
        patient_id=opened.patient,
        encounter_id=None,
        fhir_server=opened.iss,
        grant=grant,
        prefetch={PATIENT: patient},
    )
    trail().asked(call, client)
    answer = advisor.answer(call, as_of, client=client, explain=True, everything=True)
    trail().decided(answer)
    return {
        "who": banner(patient),
        "as_of": as_of,
        "cards": [(card, prose.html(card.detail)) for card in answer.response.cards],
        "came_from": advisor.rulebook.situations.get(opened.came_from),
        "open_explanation": True,
        **explained(answer.decision, advisor.rulebook),
    }


def _patient(opened: _Opened, grant: Grant, client: Client, advisor: Advisor) -> msgspec.Raw:
    """Read first, and once: it shows whether the token is still good, and holds the name for the page."""
    server = advisor.fhir.server_of(opened.iss, grant, client)
    if server is None:
        raise LaunchRefused(_NOT_HERE)
    with server:
        try:
            return server.patient(opened.patient)
        except TokenRefused:
            raise
        except FetchFailed as failure:
            raise EhrUnavailable(f"The patient could not be read: {failure}.") from failure


def _known(issuers: Mapping[str, Client], iss: str) -> Client:
    """The client that a FHIR server belongs to, counted as its call: that server may be slow.

    Raises LaunchRefused, or Unavailable when the client has its share of calls under way.
    """
    client = issuers.get(iss)
    if client is None:
        raise LaunchRefused(_NOT_HERE, where="iss")
    count_as(client.name)
    return client


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
    """The base in one spelling; empty when it is none."""
    with suppress(ValueError):
        return read_base(address).url
    return ""


def _launch_cookie(state: str) -> str:
    return f"cds-launch-{sha256(state.encode()).hexdigest()[:12]}"


def _view_cookie(view: str) -> str:
    return f"cds-timeline-{view}"
