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

from flask import Blueprint, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from cds_service.bases import bases, read_base
from cds_service.clients import Client
from cds_service.database.smart_sessions import SmartSessions
from cds_service.errors import KnowledgeError, LaunchRefused, RequestError
from cds_service.fhir import smart
from cds_service.fhir.budget import TokenRefused
from cds_service.guidance import Advisor
from cds_service.web.pages.cookies import Cookies
from cds_service.web.pages.launch_rate import LaunchRate
from cds_service.web.pages.launched_chart import NOT_HERE, Opened, shown
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
_LAY = ("Patient", "RelatedPerson", "Person")
_NO_LONGER = (
    "The record system does not accept this session any more: open the page from there again."
)
_NOT_BEGUN = (
    "This launch was not begun in this browser, was used already, or took more than"
    f" {_LAUNCH_SECONDS // 60} minutes. Open the page from the record system again."
)


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
    everybody = tuple(dict.fromkeys(o for c in issuers.values() for o in c.frame_ancestors))

    def framed_by() -> Sequence[str]:
        """The client's own pages; a refusal that is nobody's is to be read in a frame as well."""
        client: Client | None = g.get("launched_for")
        return everybody if client is None else client.frame_ancestors

    protect(routes, charts=True, framed_by=framed_by)
    as_pages(routes)
    redirect_uri = f"{base_url}{smart.REDIRECT_PATH}"
    cookies = Cookies(base_url)
    rate = LaunchRate()

    @routes.get(smart.LAUNCH_PATH)
    def launch() -> Response:
        iss = _issuer(_parameter("iss"))
        client = _known(issuers, iss)
        rate.count(request.remote_addr)
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
                scope=smart.scopes(server),
                redirect_uri=redirect_uri,
            ),
            303,
        )
        secret = sessions.keep(asked, seconds=_LAUNCH_SECONDS)
        cookies.put(answer, _launch_cookie(asked.state), secret, "/smart", _LAUNCH_SECONDS)
        _log.info("smart launched client=%s", client.name)
        return answer

    @routes.get(smart.REDIRECT_PATH)
    def callback() -> Response:
        state = _parameter("state")
        asked = sessions.take(cookies.get(_launch_cookie(state)), smart.Asked)
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
        opened = Opened(
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
        secret = cookies.get(_view_cookie(view)) if _VIEW.fullmatch(view) else ""
        opened = sessions.open(secret, Opened) if secret else None
        if opened is None:
            raise LaunchRefused("Open this page from a patient's card in the record system.")
        client = g.client = _known(issuers, opened.iss)
        try:
            found = shown(opened, client, advisor, today())
        except TokenRefused as error:
            sessions.forget(secret)
            raise LaunchRefused(_NO_LONGER) from error
        return render_template("timeline.html", **found)

    return routes


def check(clients: Sequence[Client], base_url: str | None) -> bool:
    """Whether any client has SMART links. Raises KnowledgeError without a base URL for them."""
    linked = [c for c in clients if c.smart_links]
    for client in linked:
        if not base_url:
            raise KnowledgeError(f"client {client.name}: smart_links needs CDS_BASE_URL")
    return bool(linked)


def _known(issuers: Mapping[str, Client], iss: str) -> Client:
    """The client that a FHIR server belongs to, counted as its call: that server may be slow.

    Raises LaunchRefused, or Unavailable when the client has its share of calls under way.
    """
    client = issuers.get(iss)
    if client is None:
        raise LaunchRefused(NOT_HERE, where="iss")
    g.launched_for = client
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
