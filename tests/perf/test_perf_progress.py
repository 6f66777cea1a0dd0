"""Progress: how much is done, how long the rest takes, and silence where nobody watches."""

from __future__ import annotations

import io

from perf.progress import Progress, duration, progress_on


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_rest_is_estimated_from_what_is_done() -> None:
    """Two of five steps in 8 s: 12 s are left."""
    said: list[str] = []
    now = [100.0]
    progress = Progress(said.append, lambda: now[0])
    progress.begin(5)
    for _ in range(2):
        now[0] += 4
        progress.step("round")
    assert ["[1/5, 16 s left]  round", "[2/5, 12 s left]  round"] == said


def test_minutes_are_told_as_minutes() -> None:
    """From one on."""
    assert ("59 s", "1:00 min", "12:05 min") == (duration(59), duration(60), duration(725))


def test_nothing_is_said_where_there_is_no_terminal_unless_asked_for() -> None:
    """One line that is written over on a terminal; whole lines on request."""
    quiet, asked, terminal = io.StringIO(), io.StringIO(), _Terminal()
    for stream, style in ((quiet, "auto"), (asked, "lines"), (terminal, "auto")):
        progress = progress_on(stream, style)  # type: ignore[arg-type]
        progress.say("one")
        progress.say("two")
        progress.end()
    assert "" == quiet.getvalue()
    assert "one\ntwo\n" == asked.getvalue()
    assert "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K" == terminal.getvalue()
