"""The pages after the first, of a search of ours or of a Bundle that the EHR prefetched."""

import msgspec

from cds_service.fhir.budget import FetchFailed
from cds_service.fhir.bundles import Decoded, NotFhir, decode
from cds_service.fhir.client import Answer, FhirClient, linked


def decoded_answer(answer: Answer, key: str) -> Decoded:
    """What an answer held. Raises FetchFailed when it is not FHIR JSON."""
    try:
        return decode(msgspec.Raw(answer.body), key)
    except NotFhir as error:
        raise FetchFailed("the FHIR server answered something that is not FHIR JSON") from error


def followed(client: FhirClient, first: Decoded, url: str, key: str) -> tuple[Decoded, str]:
    """All pages as one, and why there are more than could be had; empty when there are none.

    `url` is where the first page stood: the base of relative links.
    """
    found = first
    seen = {url}
    limits = client.budget.limits
    for _ in range(limits.pages - 1):
        if found.next_page is None:
            return found, ""
        try:
            url = linked(url, found.next_page)
            if url in seen:
                raise FetchFailed("the pages of the FHIR server go round in a circle")
            if not client.base.holds(url):
                raise FetchFailed("the link to the next page leads to another server or base")
            seen.add(url)
            found = _joined(found, decoded_answer(client.get(url), key))
        except FetchFailed as error:
            return found, str(error)
        if len(found.entries) > limits.entries:
            return found, f"there are more than {limits.entries} entries"
    return found, f"there are more than {limits.pages} pages" if found.next_page else ""


def _joined(one: Decoded, two: Decoded) -> Decoded:
    return Decoded(
        entries=(*one.entries, *two.entries),
        unread=(*one.unread, *two.unread),
        next_page=two.next_page,
        outcome=one.outcome or two.outcome,
        useless=one.useless + two.useless,
        hollow=one.hollow + two.hollow,
        total=max(one.total, two.total),
    )
