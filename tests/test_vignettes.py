"""Every patient of the decision model gets the answer that a clinician expects, over HTTP."""

import re

import msgspec
import pytest

from cds_service.hooks.request import decode
from tests.charts import REFERENCE
from tests.conftest import Client, orders, slug
from tests.vignettes import MENTIONS, ORDERS, PATIENT_VIEW, Vignette


@pytest.mark.parametrize("vignette", PATIENT_VIEW + ORDERS, ids=lambda v: v.id)
def test_the_card(service: Client, vignette: Vignette) -> None:
    cards = service.fire(*vignette.chart, hook=vignette.hook, drafts=vignette.drafts)
    expected = [vignette.situation] if vignette.indicator else []
    expected += [vignette.beside] if vignette.beside else []
    assert [slug(c) for c in cards] == expected
    assert not set(expected) & set(vignette.never_fires)
    assert set(vignette.offers) <= set(orders(cards))
    assert not set(vignette.never_offers) & set(orders(cards))
    if vignette.indicator:
        assert cards[0]["indicator"] == vignette.indicator
    text = "\n".join(c["summary"] + "\n" + c["detail"] for c in cards)
    for idea in vignette.mentions:
        assert re.search(MENTIONS[idea], text, re.IGNORECASE), f"{idea} is not said in:\n{text}"


@pytest.mark.parametrize("vignette", PATIENT_VIEW + ORDERS, ids=lambda v: v.id)
def test_silence_has_the_expected_name(service: Client, vignette: Vignette) -> None:
    request = service.request(*vignette.chart, hook=vignette.hook, drafts=vignette.drafts)
    answer = service.advisor.answer(
        decode(msgspec.json.encode(request), (vignette.hook,)), REFERENCE
    )
    finding = answer.decision.primary or answer.decision.silence
    assert finding is not None
    assert finding.slug == vignette.situation


@pytest.mark.parametrize("vignette", PATIENT_VIEW + ORDERS, ids=lambda v: v.id)
def test_explaining_changes_no_decision(service: Client, vignette: Vignette) -> None:
    """An explanation tries every row; otherwise those of a recent low are left out without one."""
    call = service.request(*vignette.chart, hook=vignette.hook, drafts=vignette.drafts)
    request = decode(msgspec.json.encode(call), (vignette.hook,))
    plain, explained = (
        service.advisor.answer(request, REFERENCE, explain=explain).decision
        for explain in (False, True)
    )
    for outcome in ("primary", "accompanying", "silence", "shadow"):
        assert getattr(plain, outcome) == getattr(explained, outcome)
