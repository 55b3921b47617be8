"""The chart that a record system launched the timeline for, read with the token of that launch."""

from datetime import date
from typing import Any

import msgspec

from cds_service.clients import Client
from cds_service.errors import EhrUnavailable, LaunchRefused
from cds_service.fhir.banner import banner
from cds_service.fhir.budget import FetchFailed, TokenRefused
from cds_service.fhir.grant import AccessToken, Grant
from cds_service.fhir.scopes import read_scopes
from cds_service.fhir.templates import PATIENT
from cds_service.guidance import Advisor
from cds_service.hooks.request import PATIENT_VIEW, HookRequest
from cds_service.web.audit import trail
from cds_service.web.pages import prose
from cds_service.web.pages.explained import explained

NOT_HERE = "This record system is not one that may open pages here."


class Opened(msgspec.Struct, frozen=True):
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

    def __repr__(self) -> str:
        return "Opened(…)"  # it holds a token


def shown(opened: Opened, client: Client, advisor: Advisor, as_of: date) -> dict[str, Any]:
    """What the page shows of it.

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


def _patient(opened: Opened, grant: Grant, client: Client, advisor: Advisor) -> msgspec.Raw:
    """Read first, and once: it shows whether the token is still good, and holds the name for the page."""
    server = advisor.fhir.server_of(opened.iss, grant, client)
    if server is None:
        raise LaunchRefused(NOT_HERE)
    with server:
        try:
            return server.patient(opened.patient)
        except TokenRefused:
            raise
        except FetchFailed as failure:
            raise EhrUnavailable(f"The patient could not be read: {failure}.") from failure
