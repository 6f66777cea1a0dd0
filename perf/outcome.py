"""What came of a command, whatever it measured: for people, for programs, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perf.charts import Chart


@dataclass(frozen=True, slots=True)
class Outcome:
    """``text`` is the table, ``said`` becomes JSON, ``problems`` make the exit status 1."""

    text: str
    said: dict[str, Any]
    charts: tuple[Chart, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
