"""The worklist: whom to look at first, as CSV and Parquet, and why, as NDJSON."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from cds_service.screen.plan import Plan
from cds_service.screen.results import Answer, PatientResult
from cds_service.screen.tally import change, representative, urgency

_TEXT, _WHOLE = "VARCHAR", "INTEGER"
_SORT = {"urgency": _WHOLE, "priority": _WHOLE, "u_per_l": "DOUBLE"}
_COLUMNS = {
    "patient": _TEXT,
    "name": _TEXT,
    "age_years": _WHOLE,
    "sex": _TEXT,
    "indicator": _TEXT,
    "situation": _TEXT,
    "summary": _TEXT,
    "reason": _TEXT,
    "second_card": _TEXT,
    "day": "DATE",
    "hook": _TEXT,
    "drugs": _TEXT,
    "latest_alp": _TEXT,
    "latest_alp_date": "DATE",
    "cards": _WHOLE,
}
_SECOND = {
    "change": _TEXT,
    "indicator_b": _TEXT,
    "situation_b": _TEXT,
    "summary_b": _TEXT,
    "reason_b": _TEXT,
    "cards_b": _WHOLE,
}
_ORDER = "urgency, priority, u_per_l NULLS LAST, patient"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def columns(plan: Plan) -> dict[str, str]:
    """The columns of a worklist with their types."""
    names = {n: t for n, t in _COLUMNS.items() if plan.names or n != "name"}
    return names | (_SECOND if len(plan.policies) == 2 else {})


def write_worklist(
    results: Iterable[PatientResult],
    plan: Plan,
    priorities: Mapping[str, int],
    folder: Path,
    temporary: Path,
) -> None:
    """Everyone with a card, the most urgent first, to worklist.csv and worklist.parquet."""
    unsorted = temporary / "worklist.unsorted.csv"
    named = columns(plan)
    with unsorted.open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, [*_SORT, *named], lineterminator="\n", extrasaction="ignore")
        rows.writerows(_rows(results, plan, priorities))
    with duckdb.connect(config={"threads": 1, "temp_directory": str(temporary)}) as connection:
        found = connection.read_csv(
            str(unsorted),
            header=False,
            sep=",",
            quotechar='"',
            escapechar='"',
            auto_detect=False,
            columns=_SORT | named,
        )
        picked = ", ".join(named)
        ranked = found.row_number(f"OVER (ORDER BY {_ORDER}) AS rank", picked).order("rank")
        ranked = ranked.project(f"rank, {picked}")
        ranked.write_csv(str(folder / "worklist.csv"))
        ranked.write_parquet(str(folder / "worklist.parquet"))
    unsorted.unlink()


def write_explanations(results: Iterable[PatientResult], path: Path) -> None:
    """Why each patient on the worklist stands there: facts, gaps and every row with its reason."""
    encode = msgspec.json.Encoder(order="deterministic").encode
    with path.open("wb") as file:
        for result in results:
            for number, explanation in enumerate(result.explanations):
                row = {"patient": result.patient, "answers": _answers(result, number)}
                file.write(encode(row | msgspec.structs.asdict(explanation)) + b"\n")


def _answers(result: PatientResult, number: int) -> list[dict[str, Any]]:
    """Every moment at which the policy had something to say."""
    return [
        {
            "day": told.day,
            "hook": told.hook,
            "situation": answer.situation,
            "indicator": answer.indicator,
            "snoozed": answer.snoozed,
            "reason": answer.reason,
        }
        for told in result.told
        if (answer := told.answers[number]).indicator is not None
    ]


def _rows(
    results: Iterable[PatientResult], plan: Plan, priorities: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    for result in results:
        told = representative(result)
        if told is None:
            continue
        first, *second = told.answers
        yield {
            "urgency": urgency(first.indicator if result.shown(0) else None),
            "priority": priorities.get(first.situation or "", 0),
            "u_per_l": told.latest_alp_u_per_l,
            "patient": result.patient,
            "name": _harmless(result.name),
            "age_years": result.age_years,
            "sex": result.sex,
            **_answer(first, ""),
            "second_card": first.beside,
            "day": told.day,
            "hook": told.hook,
            "drugs": " ".join(told.drugs),
            "latest_alp": told.latest_alp,
            "latest_alp_date": told.latest_alp_date,
            "cards": len(result.shown(0)),
            **(_answer(second[0], "_b") if second else {}),
            **({"change": change(result), "cards_b": len(result.shown(1))} if second else {}),
        }


def _answer(answer: Answer, suffix: str) -> dict[str, str | None]:
    return {
        f"indicator{suffix}": answer.indicator,
        f"situation{suffix}": answer.situation,
        f"summary{suffix}": answer.summary,
        f"reason{suffix}": _reason(answer),
    }


def _reason(answer: Answer) -> str:
    if answer.shadow and answer.indicator is None:
        return f"in shadow: {', '.join(answer.shadow)}"
    return answer.reason


def _harmless(name: str | None) -> str | None:
    """A name that a spreadsheet would take for a formula is marked as text."""
    return f"'{name}" if name and name.startswith(_FORMULA) else name
