"""Thousands of calls made from the OpenAPI document and of hostile bodies: no 500, no hang, memory flat.

`make fuzz` runs more of them: FUZZ_EXAMPLES says how many an operation.
"""

import gc
import json
import logging
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cds_service.app import create_app
from tests.charts import REFERENCE
from tests.conftest import Client, open_settings
from tests.hostile import ADDRESS, RICH, paths, replaced
from tests.signing import Signer
from tests.signing import settings as required

FEW = 60
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", FEW))
DOCUMENT = json.loads(
    (Path(__file__).parent.parent / "cds_service/web/openapi.json").read_text(encoding="utf-8")
)
EHR = Signer("https://ehr.hospital.example")
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]
open_app = create_app(open_settings(), today=lambda: REFERENCE)
SERVED = {re.sub(r"<[a-z_]+>", "{id}", rule.rule) for rule in open_app.url_map.iter_rules()}
schema = schemathesis.openapi.from_dict(
    {**DOCUMENT, "paths": {p: o for p, o in DOCUMENT["paths"].items() if p in SERVED}}
)


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_calls_made_from_the_description(case: Any) -> None:
    """Right and wrong ones; each answer is one that the description tells of."""
    answer = case.call(app=open_app)
    case.validate_response(answer, checks=CHECKS)


def test_the_same_with_authentication(tmp_path: Path) -> None:
    """Whatever is sent, nobody without a token is told more than that."""
    asked = required(tmp_path, {"name": "ehr", "issuer": EHR.issuer, "jwks": EHR.jwks()})
    http = create_app(asked).test_client()
    for body in (b"", b"{}", b"[" * 5000, b"\xff", b'{"hook":"patient-view"}', b"0" * 6000):
        for path in DOCUMENT["paths"]:
            if path not in SERVED or "post" not in DOCUMENT["paths"][path]:
                continue
            for service_id in ("low-alp-patient-view", "unknown", "%00", "é"):
                answer = http.post(path.replace("{id}", service_id), data=body)
                assert answer.status_code == 401


BROKEN: tuple[Any, ...] = (None, [], {}, "", 0, -1, 1e308, True, "\ud800", "x" * 5000, ...)


@pytest.mark.parametrize("first", range(4))
def test_a_rich_chart_broken_in_every_place(service: Client, first: int) -> None:
    """Four tests share out every way in every place; in `make test` they try one in seven."""
    http = service.app.test_client()
    whole = service.request(*RICH)
    ways = [(place, value) for place in paths(whole) for value in BROKEN]
    for place, value in ways[first :: 4 if EXAMPLES > FEW else 28]:
        body = json.dumps(replaced(whole, place, value))
        answer = http.post(ADDRESS, data=body, content_type="application/json")
        assert answer.status_code in (200, 400, 412), (place, answer.get_data(as_text=True))


def test_memory_does_not_grow_with_the_calls(service: Client) -> None:
    """Refused and answered calls alike leave nothing behind."""
    http = service.app.test_client()
    whole = service.request(*RICH)
    hostile = [
        json.dumps(replaced(whole, place, [])).encode() for place in list(paths(whole))[::29]
    ]

    def calls() -> None:
        for body in hostile:
            http.post(ADDRESS, data=body, content_type="application/json")
            http.post("/cds-services/" + "x" * 500, data=body)

    for _ in range(3):
        calls()
    logging.disable()  # pytest keeps every record until the end of the test
    tracemalloc.start()
    try:
        grown = min(_growth(calls) for _ in range(4))
    finally:
        tracemalloc.stop()
        logging.disable(logging.NOTSET)
    # A leak grows with every round; pools and the interpreter's own caches rise and fall.
    assert grown < 4_000, f"{grown} bytes more after each {20 * len(hostile)} calls"


def _growth(calls: Callable[[], None]) -> int:
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(10):
        calls()
    gc.collect()
    return tracemalloc.get_traced_memory()[0] - before
