"""Parts of an assessment that are worked out when a rule first asks for them."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

_Value = TypeVar("_Value")


class once(Generic[_Value]):
    """A property that is worked out once. It takes no lock: an assessment belongs to one call.

    `functools.cached_property` takes one before Python 3.12, which costs more than most parts do.
    """

    def __init__(self, work_out: Callable[[Any], _Value]) -> None:
        self._work_out = work_out
        self._name = work_out.__name__
        self.__doc__ = work_out.__doc__

    def __get__(self, part: object, owner: type) -> _Value:
        value = part.__dict__[self._name] = self._work_out(part)
        return value
