"""An EHR that prefetches little and opens its FHIR server, for the tests of fetching."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from cds_service.clients import Client
from cds_service.fhir.access import FhirAccess
from cds_service.fhir.budget import Limits
from cds_service.guidance import Advisor, Answer
from cds_service.hooks.request import HOOKS, decode
from tests.charts import REFERENCE, Json
from tests.conftest import slug
from tests.fhir_stub import FhirStub, running

BRISK = Limits(call_seconds=1.0, hook_seconds=2.0)
"""For servers that are slow on purpose."""
ROOMY = Limits(call_seconds=15.0, hook_seconds=30.0)
"""For the others: a busy test machine must not look like a slow server."""
TOKEN = "Sentinel-t0k3n.abc"


class Ehr:
    """A FHIR server and a service that may call it."""

    def __init__(self, stub: FhirStub, advisor: Advisor) -> None:
        self.stub = stub
        self.advisor = advisor
        self.servers: tuple[str, ...] = (stub.base,)
        self.last_seconds = 0.0

    def answer(self, request: Json, **more: Any) -> Answer:
        """The answer to a request that names the FHIR server."""
        body = msgspec.json.encode({"fhirServer": self.stub.base, **request, **more})
        client = Client("ehr", self.servers)
        began = time.perf_counter()
        try:
            return self.advisor.answer(decode(body, HOOKS), REFERENCE, client=client)
        finally:
            self.last_seconds = time.perf_counter() - began

    def cards(self, request: Json, **more: Any) -> list[Json]:
        """The cards, without what differs at each call."""
        return plain(self.answer(request, **more))

    def slugs(self, request: Json, **more: Any) -> list[str]:
        """The situations of the cards."""
        return [slug(card) for card in self.cards(request, **more)]


@contextmanager
def ehr(advisor: Advisor, *chart: Json, limits: Limits = ROOMY) -> Iterator[Ehr]:
    """An EHR that holds this chart."""
    access = FhirAccess(limits)
    with running(FhirStub()) as stub:
        stub.store(chart)
        try:
            yield Ehr(stub, Advisor(advisor.rulebook, fhir=access))
        finally:
            access.close()


def plain(answer: Answer) -> list[Json]:
    """Cards without the uuids, which are new each time."""
    cards = msgspec.to_builtins(answer.response)["cards"]
    for card in cards:
        del card["uuid"]
        for suggestion in card.get("suggestions") or ():
            del suggestion["uuid"]
    return cards


def without(request: Json, *keys: str) -> Json:
    """The request with these prefetch keys left out; without any named, all of them."""
    prefetch = request.get("prefetch", {})
    left = {k: v for k, v in prefetch.items() if keys and k not in keys}
    return {**{k: v for k, v in request.items() if k != "prefetch"}, "prefetch": left}
