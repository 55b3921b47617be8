"""What a clinician has just seen is not shown again at once: an assumption of a replay."""

from datetime import date, timedelta


class Snooze:
    """Remembers when each situation's card was last shown to one patient's clinicians."""

    def __init__(self, days: int) -> None:
        """`days` 0: every card is shown."""
        self._for = timedelta(days=days)
        self._shown: dict[str, date] = {}

    def covers(self, situation: str, indicator: str, day: date) -> bool:
        """Whether the card stays unseen. Critical cards are always shown."""
        shown = self._shown.get(situation)
        if shown is not None and indicator != "critical" and day < shown + self._for:
            return True
        self._shown[situation] = day
        return False
