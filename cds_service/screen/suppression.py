"""Small counts are not shown, nor another one from which they could be worked out."""

from collections.abc import Sequence


def shown(counts: Sequence[int], below: int) -> list[int | None]:
    """The counts of one column, None where one is not shown.

    Where a single count is too small, the smallest other one goes with it: from a total the one
    could be worked out.
    """
    small = [0 < count < below for count in counts]
    if sum(small) == 1:
        others = [(count, n) for n, count in enumerate(counts) if count and not small[n]]
        if others:
            small[min(others)[1]] = True
    return [None if hidden else count for count, hidden in zip(counts, small, strict=True)]


def per_thousand(count: int | None, of: int) -> float | None:
    """A rate with two decimals; None where the count is not shown or there is nobody to count in."""
    return None if count is None or of == 0 else round(1000 * count / of, 2)
