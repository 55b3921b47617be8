"""What clients do during the soak: charts opened, orders signed, feedback, and calls that are no calls."""

import random
from collections import deque
from collections.abc import Callable
from itertools import count
from uuid import uuid4

from tests.charts import Json
from tests.remembering import overridden
from tests.serving import TODAY
from tests.soak.line import Line, Reply
from tests.soak.patients import FETCHED, LOW, PREFETCHED, Case, Requests

_VIEW = "/cds-services/low-alp-patient-view"
_HOSTILE: tuple[tuple[str, bytes, int], ...] = (
    (_VIEW, b"", 400),
    (_VIEW, b"{", 400),
    (_VIEW, b"[]", 400),
    (_VIEW, b"[" * 100_000, 400),
    (_VIEW, b"\xff\xfe\x00 no JSON", 400),
    (_VIEW, b'{"hook": "order-sign"}', 400),
    (f"{_VIEW}/feedback", b'{"feedback": [{"outcome": "perhaps"}]}', 400),
    ("/cds-services/no-such-service", b"{}", 404),
)


class Visits:
    """Each method is one visit. They end with `Over` when the time is up."""

    def __init__(self, line: Line, requests: Requests, fhir_base: str | None, seed: int) -> None:
        """Without `fhir_base` nothing is left to be fetched."""
        self._line = line
        self._requests = requests
        self._fhir_base = fhir_base
        self._random = random.Random(seed)
        self._number = count()
        self._name = f"thread{seed}"
        self._cards: deque[Json] = deque(maxlen=50)
        kinds: list[tuple[int, Callable[[], None]]] = [
            (8, self.prefetched),
            (4, self.feedback),
            (2, self.set_aside),
            (2, self.hostile),
            (1, self.discovery),
        ]
        if fhir_base:
            kinds.append((5, self.fetched))
        if line.signs:
            kinds += [(1, self.replay), (1, self.stranger)]
        self._weights, self._kinds = zip(*kinds, strict=True)

    def any(self) -> None:
        """One visit, drawn by lot."""
        self._random.choices(self._kinds, self._weights)[0]()

    def prefetched(self) -> None:
        """A patient whose data come with the call."""
        case = self._random.choice(PREFETCHED)
        self._cards += _cards(self._hook(case, self._requests.prefetched(case, self._new())))

    def fetched(self) -> None:
        """A patient whose data have to be fetched."""
        assert self._fhir_base is not None
        case = self._random.choice(FETCHED)
        self._hook(case, self._requests.fetched(case, self._fhir_base), kind="fetch")

    def feedback(self) -> None:
        """What a clinician made of some card, once more or for the first time; it snoozes nothing."""
        if not self._cards:
            self.prefetched()
            return
        card = self._random.choice(self._cards)
        self._say(card, self._random.choice((None, "benefit-judged-greater")), self._side())

    def set_aside(self) -> None:
        """A card set aside through one replica is silent at the other."""
        who, side = self._new(), self._side()
        request = self._requests.prefetched(LOW, who)
        cards = _cards(self._hook(LOW, request, side))
        if not cards:
            return
        receipt = self._say(cards[0], "already-evaluated", 1 - side)
        if receipt is None or receipt.get("unknownCards"):
            return  # not kept, or the card was not: whether it sleeps is open
        self._line.call(
            "view", 1 - side, _VIEW, request, cards=(), cards_if_forgotten=LOW.situations
        )

    def hostile(self) -> None:
        """A call that is none."""
        path, body, status = self._random.choice(_HOSTILE)
        self._line.call("hostile", self._side(), path, body, status=status)

    def discovery(self) -> None:
        """The services on offer."""
        self._line.call("discovery", self._side(), "/cds-services", None)

    def replay(self) -> None:
        """A token that was used at one replica is refused by the other."""
        side, token = self._side(), self._line.token("/cds-services")
        first = self._line.call("discovery", side, "/cds-services", None, token=token)
        if first is not None and first.status == 200:
            self._line.call("replay", 1 - side, "/cds-services", None, token=token, status=401)

    def stranger(self) -> None:
        """Somebody without a token, who is never let in."""
        self._line.call("stranger", self._side(), _VIEW, {}, token="", status=401)

    def _hook(
        self, case: Case, request: Json, side: int | None = None, kind: str = "view"
    ) -> Reply | None:
        path = f"/cds-services/low-alp-{case.hook}"
        side = self._side() if side is None else side
        return self._line.call(kind, side, path, request, cards=case.situations)

    def _say(self, card: Json, reason: str | None, side: int) -> Json | None:
        """Set a card aside. The receipt, where it was given."""
        comment = uuid4().hex
        said = overridden(card["uuid"], reason, TODAY, userComment=comment)
        path = f"{_VIEW}/feedback"
        reply = self._line.call("feedback", side, path, {"feedback": [said]}, comment=comment)
        return reply.body if reply is not None and reply.status == 200 else None

    def _new(self) -> str:
        return f"{self._name}-{next(self._number)}"

    def _side(self) -> int:
        return self._random.randrange(2)


def _cards(reply: Reply | None) -> list[Json]:
    if reply is None or reply.status != 200:
        return []
    cards: list[Json] = reply.body["cards"]
    return cards
