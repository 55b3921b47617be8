"""The report for a quality committee: cards shown, what clinicians made of them, and a forecast of them."""

from collections.abc import Mapping, Sequence

import msgspec

from cds_service.html_report import Cell

CAUTION = (
    "A card that went out may not have been displayed, and not every record system sends feedback:"
    " “no answer” is not “not read”. A card set aside may have been right, and one taken may have been"
    " wrong. No clinician has signed the model off."
)


class Plot(msgspec.Struct, frozen=True):
    """A bar chart: one bar a label, one colour a series."""

    labels: Sequence[str]
    series: Sequence[tuple[str, Sequence[float | None]]]
    upright: bool = False
    counts: str = "cards"
    stacked: bool = True
    """Otherwise the series stand side by side."""


class Section(msgspec.Struct, frozen=True):
    """One question and its answer: a sentence, a table, and mostly a plot of the same numbers."""

    key: str
    title: str
    text: str
    head: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    plot: Plot | None = None
    ids: Sequence[str] = ()
    """Slug or code of each row, for machines; empty where the row says it itself."""
    machine_rows: Sequence[Mapping[str, Cell]] = ()
    """What machines get instead of the rows, where those are put together for reading."""


class Report(msgspec.Struct, frozen=True):
    """The whole report, in no form yet."""

    title: str
    period: str
    summary: str
    sections: Sequence[Section]
    caution: str = CAUTION
    without_cards: bool = False
    """The summary has said so already: sections without rows need not say it again."""

    def to_read(self) -> Sequence[Section]:
        """The sections for people."""
        return [s for s in self.sections if s.rows or not self.without_cards]
