"""What became of every call, phase by phase, and whether what was acknowledged is in the database."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import select

from cds_service.database import open_database
from cds_service.database.feedback import feedback_entries
from tests.soak.judging import Call, Verdict, verdict
from tests.soak.schedules import Schedule

_HEAD = (
    "Phase",
    "sent",
    "as expected",
    "refused, as allowed",
    "cut by the kill",
    "snooze unread",
    "wrong",
    "lost",
    "feedback acknowledged",
    "missing",
)


class Table:
    """The verdicts of a run."""

    def __init__(
        self, calls: Sequence[Call], schedule: Schedule, unread: int, kept: frozenset[str]
    ) -> None:
        """`unread`: how often memory could not be asked, by the log; `kept`: comments in the database."""
        self._judged = [(c, verdict(c, schedule.faults, schedule.kills)) for c in calls]
        self._schedule = schedule
        self._kept = kept
        self._unread = unread

    @property
    def is_good(self) -> bool:
        """Nothing wrong, lost or missing in any phase; no card was woken that the log does not explain."""
        verdicts = self._verdicts(self._judged)
        faults = verdicts["wrong"] + verdicts["lost"] + len(self._missing(self._judged))
        called = {self._phase(call) for call, _ in self._judged}
        tried = all(phase in called for _, phase in self._schedule.phases)
        return tried and not faults and verdicts["awake"] <= self._unread

    def text(self) -> str:
        """As Markdown."""
        rows = [_HEAD, ("---",) * len(_HEAD)]
        for _, phase in self._schedule.phases:
            rows.append(self._row(phase, [j for j in self._judged if self._phase(j[0]) == phase]))
        rows.append(self._row("**all**", self._judged))
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def problems(self) -> list[str]:
        """What was wrong or lost, in words."""
        found = [
            f"{judged} in '{self._phase(c)}': {c.kind} at replica {c.replica}: {c.status} {c.cards},"
            f" not {c.expected_status} {c.expected_cards}, after {c.ended - c.begun:.2f} s"
            for c, judged in self._judged
            if judged in ("wrong", "lost")
        ]
        awake = self._verdicts(self._judged)["awake"]
        if awake > self._unread:
            found.append(f"{awake} snoozes unread, but the log tells of {self._unread}")
        return found

    def _row(self, phase: str, judged: Sequence[tuple[Call, Verdict]]) -> tuple[str, ...]:
        verdicts = self._verdicts(judged)
        refused = Counter(c.status for c, v in judged if v == "refused")
        statuses = ", ".join(f"{n} × {status}" for status, n in sorted(refused.items(), key=str))
        acknowledged = sum(c.acknowledged is not None for c, _ in judged)
        return (
            phase,
            str(len(judged)),
            str(verdicts["expected"]),
            statuses or "0",
            *(str(verdicts[v]) for v in ("cut", "awake", "wrong", "lost")),
            str(acknowledged),
            str(len(self._missing(judged))),
        )

    def _missing(self, judged: Sequence[tuple[Call, Verdict]]) -> list[str]:
        return [
            c.acknowledged for c, _ in judged if c.acknowledged and c.acknowledged not in self._kept
        ]

    def _phase(self, call: Call) -> str:
        return self._schedule.phase(call.begun)

    def _verdicts(self, judged: Sequence[tuple[Call, Verdict]]) -> Counter[Verdict]:
        return Counter(v for _, v in judged)


def in_database(url: str) -> frozenset[str]:
    """The comments of all feedback that is kept."""
    engine = open_database(url)
    with engine.connect() as connection:
        found = frozenset(connection.scalars(select(feedback_entries.c.comment)))
    engine.dispose()
    return found
