"""A CDS Hooks call decoded and checked.

The whole body is decoded in one pass. Only when something in it does not fit is it read again part
by part, so that one bad entry costs nothing but itself and the error names what was wrong.
"""

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from cds_service.errors import RequestError
from cds_service.fhir.grant import AccessToken, Grant
from cds_service.fhir.resources import NOTHING, AnyResource, Bundle, FhirValue
from cds_service.fhir.scopes import read_scopes

PATIENT_VIEW = "patient-view"
ORDER_SELECT = "order-select"
ORDER_SIGN = "order-sign"
HOOKS = (PATIENT_VIEW, ORDER_SELECT, ORDER_SIGN)
ORDER_HOOKS = (ORDER_SELECT, ORDER_SIGN)

_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_USER = re.compile(r"([A-Z][A-Za-z]{1,63})/[A-Za-z0-9\-.]{1,64}")
_LAY_USERS = frozenset({"Patient", "RelatedPerson"})
_NonEmpty = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]


class _Context(msgspec.Struct, frozen=True):
    userId: _NonEmpty
    patientId: _NonEmpty
    encounterId: str | None = None
    selections: tuple[str, ...] | None = None
    draftOrders: Bundle | AnyResource | None = None


class _RawContext(msgspec.Struct, frozen=True):
    """The same with the drafts left raw, for a context in which one of them does not fit."""

    userId: _NonEmpty
    patientId: _NonEmpty
    encounterId: str | None = None
    selections: tuple[str, ...] | None = None
    draftOrders: msgspec.Raw = NOTHING


class _Call(msgspec.Struct, frozen=True):
    """The members of a call that this service reads, well formed. All others are ignored."""

    hook: _NonEmpty
    hookInstance: _NonEmpty
    context: _Context
    fhirServer: str | None = None
    fhirAuthorization: msgspec.Raw = NOTHING
    prefetch: dict[str, Bundle | AnyResource | None] | None = None


class _Parts(msgspec.Struct, frozen=True):
    """The same with the parts left raw, for a body in which something does not fit."""

    hook: _NonEmpty
    hookInstance: _NonEmpty
    context: msgspec.Raw
    fhirServer: str | None = None
    fhirAuthorization: msgspec.Raw = NOTHING
    prefetch: dict[str, msgspec.Raw] | None = None


class _Authorization(msgspec.Struct, frozen=True):
    """Access to the FHIR server, for this call alone."""

    access_token: str | None = None
    token_type: str | None = None
    expires_in: int | None = None
    scope: str | None = None
    subject: str | None = None
    patient: str | None = None

    def __repr__(self) -> str:
        return "_Authorization(…)"  # it holds a token


class HookRequest(msgspec.Struct, frozen=True):
    """One call, known to be well formed."""

    hook: str
    user: str
    """`Type/id` of the person in front of the screen."""
    patient_id: str
    encounter_id: str | None
    fhir_server: str | None
    """Base URL of the EHR's FHIR server, where the call names it."""
    grant: Grant | None
    """Access to it, where the call hands any over."""
    prefetch: Mapping[str, FhirValue]
    draft_orders: FhirValue = None
    """The orders being written or signed; None at patient-view."""
    selections: tuple[str, ...] | None = None
    """References of the drafts that are being selected; None when every draft counts."""

    @property
    def lay_user(self) -> bool:
        """Whether a patient or a relative is looking, not a clinician."""
        return self.user.split("/", 1)[0] in _LAY_USERS


_call = msgspec.json.Decoder(_Call)
_parts = msgspec.json.Decoder(_Parts)
_raw_context = msgspec.json.Decoder(_RawContext)
_authorization = msgspec.json.Decoder(_Authorization)


def decode(body: bytes, hooks: tuple[str, ...]) -> HookRequest:
    """Read a call meant for a service that answers `hooks`.

    Raises RequestError naming the member that is wrong and what would be right.
    """
    given = _decoded(body)
    if given.hook not in hooks:
        raise RequestError(
            f"This service answers the hook {' or '.join(hooks)}, not the one that was sent.",
            where="hook",
        )
    context = given.context if isinstance(given, _Call) else _decode_context(given.context)
    _check_context(context, given.hook)
    grant = _grant(given.fhirServer, given.fhirAuthorization, context.patientId)
    return HookRequest(
        hook=given.hook,
        user=context.userId,
        patient_id=context.patientId,
        encounter_id=context.encounterId or None,
        fhir_server=given.fhirServer or None,
        grant=grant,
        prefetch=given.prefetch or {},
        draft_orders=context.draftOrders if given.hook in ORDER_HOOKS else None,
        selections=context.selections if given.hook == ORDER_SELECT else None,
    )


def _decoded(body: bytes) -> _Call | _Parts:
    if not body.strip():
        raise RequestError("The body is empty; a CDS Hooks call is a JSON object.")
    try:
        body.decode()  # msgspec skips strings that nobody reads, bad UTF-8 and all
        return _call.decode(body)
    except (msgspec.ValidationError, RecursionError):
        pass  # read again below, part by part
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError("The body is not valid JSON (RFC 8259, UTF-8).") from error
    try:
        return _parts.decode(body)
    except msgspec.ValidationError as error:
        raise RequestError(f"Not a CDS Hooks call: {error}.", where=_path(error)) from error
    except msgspec.DecodeError as error:
        raise RequestError("The body is not valid JSON (RFC 8259, UTF-8).") from error
    except RecursionError as error:
        raise RequestError("The body is nested too deeply.") from error


def _check_context(context: _Context | _RawContext, hook: str) -> None:
    for name in ("patientId", "encounterId"):
        value = getattr(context, name)
        if value and not _FHIR_ID.fullmatch(value):
            raise RequestError(
                f"context.{name} is to be a FHIR id: 1 to 64 letters, digits, '-' or '.'.",
                where=f"context.{name}",
            )
    if not _USER.fullmatch(context.userId):
        raise RequestError(
            "context.userId is to be a reference of the form ResourceType/id.",
            where="context.userId",
        )
    if hook in ORDER_HOOKS and _absent(context.draftOrders):
        raise RequestError(
            f"context.draftOrders is required at {hook}: a Bundle of the orders being written.",
            where="context.draftOrders",
        )
    if hook == ORDER_SELECT and context.selections is None:
        raise RequestError(
            "context.selections is required at order-select: references of the selected drafts.",
            where="context.selections",
        )


def _absent(value: FhirValue) -> bool:
    return value is None or (isinstance(value, msgspec.Raw) and bytes(value) == b"null")


def _decode_context(raw: msgspec.Raw) -> _RawContext:
    try:
        return _raw_context.decode(raw)
    except msgspec.ValidationError as error:
        text = str(error).replace("`$.", "`$.context.")
        raise RequestError(
            f"The context is not that of the hook: {text}.", where="context"
        ) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestError("The context cannot be read.", where="context") from error


def _grant(server: str | None, authorization: msgspec.Raw, patient_id: str) -> Grant | None:
    """What the call gives access to; null and an empty object give none."""
    if server:
        _check_fhir_server(server)
    given = _given(authorization)
    if given is not None and not server:
        raise RequestError(
            "fhirAuthorization came without fhirServer; the two go together.", where="fhirServer"
        )
    if given is None or given == _Authorization():
        return None
    if (given.token_type or "Bearer").lower() != "bearer":
        raise _wrong("token_type", "'Bearer'")
    if given.patient and given.patient.removeprefix("Patient/") != patient_id:
        raise _wrong("patient", "the patient of context.patientId")
    try:
        return Grant(AccessToken(given.access_token or ""), read_scopes(given.scope))
    except ValueError as error:
        raise _wrong("access_token", f"a token: {error}") from None


def _given(raw: msgspec.Raw) -> _Authorization | None:
    if bytes(raw).strip() == b"null":
        return None
    try:
        return _authorization.decode(raw)
    except msgspec.ValidationError as error:
        member = _path(error)
        where = f"fhirAuthorization.{member}" if member else "fhirAuthorization"
        text = str(error).replace("`$.", "`$.fhirAuthorization.")
        raise RequestError(
            f"fhirAuthorization is to be an object as the specification has it: {text}.",
            where=where,
        ) from None
    except (msgspec.DecodeError, RecursionError):
        raise RequestError("fhirAuthorization cannot be read.", where="fhirAuthorization") from None


def _wrong(member: str, right: str) -> RequestError:
    where = f"fhirAuthorization.{member}"
    return RequestError(f"{where} is to be {right}.", where=where)


def _check_fhir_server(server: str) -> None:
    try:
        parts = urlsplit(server)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestError(
            "fhirServer is to be the http or https base URL of a FHIR server.", where="fhirServer"
        )


def _path(error: msgspec.ValidationError) -> str | None:
    found = re.search(r"`\$\.?([^`]*)`$", str(error))
    return found[1] or None if found else None
