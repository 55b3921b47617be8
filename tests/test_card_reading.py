"""What clinicians missed on cards: a finding named in the summary, a value, a word on a button."""

from collections.abc import Sequence

import msgspec
import pytest

from cds_service.ehr import hook_requests
from cds_service.guidance import Advisor
from cds_service.hooks.request import ORDER_SIGN, PATIENT_VIEW, decode
from tests.charts import (
    REFERENCE,
    Json,
    alpl,
    bundle,
    condition,
    draft,
    patient,
    taking,
)


def read(advisor: Advisor, *chart: Json, drafts: Sequence[Json] = ()) -> list[Json]:
    """The cards for a chart: at order-sign when there are drafts, else at patient-view."""
    hook = ORDER_SIGN if drafts else PATIENT_VIEW
    request = next(hook_requests(bundle(*chart), hook, advisor.rulebook.terminology, drafts))
    answer = advisor.answer(decode(msgspec.json.encode(request), (hook,)), REFERENCE)
    found: list[Json] = msgspec.to_builtins(answer.response.cards)
    return found


# Which of the three entries makes hypophosphatasia known


DIAGNOSED = condition("hypophosphatasia")
KNOWN = [
    ("Hypophosphatasia", [DIAGNOSED]),
    ("Pathogenic ALPL variant", [alpl("P")]),
    ("Likely pathogenic ALPL variant", [alpl("LP")]),
    ("Asfotase alfa (hypophosphatasia)", [taking("asfotase alfa", -500)]),
    ("Hypophosphatasia", [DIAGNOSED, alpl("P"), taking("asfotase alfa", -500)]),
    ("Likely pathogenic ALPL variant", [alpl("LP"), taking("asfotase alfa", -500)]),
]


@pytest.mark.parametrize("named, chart", KNOWN)
def test_the_summary_names_what_is_on_record(
    advisor: Advisor, named: str, chart: list[Json]
) -> None:
    adult = patient(50)
    (card,) = read(advisor, adult, *chart, taking("alendronate", -700))
    assert card["summary"] == (
        f"{named} on record, treated with alendronate. Consider metabolic bone review of the plan."
    )
    (card,) = read(advisor, adult, *chart, taking("denosumab", -700))
    assert card["summary"] == (
        f"{named} on record, treated with denosumab."
        " Consider specialist review; plan before any change."
    )
    (card,) = read(advisor, adult, *chart, drafts=[draft("alendronate")])
    assert card["summary"] == (
        f"{named} on record: antiresorptives are generally avoided."
        " Consider specialist review before signing."
    )
