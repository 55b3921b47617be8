"""One FHIR server asked on behalf of one call: reads and searches, within the limits of its budget.

Every failure is a FetchFailed that says why in words fit for a log: no address, no identifier, no
token. A busy server (429, 503) is asked once more, if it may be so soon.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from http import HTTPStatus
from urllib.parse import quote, urlencode, urljoin

import msgspec
import requests
from urllib3.exceptions import HTTPError

from cds_service.bases import Base
from cds_service.fhir.budget import Budget, FetchFailed, TokenRefused
from cds_service.fhir.failures import retry_after, root_cause, timed_out, words
from cds_service.fhir.grant import AccessToken
from cds_service.fhir.templates import TYPES
from cds_service.observer import NOBODY, FhirOutcome, Observer

FORM = "application/x-www-form-urlencoded"
Parameters = Sequence[tuple[str, str]]

_HEADERS = {
    "Accept": "application/fhir+json, application/json;q=0.8",
    "Accept-Encoding": "gzip",
    "User-Agent": "low-alp-cds",
}
_MOST_REDIRECTS = 3
_CHUNK = 65536
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({429, 503})
_USE_POST = frozenset({405, 414, 431})
_KINDS = frozenset({*(kind.__name__ for kind in TYPES.values()), "Medication", "Specimen"})
_MEANINGS = {
    401: "it wants a valid token",
    403: "it does not allow it",
    404: "it has no such thing",
    410: "it has it no longer",
    429: "it is too busy",
    503: "it is too busy",
}


class Answer(msgspec.Struct, frozen=True):
    """A body received with status 200, and the URL that it came from."""

    body: bytes
    url: str


class _Reply(msgspec.Struct, frozen=True):
    """An answer of any status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class FhirClient:
    """Asks one base with one token. Safe to use from several threads at once."""

    def __init__(
        self,
        session: requests.Session,
        base: Base,
        token: AccessToken | None,
        budget: Budget,
        observer: Observer = NOBODY,
    ) -> None:
        self.base = base
        self.budget = budget
        self._session = session
        self._token = token
        self._observer = observer

    def read(self, kind: str, identity: str) -> Answer:
        """One resource by its id. Raises FetchFailed."""
        return self.get(f"{self.base.url}/{kind}/{quote(identity, safe='')}")

    def search(self, kind: str, parameters: Parameters) -> Answer:
        """The first page of a search. Raises FetchFailed.

        Everything in the query is percent-encoded: a bar or comma left as it is gets mangled by
        proxies into a search that finds nothing. The search is sent again as POST when the server says
        so, and without `_sort` when it does not know the order asked for; paging brings the rest.
        """
        address = f"{self.base.url}/{kind}"
        query = urlencode(parameters, quote_via=quote, safe="")
        reply = self._asked("GET", f"{address}?{query}")
        if reply.status in _USE_POST or (reply.status == 400 and b"_search" in reply.body):
            url = f"{address}/_search"
            return _good(self._asked("POST", url, query.encode()), url)
        unsorted = [(name, value) for name, value in parameters if name != "_sort"]
        if reply.status == 400 and len(unsorted) < len(parameters):
            return self.search(kind, unsorted)
        return _good(reply, f"{address}?{query}")

    def get(self, url: str) -> Answer:
        """What stands at a URL at or below the base. Raises FetchFailed."""
        return _good(self._asked("GET", url), url)

    def _asked(self, method: str, url: str, form: bytes | None = None) -> _Reply:
        """The reply; a second one where the first said that the server was busy."""
        reply = self._followed(method, url, form)
        if reply.status not in _BUSY:
            return reply
        seconds = retry_after(reply.headers.get("Retry-After"))
        if not self.budget.wait(seconds):
            raise FetchFailed(
                f"the FHIR server answered {reply.status} ({_MEANINGS[reply.status]}) and wants to"
                f" be asked again in {seconds:g} s, which is more than this hook has left"
            )
        return self._followed(method, url, form)

    def _followed(self, method: str, url: str, form: bytes | None) -> _Reply:
        """The reply at the end of redirects, none of which may lead away from the base."""
        for _ in range(_MOST_REDIRECTS + 1):
            if not self.base.holds(url):
                raise FetchFailed("the FHIR server redirects to another server or base")
            reply = self._sent(method, url, form)
            target = reply.headers.get("Location")
            if reply.status not in _REDIRECTS or not target:
                return reply
            url = linked(url, target)
            if reply.status == HTTPStatus.SEE_OTHER:
                method, form = "GET", None
        raise FetchFailed("the FHIR server redirects without end")

    def _sent(self, method: str, url: str, form: bytes | None) -> _Reply:
        """One request and its answer, whole. A connection that had gone stale is made anew, once."""
        for attempt in (1, 2):
            try:
                return self._observed(method, url, form)
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                if self.budget.left <= 0:
                    raise self.budget.spent() from None
                stale = isinstance(root_cause(error), ConnectionResetError | BrokenPipeError)
                if not stale or attempt == 2:  # http.client.RemoteDisconnected is a reset
                    raise FetchFailed(words(error, self.budget.limits)) from None
        raise AssertionError("not reached")

    def _observed(self, method: str, url: str, form: bytes | None) -> _Reply:
        """The exchange, timed for the operators: what kind of resource, how it ended, how long."""
        started = time.monotonic()
        outcome: FhirOutcome = "failed"
        try:
            reply = self._exchange(method, url, form)
            outcome = "refused" if reply.status >= HTTPStatus.BAD_REQUEST else "answered"
            return reply
        except Exception as error:
            if self.budget.left <= 0 or timed_out(error):
                outcome = "timed out"
            raise
        finally:
            self._observer.fhir_query(self._kind(url), outcome, time.monotonic() - started)

    def _kind(self, url: str) -> str:
        """The resource type that a URL asks for; a page or an address of the server's own has none."""
        kind = url.removeprefix(self.base.url).lstrip("/").partition("?")[0].partition("/")[0]
        return kind if kind in _KINDS else "other"

    def _exchange(self, method: str, url: str, form: bytes | None) -> _Reply:
        seconds = self.budget.for_one_call()
        ends = time.monotonic() + seconds
        headers = dict(_HEADERS)
        if self._token is not None:
            headers["Authorization"] = self._token.header
        if form is not None:
            headers["Content-Type"] = FORM
        call = self.budget.begin()
        call.enter()
        try:
            response = self._session.request(
                method,
                url,
                headers=headers,
                data=form,
                stream=True,
                allow_redirects=False,
                timeout=seconds,
            )
            with closing(response):
                body = b"".join(self._chunks(response, ends))
            return _Reply(response.status_code, response.headers, body)
        finally:
            self.budget.finish(call)

    def _chunks(self, response: requests.Response, ends: float) -> Iterator[bytes]:
        """The body as it drips in, unpacked."""
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            self.budget.took(len(chunk))
            if time.monotonic() > ends:
                raise TimeoutError
            yield chunk


def linked(url: str, reference: str) -> str:
    """The URL that a link found at `url` leads to. Raises FetchFailed when it is none."""
    try:
        return urljoin(url, reference)
    except ValueError:
        raise FetchFailed("the FHIR server links to something that is no address") from None


def _good(reply: _Reply, url: str) -> Answer:
    if reply.status != HTTPStatus.OK:
        meaning = _MEANINGS.get(reply.status)
        failure = TokenRefused if reply.status == HTTPStatus.UNAUTHORIZED else FetchFailed
        raise failure(
            f"the FHIR server answered {reply.status}" + (f" ({meaning})" if meaning else "")
        )
    kind = reply.headers.get("Content-Type", "").lower()
    if "html" in kind or "xml" in kind or reply.body.lstrip()[:1] == b"<":
        what = "HTML" if "html" in kind or b"<html" in reply.body[:1000].lower() else "XML"
        raise FetchFailed(f"the FHIR server answered {what}, not FHIR JSON")
    return Answer(reply.body, url)
