"""The draft orders are checked against FHIR at start, and the check leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from cds_service import draft_check
from cds_service.errors import KnowledgeError
from cds_service.guidance import Advisor

SUBJECT = {"reference": "Patient/template"}
VALID = {
    "resourceType": "ServiceRequest",
    "status": "draft",
    "intent": "proposal",
    "subject": SUBJECT,
}


def test_a_valid_draft_is_accepted() -> None:
    draft_check.check({"plp": VALID})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"intent": None}, "intent"),
        ({"subject": None}, "subject"),
        ({"code": "plp"}, "code"),
        ({"note": [{"txt": "fasting"}]}, "note.0"),
        ({"unheard-of": 1}, "unheard-of"),
    ],
)
def test_a_wrong_draft_refuses_to_start_and_is_named(wrong: dict, told: str) -> None:
    draft = {k: v for k, v in {**VALID, **wrong}.items() if v is not None}
    with pytest.raises(KnowledgeError) as refusal:
        draft_check.check({"plp": VALID, "ppi": draft})
    message = str(refusal.value)
    assert message.startswith(f"orders.toml [ppi]: no valid draft order: {told}"), message
    assert "\n" not in message


def test_an_order_that_makes_no_valid_resource_stops_the_start(advisor: Advisor) -> None:
    book = advisor.rulebook
    wordless = msgspec.structs.replace(book.orders["plp"], text="")
    wrong = msgspec.structs.replace(book, orders={**book.orders, "plp": wordless})
    advisor.cards.drafts.check()
    with pytest.raises(KnowledgeError, match=r"orders.toml \[plp\]: .*code.text"):
        Advisor(wrong).cards.drafts.check()


def test_a_started_service_does_not_carry_the_model_classes(tmp_path: Path) -> None:
    """They would take more memory than the rest of the service."""
    program = (
        "import sys; from cds_service.app import create_app; from cds_service.settings import Settings;"
        "create_app(Settings(auth='off', database_url=sys.argv[1]));"
        "print(sorted({'fhir.resources', 'pydantic'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, f"sqlite:///{tmp_path}/memory.sqlite3"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "[]"
