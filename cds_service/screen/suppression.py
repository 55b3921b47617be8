"""Small counts are not shown, nor others from which they could be worked out."""

from collections.abc import Sequence


def shown(counts: Sequence[int], below: int, *, fewest: int = 2) -> list[int | None]:
    """The counts of one column, whose sum may be known; None where one is not shown.

    Where one is too small, the smallest others go with it, until `fewest` are hidden that together
    are not small: less than that could be worked out from the sum.
    """
    hidden = {n for n, count in enumerate(counts) if 0 < count < below}
    others = sorted((count, n) for n, count in enumerate(counts) if count and n not in hidden)
    for _, n in others if hidden else ():
        if len(hidden) >= fewest and sum(counts[h] for h in hidden) >= below:
            break
        hidden.add(n)
    return [None if n in hidden else count for n, count in enumerate(counts)]


def alone(count: int, below: int) -> int | None:
    """A number by itself; None where it is too small."""
    return None if 0 < count < below else count


def within(total: int | None, counts: Sequence[int], below: int) -> list[int | None]:
    """The parts of a total: none is shown where the total is not."""
    return shown(counts, below) if total is not None else [None if c else 0 for c in counts]


def together(counts: Sequence[int | None]) -> int | None:
    """The sum of what is shown; None where a part is not, so that it gives nothing away."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def per_thousand(count: int | None, of: int) -> float | None:
    """A rate with two decimals; None where the count is not shown or there is nobody to count in."""
    return None if count is None or of == 0 else round(1000 * count / of, 2)
