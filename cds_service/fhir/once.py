"""What is worked out once for one record: charts repeat the same codes on nearly every line."""

from collections.abc import Callable
from typing import TypeVar

_Question = TypeVar("_Question")
_Answer = TypeVar("_Answer")


class Once(dict[_Question, _Answer]):
    """Answers by question. One record's answers end with it: nothing of a patient is kept longer.

    `answer` is not to lead back to whoever holds this, or the garbage collector has to find both.
    """

    def __init__(self, answer: Callable[[_Question], _Answer]) -> None:
        self._answer = answer

    def __missing__(self, question: _Question) -> _Answer:
        answer = self[question] = self._answer(question)
        return answer
