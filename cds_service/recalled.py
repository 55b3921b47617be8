"""What is recalled for a call: the snoozes of its patient, and what its user was shown of them."""

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta

from cds_service.assessment.evidence import Marks
from cds_service.assessment.remembered import Shown, Snooze
from cds_service.database import Connection
from cds_service.database.recollection import SetAside, seen, set_aside
from cds_service.hooks.request import HookRequest
from cds_service.policy import Policy
from cds_service.pseudonym import patient_key, pseudonym, user_pseudonym

Recalled = tuple[tuple[Snooze, ...], tuple[Shown, ...]]
"""What was set aside for a patient, and what was shown to a user."""


class Recall:
    """Reads rows for calls. Safe to share between threads."""

    def __init__(
        self, key: bytes, policy: Policy, override_system: str, now: Callable[[], datetime]
    ) -> None:
        """`key` is the secret of the pseudonyms and marks; reasons of other code systems do not snooze."""
        self._key = key
        self._policy = policy
        self._override_system = override_system
        self._now = now

    def of(self, connection: Connection, client: str, request: HookRequest) -> Recalled:
        """What that client's patient and user bring with them."""
        patient = pseudonym(self._key, client, request.patient_id)
        key = patient_key(self._key, patient)
        rules = self._policy.snooze
        snoozes = self._snoozes(set_aside(connection, client, patient), key)
        if not rules.already_seen_days:
            return snoozes, ()
        user = user_pseudonym(self._key, client, request.user)
        before = self._now() - timedelta(minutes=rules.already_seen_after_minutes)
        shown = tuple(
            Shown(s.situation, s.as_of, Marks(key, s.marks))
            for s in seen(connection, client, patient, user, request.hook, before)
        )
        return snoozes, shown

    def _snoozes(self, found: Iterable[SetAside], key: bytes) -> tuple[Snooze, ...]:
        return tuple(
            Snooze(s.situation, s.reason_code, _since(s), Marks(key, s.marks))
            for s in found
            if s.reason_system == self._override_system
            and self._policy.snooze.months.get(s.reason_code, 0)
        )


def _since(found: SetAside) -> date:
    """A client whose clock runs ahead does not lengthen the time."""
    return min(found.outcome_at, found.received_at).date()
