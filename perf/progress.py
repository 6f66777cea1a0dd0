"""How far is it? One line that renews itself on a terminal, plain lines on request, or none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, TextIO

Style = Literal["auto", "lines", "off"]


class Progress:
    """Says what is done, of how much, and about how long the rest takes. By itself it is quiet."""

    def __init__(
        self, write: Callable[[str], None] | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        self._write = write or _quiet
        self._clock = clock or time.monotonic
        self._total = self._done = 0
        self._begun = 0.0

    def say(self, line: str) -> None:
        """Something that happened once."""
        self._write(line)

    def begin(self, total: int) -> None:
        """So many steps follow, each about as long as the others."""
        self._total, self._done, self._begun = total, 0, self._clock()

    def step(self, line: str) -> None:
        """One of them is done."""
        self._done += 1
        each = (self._clock() - self._begun) / self._done
        left = each * max(0, self._total - self._done)
        self._write(f"[{self._done}/{self._total}, {duration(left)} left]  {line}")

    def end(self) -> None:
        """Nothing more will be said."""
        self._write("")


def progress_on(stream: TextIO, style: Style = "auto") -> Progress:
    """``auto``: on a terminal one line that is written over, and elsewhere nothing."""
    if style == "off" or (style == "auto" and not stream.isatty()):
        return Progress()
    if style == "lines":
        return Progress(lambda line: _line(stream, line))
    return Progress(lambda line: _over(stream, line))


def duration(seconds: float) -> str:
    """``42 s``, ``3:05 min``."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02} min"


def _quiet(line: str) -> None:
    pass


def _line(stream: TextIO, line: str) -> None:
    if line:
        print(line, file=stream, flush=True)


def _over(stream: TextIO, line: str) -> None:
    # Back to the line's beginning, and clear to its end (ECMA-48 EL).
    print(f"\r\x1b[K{line[:110]}", end="", file=stream, flush=True)
