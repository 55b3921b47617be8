"""Everything known for one call: what came with it, and what the EHR's FHIR server adds to that."""

from collections.abc import Mapping
from datetime import date

import msgspec

from cds_service import needed
from cds_service.assessment import Assessment, Call
from cds_service.clients import Client
from cds_service.fhir.access import FhirAccess
from cds_service.fhir.bundles import NotFhir, decode
from cds_service.fhir.chart import patient as read_patient
from cds_service.fhir.completing import FhirServer
from cds_service.fhir.drafts import read_drafts
from cds_service.fhir.prefetch import Prefetched, Value, Values, collect, prefetched
from cds_service.fhir.reader import ReadingAids, read_record
from cds_service.fhir.referenced import NO_REFERENCES, Referenced, References, references
from cds_service.fhir.resources import Entry
from cds_service.fhir.resources import Patient as PatientResource
from cds_service.fhir.templates import ALP, MEDICATIONS, PATIENT, templates
from cds_service.hooks.request import ORDER_HOOKS, HookRequest
from cds_service.record import Patient
from cds_service.rulebook import Rulebook


class Gathering:
    """Completes calls. Built once; safe to share between threads."""

    def __init__(self, rulebook: Rulebook, aids: ReadingAids, fhir: FhirAccess) -> None:
        self._rulebook = rulebook
        self._aids = aids
        self._fhir = fhir
        self._templates = templates(rulebook.terminology)

    def gathered(
        self, request: HookRequest, as_of: date, client: Client, *, everything: bool = False
    ) -> Prefetched:
        """The data of a call, completed from the FHIR server that the client may let us ask.

        `everything` asks for all that a page shows, too, and not only for what the cards need.
        Raises DataUnavailable when required data neither came nor can be had.
        """
        values = prefetched(request.prefetch)
        server = self._fhir.server_of(request.fhir_server, request.grant, client)
        if server is None:
            return _collected(_unasked(values, request), request)
        if _whole(values, request, server):
            return _collected(values, request)
        with server:
            if everything:
                return self._complete(server, values, request, as_of)
            return self._completed(server, values, request, as_of)

    def _complete(
        self, server: FhirServer, values: Values, request: HookRequest, as_of: date
    ) -> Prefetched:
        call, drafted = self._call(server, values, request, as_of)
        values, _ = server.complete(values, self._templates, request.patient_id)
        record = self._assessed(_collected(values, request, drafted), request, call)
        wanted = _references(values, server, record)
        _, found = server.complete({}, {}, request.patient_id, wanted)
        return _collected(values, request, drafted, found)

    def _completed(
        self, server: FhirServer, values: Values, request: HookRequest, as_of: date
    ) -> Prefetched:
        call, drafted = self._call(server, values, request, as_of)
        if needed.nothing(call, _known_patient(values), self._rulebook.policy):
            return _collected(_needless(values), request, drafted)
        first = needed.at_first(call, self._templates)
        values, _ = server.complete(values, first, request.patient_id)
        record = self._assessed(_collected(values, request, drafted), request, call)
        wanted = _references(values, server, record)
        if call.hook in ORDER_HOOKS or needed.possibly_low(record):
            values, found = server.complete(values, self._templates, request.patient_id, wanted)
            return _collected(values, request, drafted, found)
        _, found = server.complete({}, {}, request.patient_id, wanted)
        record = self._assessed(_collected(values, request, drafted, found), request, call)
        if record.known_hypophosphatasia:
            values, _ = server.complete(values, self._templates, request.patient_id)
        return _collected(_needless(values), request, drafted, found)

    def _call(
        self, server: FhirServer, values: Values, request: HookRequest, as_of: date
    ) -> tuple[Call, Referenced]:
        """The moment of the question, and the Medications that drafts only refer to.

        Drafts that cannot be read are refused before anything else is asked for.
        """
        call = Call(request.hook, as_of, request.lay_user)
        if request.hook not in ORDER_HOOKS:
            return call, Referenced()
        known = [e for value in values.values() for e in value.decoded.entries]
        wanted = references(_drafts(request), server.base, known=known)
        _, drafted = server.complete({}, {}, request.patient_id, wanted)
        drafts = read_drafts(
            request.draft_orders,
            request.selections,
            request.patient_id,
            [*known, *drafted.entries],
            self._aids,
            request.fhir_server,
        )
        return msgspec.structs.replace(call, draft=drafts.draft), drafted

    def _assessed(self, data: Prefetched, request: HookRequest, call: Call) -> Assessment:
        record = read_record(
            data.patient, data.entries, self._aids, fhir_server=request.fhir_server
        )
        return Assessment(record, call, self._rulebook.policy, self._rulebook.drugs)


def _collected(values: Values, request: HookRequest, *more: Referenced) -> Prefetched:
    return collect(
        values,
        request.patient_id,
        request.fhir_server,
        also=[entry for found in more for entry in found.entries],
        gaps=dict.fromkeys(gap for found in more for gap in found.gaps),
    )


def _whole(values: Values, request: HookRequest, server: FhirServer) -> bool:
    """Whether everything came along: no key left out, no further page, no resource referred to."""
    if any(v.state == "omitted" or v.decoded.next_page for v in values.values()):
        return False
    entries = [e for value in values.values() for e in value.decoded.entries]
    return not references([*entries, *_drafts(request)], server.base).ids


def _unasked(values: Values, request: HookRequest) -> Values:
    """The values, saying of the omitted ones why the FHIR server of the call was not asked."""
    if request.fhir_server is None:
        return values
    cause = "was not sent, and the FHIR server of the call is not among those that may be called"
    return {
        key: msgspec.structs.replace(value, cause=cause) if value.state == "omitted" else value
        for key, value in values.items()
    }


def _needless(values: Values) -> dict[str, Value]:
    """The values with those that nobody has to ask for named so."""
    return {
        key: Value("needless") if value.state == "omitted" else value
        for key, value in values.items()
    }


def _known_patient(values: Values) -> Patient | None:
    for entry in values[PATIENT].decoded.entries:
        if isinstance(entry.resource, PatientResource):
            return read_patient(entry.resource)
    return None


def _drafts(request: HookRequest) -> list[Entry]:
    try:
        return list(decode(request.draft_orders, "context.draftOrders").entries)
    except NotFhir:
        return []  # said when the drafts are read


def _references(values: Mapping[str, Value], server: FhirServer, a: Assessment) -> References:
    """The drugs of all medications, and the specimens of ALP where any is possibly low."""
    entries = [e for key in MEDICATIONS for e in values[key].decoded.entries]
    if needed.possibly_low(a):
        entries += values[ALP].decoded.entries
    known = [e for value in values.values() for e in value.decoded.entries]
    return references(entries, server.base, known=known) if entries else NO_REFERENCES
