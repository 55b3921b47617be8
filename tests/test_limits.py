"""No caller costs the others: bodies, rates, places, slow connections; and what web pages may do."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from cds_service.app import create_app
from cds_service.commands.request_bytes import RequestBytes
from cds_service.errors import Unavailable
from cds_service.guidance import Advisor
from cds_service.web.access import BY_SESSION, PUBLIC
from cds_service.web.places import Places
from tests.charts import REFERENCE, Json
from tests.conftest import Client, open_settings
from tests.hostile import LOW, bundle_of, judged, send, serving, with_prefetch
from tests.processes import OFF, answering, free_port, running
from tests.signing import VIEW, Signer
from tests.signing import settings as required

EHR = Signer("https://ehr.hospital.example")
OTHER = Signer("https://other.example")
PAGE = "https://ehr.hospital.example"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


def unavailable(answer: requests.Response, status: int, code: str) -> None:
    """A refusal that says when to come again."""
    assert answer.status_code == status, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["issue"][0]["code"] == code


# --- every address asks who calls


def test_every_address_asks_who_calls_or_is_listed_as_public(tmp_path: Path) -> None:
    """JWT-30, JWT-31: A new address fails here until it asks, or stands on the short list with its reason."""
    launching = {
        "smart_links": True,
        "smart_client_id": "timeline",
        "fhir_servers": ["https://ehr.hospital.example/fhir"],
    }
    ehr = {"name": "ehr", "issuer": EHR.issuer, "jwks": EHR.jwks(), **launching}
    app = create_app(required(tmp_path, ehr))
    http = app.test_client()
    seen: set[str] = set()
    for rule in app.url_map.iter_rules():
        path = rule.build(dict.fromkeys(rule.arguments, "1"), append_unknown=False)
        assert path is not None
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            answer = http.open(path[1], method=method, buffered=True)
            if answer.status_code != 401:
                seen.add(rule.endpoint)
            if rule.endpoint in BY_SESSION:
                assert answer.status_code in (400, 403)
    assert seen == {*PUBLIC, *BY_SESSION}


# --- bodies


def test_more_resources_than_a_record_holds(advisor: Advisor) -> None:
    with serving(create_app(open_settings(max_entries=1000)), advisor) as client:
        few, many = (
            with_prefetch(client.request(*LOW), conditions=bundle_of(*({"a": "x" * 400},) * n))
            for n in (900, 1100)
        )
        assert send(client, few).status_code == 200
        answer = send(client, many)
    assert answer.status_code == 413
    assert "1000 resources" in judged(answer)["issue"][0]["diagnostics"]


@pytest.mark.parametrize("crumb", [b"{}", b"[]", b"0", b'""'])
def test_millions_of_crumbs(service: Client, crumb: bytes) -> None:
    """Small on the wire, large in memory: refused before anything is built of them."""
    body = b'{"hook":"patient-view","x":[' + b",".join([crumb] * 2_000_000) + b"]}"
    answer = send(service, body)
    assert answer.status_code == 413
    assert judged(answer)["issue"][0]["code"] == "too-long"


# --- rates


def test_a_client_beyond_its_rate_is_told_when_to_come_again(
    tmp_path: Path, advisor: Advisor
) -> None:
    asked = required(
        tmp_path,
        {"name": "ehr", "issuer": EHR.issuer, "jwks": EHR.jwks(), "rate_per_minute": 3},
        {"name": "other", "issuer": OTHER.issuer, "jwks": OTHER.jwks()},
    )
    with (
        serving(create_app(asked), advisor) as one,
        serving(create_app(asked), advisor) as two,
    ):
        for client in (one, two, one):
            assert client.post(VIEW, json={}, headers=EHR.bearer(VIEW)).status_code == 400
        for client in (one, two):
            unavailable(client.post(VIEW, json={}, headers=EHR.bearer(VIEW)), 429, "throttled")
        assert one.post(VIEW, json={}, headers=OTHER.bearer(VIEW)).status_code == 400


def test_a_token_replayed_does_not_use_up_its_clients_rate(
    tmp_path: Path, advisor: Advisor
) -> None:
    ehr = {"name": "ehr", "issuer": EHR.issuer, "jwks": EHR.jwks(), "rate_per_minute": 2}
    with serving(create_app(required(tmp_path, ehr)), advisor) as client:
        path = "/cds-services"
        used = EHR.bearer(path)
        assert client.get(path, headers=used).status_code == 200
        for _ in range(5):
            assert client.get(path, headers=used).status_code == 401
        assert client.get(path, headers=EHR.bearer(path)).status_code == 200
        unavailable(client.get(path, headers=EHR.bearer(path)), 429, "throttled")


# --- places


def test_places_are_given_back() -> None:
    places = Places(4, shared=True)
    for _ in range(3):
        places.take()
        places.take_as("greedy")
    places.take()
    with pytest.raises(Unavailable):
        places.take_as("greedy")
    places.take_as("other")
    with pytest.raises(Unavailable):
        places.take()
    for client in ("greedy", "greedy", "greedy", "other"):
        places.leave(client)
    for _ in range(4):
        places.take()


def test_more_calls_at_once_than_there_are_places(advisor: Advisor) -> None:
    """One call is held in the middle; the next is refused at once, not queued without end."""
    app = create_app(open_settings(max_concurrent=1), today=lambda: REFERENCE)
    inside, go_on = threading.Event(), threading.Event()

    @app.get("/held")
    def held() -> str:
        inside.set()
        go_on.wait(10)
        return "{}"

    with serving(app, advisor) as client:
        first = threading.Thread(target=client.get, args=("/held",))
        first.start()
        assert inside.wait(10)
        unavailable(client.get("/cds-services"), 503, "transient")
        go_on.set()
        first.join()
        for _ in range(5):
            assert client.get("/cds-services").status_code == 200


def test_launches_at_a_server_that_does_not_answer_take_no_more_than_its_clients_share(
    tmp_path: Path, advisor: Advisor
) -> None:
    """A launch needs no token: whoever knows the address of a slow server could take every place."""
    silent = socket.create_server(("127.0.0.1", 0))
    iss = f"http://127.0.0.1:{silent.getsockname()[1]}/fhir"
    launching = {"smart_links": True, "smart_client_id": "timeline", "fhir_servers": [iss]}
    ehr = {"name": "ehr", "issuer": EHR.issuer, "jwks": EHR.jwks(), **launching}
    other = {"name": "other", "issuer": OTHER.issuer, "jwks": OTHER.jwks()}
    launch = f"/smart/launch?iss={iss}&launch=x"
    with serving(create_app(required(tmp_path, ehr, other, max_concurrent=2)), advisor) as client:
        first = threading.Thread(target=client.get, args=(launch,))
        first.start()
        held, _ = silent.accept()
        full = client.get(launch)
        assert (full.status_code, full.headers["Retry-After"]) == (503, "1")
        path = "/cds-services"
        assert client.get(path, headers=OTHER.bearer(path)).status_code == 200
        silent.close()
        held.close()
        first.join()


# --- web pages


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, advisor: Advisor) -> Iterator[Client]:
    """Two clients, one of which may be called for by a web page."""
    asked = required(
        tmp_path_factory.mktemp("pages"),
        {"name": "ehr", "issuer": EHR.issuer, "jwks": EHR.jwks(), "cors_origins": [PAGE]},
        {"name": "other", "issuer": OTHER.issuer, "jwks": OTHER.jwks()},
    )
    with serving(create_app(asked, today=lambda: REFERENCE), advisor) as client:
        yield client


@pytest.mark.parametrize("path", ["/cds-services", VIEW, f"{VIEW}/feedback", f"/{VIEW[1:]}/"])
def test_a_preflight_needs_no_token(pages: Client, path: str) -> None:
    """CORS-1."""
    answer = requests.options(pages.base + path, headers=PREFLIGHT, timeout=10)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "*",
        f"{PAGE}/",
        f"{PAGE}.evil.example",
        f"{PAGE}:443",
        "http://ehr.hospital.example",
        "",
    ],
)
def test_another_origin_is_not_let_in(pages: Client, origin: str) -> None:
    answer = requests.options(
        pages.base + VIEW, headers={**PREFLIGHT, "Origin": origin}, timeout=10
    )
    assert not [name for name in answer.headers if name.startswith("Access-Control")]
    call = pages.post(VIEW, json={}, headers={**EHR.bearer(VIEW), "Origin": origin})
    assert not [name for name in call.headers if name.startswith("Access-Control")]


def test_errors_can_be_read_by_the_page(pages: Client) -> None:
    """CORS-1."""
    for answer, status in (
        (pages.post(VIEW, json={}, headers={"Origin": PAGE}), 401),
        (pages.post(VIEW, json={}, headers={**EHR.bearer(VIEW), "Origin": PAGE}), 400),
        (pages.get(f"{VIEW}/x/y", headers={"Origin": PAGE}), 404),
        (pages.get(VIEW, headers={"Origin": PAGE}), 405),
    ):
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE


def test_an_origin_is_one_clients_own(pages: Client) -> None:
    answer = pages.post(VIEW, json={}, headers={**OTHER.bearer(VIEW), "Origin": PAGE})
    assert answer.status_code == 400
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_without_authentication_the_setting_lists_the_origins(advisor: Advisor) -> None:
    app = create_app(open_settings(cors_origins=(PAGE,)), today=lambda: REFERENCE)
    with serving(app, advisor) as client:
        answer = send(client, client.request(*LOW), headers={"Origin": PAGE})
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        answer = send(client, client.request(*LOW), headers={"Origin": "https://else.example"})
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_every_answer_says_what_a_browser_may_do_with_it(pages: Client) -> None:
    for path in ("/openapi.json", "/cds-services", "/nowhere"):
        headers = pages.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Strict-Transport-Security"] == "max-age=31536000"
        assert "Cache-Control" in headers


# --- slow clients, at the production server


HEAD = f"POST {VIEW} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """`cds-service serve` with one worker of two threads."""
    port = free_port()
    folder = tmp_path_factory.mktemp("production")
    options = ("--port", str(port), "--workers", "1", "--threads", "2")
    with (
        folder.joinpath("log").open("w", encoding="utf-8") as output,
        running("serve", *options, output=output, settings=OFF) as server,
    ):
        base = f"http://127.0.0.1:{port}"
        assert answering(base, server).status_code == 200
        yield base, port


def opened(port: int, *sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    for part in sent:
        connection.sendall(part)
    return connection


@pytest.mark.parametrize(
    "sent",
    [
        (b"",),
        (b"POST /cds-serv",),
        (HEAD,),
        (HEAD + b'Content-Length: 100\r\n\r\n{"hook": "patient-view", ',),
        (HEAD + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n',),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0a\r\n{0\r\n\r\n     \r\n",),
        (HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",),
    ],
    ids=[
        "nothing",
        "half a line",
        "half a head",
        "half a body",
        "half a chunk",
        "false end",
        "expect",
    ],
)
def test_clients_that_wait_hold_no_thread(
    production: tuple[str, int], sent: tuple[bytes, ...]
) -> None:
    """Ten times as many as there are threads, and the next call is answered as ever."""
    base, port = production
    waiting = [opened(port, *sent) for _ in range(20)]
    try:
        for _ in range(5):
            assert requests.get(f"{base}/cds-services", timeout=4).status_code == 200
    finally:
        for connection in waiting:
            connection.close()


def test_clients_that_do_not_hang_up_hold_nothing(production: tuple[str, int]) -> None:
    base, port = production
    call = b"GET /cds-services HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    lingering = [opened(port, call) for _ in range(20)]
    started = time.monotonic()
    assert requests.get(f"{base}/cds-services", timeout=10).status_code == 200
    # gthread lingers two seconds for each, one after the other
    assert time.monotonic() - started < 20
    for connection in lingering:
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.close()


@pytest.mark.parametrize("framing", ["length", "chunked", "expect"])
def test_a_body_in_pieces_is_read_whole(production: tuple[str, int], framing: str) -> None:
    _, port = production
    body = b'{"hook": "patient-view", "hookInstance": "x", "context": {}}'
    head = HEAD + b"Connection: close\r\n"
    if framing == "chunked":
        pieces = [b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:7], body[7:])] + [b"0\r\n\r\n"]
        head += b"Transfer-Encoding: chunked\r\n\r\n"
    else:
        head += b"Content-Length: %d\r\n" % len(body)
        head += b"Expect: 100-continue\r\n\r\n" if framing == "expect" else b"\r\n"
        pieces = [body[:7], body[7:]]
    with opened(port, head[:40], head[40:]) as connection:
        if framing == "expect":
            assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for piece in pieces:
            connection.sendall(piece)
        answer = b""
        while received := connection.recv(65536):
            answer += received
    status, _, rest = answer.partition(b"\r\n")
    assert status == b"HTTP/1.1 400 BAD REQUEST"
    assert b"context" in rest, "told what the context lacks, so the whole body was read"


def test_two_requests_in_one_piece_are_both_answered(production: tuple[str, int]) -> None:
    _, port = production
    call = b"GET /cds-services HTTP/1.1\r\nHost: x\r\n"
    with opened(port, call + b"\r\n" + call + b"Connection: close\r\n\r\n") as connection:
        answer = b""
        while received := connection.recv(65536):
            answer += received
    assert answer.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    "sent",
    [
        b"X" * 70_000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 60_000,
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}    ",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: -5\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=[
        "endless head",
        "no size",
        "endless size",
        "crumbs",
        "two lengths",
        "both",
        "negative",
        "TLS",
    ],
)
def test_what_is_no_request_is_ended_at_once(production: tuple[str, int], sent: bytes) -> None:
    base, port = production
    with opened(port) as connection:
        try:
            connection.sendall(sent)
            answer = connection.recv(100)
        except OSError:
            answer = b""
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert requests.get(f"{base}/cds-services", timeout=10).status_code == 200


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 11\r\n\r\n{\r\n\r\n0\r\n\r\n}",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n0\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nTrailer: x\r\n\r\n",
    ],
)
def test_a_request_is_whole_with_its_last_byte(request_bytes: bytes, step: int) -> None:
    given = RequestBytes()
    for place in range(0, len(request_bytes), step):
        assert not given.is_whole
        given.add(request_bytes[place : place + step])
        assert not given.is_broken
    assert given.is_whole
    assert bytes(given) == request_bytes


def test_the_openapi_document_is_the_one_in_the_repository(service: Client) -> None:
    path = Path(__file__).parent.parent / "cds_service/web/openapi.json"
    assert service.get("/openapi.json").json() == json.loads(path.read_text(encoding="utf-8"))


PAGES = ("assets", "front", "knowledge", "smart")
"""Blueprints of pages for people, which no program is to call."""


def test_the_openapi_document_names_every_address_for_programs(service: Client) -> None:
    document: Json = service.get("/openapi.json").json()
    described = {
        (path.replace("{id}", "<service_id>"), method.upper())
        for path, operations in document["paths"].items()
        for method in operations
    }
    served = {
        (rule.rule.replace("//", "/").replace("<resource_id>", "<service_id>"), method)
        for rule in service.app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] not in PAGES
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}
    }
    assert served == described
    assert document["components"]["schemas"].keys() == _named_schemas(document)


def _named_schemas(value: Any) -> set[str]:
    """The schemas that are referred to, wherever."""
    if isinstance(value, dict):
        own = {value["$ref"].rsplit("/", 1)[1]} if "/schemas/" in value.get("$ref", "") else set()
        return own.union(*map(_named_schemas, value.values()))
    return set().union(*map(_named_schemas, value)) if isinstance(value, list) else set()
