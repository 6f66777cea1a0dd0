"""Which figure stands for many? Medians, percentiles, and ratios taken round by round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


def percentile(ordered: Sequence[int], share: float) -> int:
    """The nearest-rank percentile of values in ascending order; 0 of none."""
    if not ordered:
        return 0
    rank = -(-len(ordered) * share // 1)  # the ceiling, without a float's surprise at 1.0
    return ordered[min(len(ordered), max(1, int(rank))) - 1]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some figures and how far they lie apart."""

    median: float
    low: float
    high: float
    count: int


def spread(figures: Sequence[float]) -> Spread | None:
    """Median, least and greatest; None of nothing."""
    if not figures:
        return None
    return Spread(median(figures), min(figures), max(figures), len(figures))


def ratios(ours: Sequence[float | None], theirs: Sequence[float | None]) -> list[float]:
    """Ours by theirs in each round where both are known.

    Neighbours in time saw the same machine, so its moods cancel out; a ratio of two medians
    would compare one server's good rounds with another's bad ones.
    """
    return [ratio for ratio in by_round(ours, theirs) if ratio is not None]


def by_round(ours: Sequence[float | None], theirs: Sequence[float | None]) -> list[float | None]:
    """The same with None for a round in which one of the two is not known."""
    return [
        mine / other if mine is not None and other else None
        for mine, other in zip(ours, theirs, strict=True)
    ]


def in_words(ratio: Spread, form: str = ".2f") -> str:
    """``1.02 (0.99..1.05)``, in columns."""
    return f"{ratio.median:6{form}}  ({ratio.low:{form}}..{ratio.high:{form}})"


def in_rounds(figures: Sequence[float | None], form: str = ".2f") -> str:
    """Every round's figure, ``-`` where there is none."""
    return " ".join("-" if figure is None else format(figure, form) for figure in figures)
