"""Whatever way the data comes, the cards are the same: prefetched, fetched, in pages, or in part."""

from typing import Any

import pytest

from cds_service import needed
from cds_service.ehr import draft_order, hook_requests
from tests.charts import Json, fixture, patient
from tests.conftest import Client
from tests.fetching import Ehr, ehr, without
from tests.fixture_patients import FIXTURES
from tests.vignettes import ORDERS, PATIENT_VIEW, Vignette

EVERY = pytest.mark.parametrize("vignette", PATIENT_VIEW + ORDERS, ids=lambda v: v.id)


def chart_of(vignette: Vignette) -> list[Json]:
    chart = list(vignette.chart)
    return chart if any(r["resourceType"] == "Patient" for r in chart) else [patient(), *chart]


def both(service: Client, vignette: Vignette, site: Ehr) -> tuple[Json, list[Json], list[Json]]:
    """The request, and the cards from prefetch and from fetching all of it."""
    request = service.request(*vignette.chart, hook=vignette.hook, drafts=vignette.drafts)
    prefetched = site.cards(request)
    followed = {"Medication", "Specimen"}
    assert set(site.stub.kinds()) <= followed, "nothing is fetched that was prefetched (PF-5)"
    return request, prefetched, site.cards(without(request))


@EVERY
def test_pf_35_prefetched_or_fetched_the_cards_are_the_same(
    service: Client, vignette: Vignette
) -> None:
    with ehr(service.advisor, *chart_of(vignette)) as site:
        site.stub.ignores = frozenset({"_sort", "_count"})
        site.stub.total = 0
        _, prefetched, fetched = both(service, vignette, site)
        assert fetched == prefetched
        assert bool(fetched) == bool(vignette.indicator)


@EVERY
def test_pages_and_a_token_change_nothing(service: Client, vignette: Vignette) -> None:
    with ehr(service.advisor, *chart_of(vignette)) as site:
        site.stub.page_size = 2
        site.stub.token = "t0k3n"
        request = service.request(*vignette.chart, hook=vignette.hook, drafts=vignette.drafts)
        grant = {"access_token": "t0k3n", "token_type": "Bearer", "scope": "patient/*.rs"}
        fetched = site.cards(without(request), fhirAuthorization=grant)
        assert fetched == site.cards(request, fhirAuthorization=grant)


@EVERY
def test_no_query_more_than_needed_and_none_less(
    service: Client, vignette: Vignette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every query sent the cards are those of the queries that are sent: nothing was missed."""
    with ehr(service.advisor, *chart_of(vignette)) as site:
        request = without(
            service.request(*vignette.chart, hook=vignette.hook, drafts=vignette.drafts)
        )
        fewest = site.cards(request)
        sent = len(site.stub.asked)
        monkeypatch.setattr(needed, "nothing", lambda *_: False)
        monkeypatch.setattr(needed, "possibly_low", lambda *_: True)
        assert site.cards(request) == fewest
        assert len(site.stub.asked) - sent >= sent


@pytest.mark.parametrize("row", FIXTURES, ids=lambda row: row.name)
@pytest.mark.parametrize("drug", [None, "zoledronate"])
def test_the_bundled_patients_too(service: Client, row: Any, drug: str | None) -> None:
    chart = fixture(row.name)
    book = service.advisor.rulebook
    drafts = [draft_order(drug, book.drug_list)] if drug else []
    hook = "order-sign" if drug else "patient-view"
    (request,) = hook_requests(chart, hook, book.terminology, drafts)
    with ehr(service.advisor, *(e["resource"] for e in chart["entry"])) as site:
        prefetched = site.cards(request)
        assert site.cards(without(request)) == prefetched
        assert site.cards(without(request, "encounters", "pregnancy", "procedures")) == prefetched
