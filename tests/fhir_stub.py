"""A FHIR server on loopback, as good or as bad as a test wants it: `python -m tests.fhir_stub`.

It searches, pages, includes what it is told and takes transactions; and it delays, errs, lies about
`total`, ignores parameters, wants a token, redirects, hangs, drips, and sends its pages in circles.
"""

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

import click

from tests.charts import Json

FHIR_JSON = "application/fhir+json;charset=utf-8"
_DRIP_SECONDS = 0.05


class Asked:
    """One request that came in."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        parts = urlsplit(target)
        self.path = parts.path
        query = body.decode() if parts.path.endswith("/_search") else parts.query
        self.parameters = dict(parse_qsl(query))


class FhirStub(ThreadingHTTPServer):
    """The server. Its attributes say how it behaves; `asked` holds every request."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.stored: dict[tuple[str, str], Json] = {}
        self.asked: list[Asked] = []
        self.token: str | None = None
        self.page_size = 1000
        self.delay_seconds = 0.0
        self.total: int | None = None
        """What every searchset says, whatever it holds."""
        self.ignores: frozenset[str] = frozenset()
        """Search parameters that it does not know."""
        self.refuses: frozenset[str] = frozenset()
        """Search parameters for which it answers 400."""
        self.trouble: dict[str, str] = {}
        """Resource type to what goes wrong with it; `*` means every type."""
        self.elsewhere = ""
        """Where it redirects to, and where its next pages are said to be."""
        self.over = threading.Event()
        self._counted: dict[str, int] = {}

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/fhir"

    def store(self, resources: Iterable[Json]) -> None:
        """Put resources in; of two with one id the one updated last stays."""
        for resource in resources:
            identity = str(resource.get("id") or uuid4())
            key = (resource["resourceType"], identity)
            if _updated(resource) >= _updated(self.stored.get(key, {})):
                self.stored[key] = {**resource, "id": identity}

    def kinds(self) -> list[str]:
        """The resource types that were asked for, in no order."""
        return sorted(a.path.removeprefix("/fhir/").split("/")[0] for a in self.asked)

    def times(self, name: str) -> int:
        """How often something happened, this time included."""
        self._counted[name] = self._counted.get(name, 0) + 1
        return self._counted[name]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: FhirStub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    statuses: ClassVar[frozenset[str]] = frozenset(
        {"400", "401", "403", "404", "405", "410", "414", "429", "500", "503"}
    )

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def _answer(self, body: bytes) -> None:
        stub = self.server
        asked = Asked(self.command, self.path, dict(self.headers), body)
        stub.asked.append(asked)
        time.sleep(stub.delay_seconds)
        if stub.token and asked.headers.get("Authorization") != f"Bearer {stub.token}":
            self._send(401, _outcome("login"))
        elif asked.path == "/fhir/metadata":
            self._send(200, {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})
        elif asked.path == "/fhir" and asked.method == "POST":
            self._send(200, self._transaction(json.loads(body)))
        else:
            self._resource(asked)

    def _resource(self, asked: Asked) -> None:
        stub = self.server
        kind, _, identity = asked.path.removeprefix("/fhir/").partition("/")
        trouble = stub.trouble.get(kind, stub.trouble.get("*", ""))
        if trouble and self._go_wrong(trouble, kind, asked):
            return
        if identity and identity != "_search":
            found = stub.stored.get((kind, unquote(identity)))
            self._send(200 if found else 404, found or _outcome("not-found"))
            return
        if stub.refuses & set(asked.parameters):
            self._send(400, _outcome("not-supported"))
            return
        self._send(200, self._page(kind, asked))

    def _go_wrong(self, trouble: str, kind: str, asked: Asked) -> bool:
        """Whether the trouble is the whole answer."""
        name, _, more = trouble.partition(" ")
        later = {"Retry-After": more} if more else {}
        if name in self.statuses:
            self._send(int(name), _outcome("exception"), later)
        elif name == "busy-once" and self.server.times(f"busy {asked.target}") == 1:
            self._send(503, _outcome("throttled"), later)
        elif name == "get-refused" and asked.method == "GET":
            self._send(int(more), _outcome("use _search by POST"))
        elif name == "redirect":
            self._send(302, {}, {"Location": more or self.server.elsewhere})
        elif name in self._unwell:
            self._unwell[name](self)
        else:
            return False
        return True

    def _html(self) -> None:
        self._raw(200, b"<!DOCTYPE html><html>Sign in</html>", "text/html")

    def _garbage(self) -> None:
        self._raw(200, b"[1, 2", FHIR_JSON)

    def _hang(self) -> None:
        self.server.over.wait(30)
        self.close_connection = True

    def _dies(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    _unwell: ClassVar[dict[str, Callable[["_Handler"], None]]] = {
        "html": _html,
        "garbage": _garbage,
        "hang": _hang,
        "dies": _dies,
        "outcome": lambda self: self._send(200, _outcome("timeout")),
        "drip": lambda self: self._drip(b'{"resourceType":"Bundle","entry":[' + b" " * 10_000),
        "drip-headers": lambda self: self._drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9999, bare=True),
        "flood": lambda self: self._flood(200),
        "redirect-flood": lambda self: self._flood(302),
    }

    def _drip(self, content: bytes, *, bare: bool = False) -> None:
        if not bare:
            self.send_response(200)
            self.send_header("Content-Type", FHIR_JSON)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
        with suppress(OSError):
            for byte in content:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                if self.server.over.wait(_DRIP_SECONDS):
                    break
        self.close_connection = True

    def _flood(self, status: int) -> None:
        """A small answer on the wire that unpacks into much."""
        more = {"Content-Encoding": "gzip", "Location": self.server.elsewhere}
        self._raw(status, flood(), FHIR_JSON, more)

    def _page(self, kind: str, asked: Asked) -> Json:
        stub = self.server
        query = asked.parameters
        known = {name: value for name, value in query.items() if name not in stub.ignores}
        found = [r for (k, _), r in stub.stored.items() if k == kind and _matches(r, known)]
        if "date" in known.get("_sort", ""):
            found.sort(key=lambda r: str(r.get("effectiveDateTime", "")), reverse=True)
        size = min(stub.page_size, int(known.get("_count", "1000")))
        start = int(query.get("_page", "0"))
        trouble = stub.trouble.get(kind, stub.trouble.get("*", ""))
        link = []
        after = "&".join(f"{n}={v}" for n, v in query.items() if n != "_page").replace("|", "%7C")
        if trouble == "loop":
            link.append({"relation": "next", "url": f"{stub.base}/{kind}?{after}&_page={start}"})
        elif trouble == "endless":
            link.append(
                {"relation": "next", "url": f"{stub.base}/{kind}?{after}&_page={start + 1}"}
            )
        elif trouble == "next-away":
            link.append({"relation": "next", "url": stub.elsewhere})
        elif start + size < len(found):
            url = f"{stub.base}/{kind}?{after}&_page={start + size}"
            link.append({"relation": "next", "url": url})
        page = found if trouble in ("loop", "endless", "next-away") else found[start : start + size]
        bundle: Json = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(found) if stub.total is None else stub.total,
            "entry": [{"fullUrl": f"{stub.base}/{kind}/{r['id']}", "resource": r} for r in page],
        }
        return {**bundle, "link": link} if link else bundle

    def _transaction(self, bundle: Json) -> Json:
        """Conditional updates by identifier, with `urn:uuid` references resolved."""
        stub = self.server
        ids: dict[str, str] = {}
        statuses = []
        for entry in bundle["entry"]:
            kind, _, query = entry["request"]["url"].partition("?")
            wanted = dict(parse_qsl(query))["identifier"]
            same = [
                i
                for (k, i), r in stub.stored.items()
                if k == kind and _matches(r, {"identifier": wanted})
            ]
            ids[entry["fullUrl"]] = f"{kind}/{same[0] if same else uuid4()}"
            statuses.append("200 OK" if same else "201 Created")
        for entry in bundle["entry"]:
            text = json.dumps(entry["resource"])
            for urn, reference in ids.items():
                text = text.replace(f'"{urn}"', f'"{reference}"')
            kind, _, identity = ids[entry["fullUrl"]].partition("/")
            stub.stored[kind, identity] = {**json.loads(text), "id": identity}
        return {
            "resourceType": "Bundle",
            "type": "transaction-response",
            "entry": [
                {"response": {"status": status, "location": f"{reference}/_history/1"}}
                for status, reference in zip(statuses, ids.values(), strict=True)
            ],
        }

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        more = dict(headers or {})
        if "gzip" in self.headers.get("Accept-Encoding", "") and len(content) > 1000:
            content = gzip.compress(content, 1)
            more["Content-Encoding"] = "gzip"
        self._raw(status, content, FHIR_JSON, more)

    def _raw(
        self, status: int, content: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Set-Cookie", "session=of-somebody; Path=/")
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)


@cache
def flood() -> bytes:
    """60 MB of spaces."""
    return gzip.compress(b'{"resourceType":"Bundle","x":"' + b" " * 60_000_000, 1)


def _updated(resource: Json) -> str:
    return str(resource.get("meta", {}).get("lastUpdated", ""))


def _matches(resource: Json, parameters: dict[str, str]) -> bool:
    if "_id" in parameters and resource.get("id") not in parameters["_id"].split(","):
        return False
    if "patient" in parameters:
        subject = resource.get("subject")
        reference = str(subject.get("reference", "")) if isinstance(subject, dict) else ""
        if not f"/{reference}".endswith(f"/Patient/{parameters['patient']}"):
            return False
    if "status" in parameters and resource.get("status") not in parameters["status"].split(","):
        return False
    if "identifier" in parameters:
        given = resource.get("identifier") or []
        if parameters["identifier"] not in [f"{i.get('system')}|{i.get('value')}" for i in given]:
            return False
    if "code" in parameters:
        code = resource.get("code")
        codings = code.get("coding") if isinstance(code, dict) else None
        wanted = set(parameters["code"].split(","))
        return any(
            f"{c.get('system')}|{c.get('code')}" in wanted
            for c in (codings if isinstance(codings, list) else [])
            if isinstance(c, dict)
        )
    return True


def _outcome(code: str) -> Json:
    issue = {"severity": "error", "code": code, "diagnostics": code}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


@contextmanager
def running(stub: FhirStub) -> Iterator[FhirStub]:
    """The stub, answering until the block ends."""
    thread = threading.Thread(
        target=stub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield stub
    finally:
        stub.over.set()
        stub.shutdown()
        thread.join()
        stub.server_close()


@click.command()
@click.option("--port", default=8080, show_default=True)
@click.option("--delay-seconds", default=0.0)
@click.option("--page-size", default=1000)
def main(port: int, delay_seconds: float, page_size: int) -> None:
    """Serve an empty FHIR server on loopback until Ctrl-C."""
    stub = FhirStub(port)
    stub.delay_seconds, stub.page_size = delay_seconds, page_size
    click.echo(f"FHIR at {stub.base}")
    with suppress(KeyboardInterrupt):
        stub.serve_forever()


if __name__ == "__main__":
    main()
