"""What came of a command, whatever it measured: for people, for programs, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from perf.charts import Chart, Curves
from perf.stats import Spread


@dataclass(frozen=True, slots=True)
class Outcome:
    """``text`` is the table, ``said`` becomes JSON, ``problems`` make the exit status 1.

    ``ratios`` are the subject's to each peer (or of each configuration to the first one), and
    ``figure`` is the subject's own: what a target can be held against.
    """

    text: str
    said: dict[str, Any]
    charts: tuple[Chart | Curves, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    ratios: Mapping[str, Spread] = field(default_factory=dict)
    figure: Spread | None = None


def known(ratios: Mapping[str, Spread | None]) -> dict[str, Spread]:
    """Those that there are."""
    return {name: ratio for name, ratio in ratios.items() if ratio is not None}
