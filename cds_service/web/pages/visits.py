"""What the sandbox EHR remembers of a chart that was opened: the call, its answer, what was done with it."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from secrets import token_urlsafe
from threading import Lock
from typing import Any

import msgspec

Json = dict[str, Any]
_MOST_REMEMBERED = 200


class Exchange(msgspec.Struct, frozen=True):
    """One call over HTTP and what came back."""

    path: str
    request: Json
    status: int
    text: str

    @property
    def answer(self) -> Json | None:
        """The JSON object that came back; None when it was none."""
        try:
            found = msgspec.json.decode(self.text)
        except msgspec.DecodeError:
            return None
        return found if isinstance(found, dict) else None

    @property
    def accepted(self) -> bool:
        """Whether the service took it."""
        return 200 <= self.status < 300


Send = Callable[[str, Json], Exchange]
"""Posts a JSON object to a path of the service."""


class Done(msgspec.Struct, frozen=True):
    """What the clinician did with a card, and how the service took the news of it."""

    card: str
    told: str
    feedback: Exchange


class Visit(msgspec.Struct, frozen=True):
    """One hook fired for one patient."""

    id: str
    patient: str
    hook: str
    typed: Mapping[str, str]
    """What was changed in the chart, by form field."""
    exchange: Exchange
    drafts: tuple[Json, ...] = ()
    """Orders in the draft, those taken over from cards included."""
    done: tuple[Done, ...] = ()


class Visits:
    """The latest visits of this process, forgotten when it ends. For synthetic patients only."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Visit] = OrderedDict()
        self._lock = Lock()

    def keep(self, visit: Visit) -> Visit:
        """Remember a visit, in place of its earlier state."""
        with self._lock:
            self._kept[visit.id] = visit
            while len(self._kept) > _MOST_REMEMBERED:
                self._kept.popitem(last=False)
        return visit

    def get(self, visit_id: str) -> Visit | None:
        """None when it was never there or is forgotten."""
        return self._kept.get(visit_id)


def new_id() -> str:
    """A name for a visit that nobody guesses."""
    return token_urlsafe(12)
