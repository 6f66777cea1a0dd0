"""What a worker logs, at its parent's."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from twisted.logger import (
    LogEvent,
    Logger,
    LogLevel,
    eventAsText,
    globalLogPublisher,
    textFileLogObserver,
)

from mtlsedge.workers.channel import LARGEST, Channel
from mtlsedge.workers.logs import LogTeller, repeat


class Wire:
    """Stands for a channel."""

    def __init__(self) -> None:
        self.waiting = 0
        self.sent: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        text = json.dumps(message)
        assert len(text) <= LARGEST
        self.sent.append(json.loads(text))


@pytest.fixture
def told() -> Iterator[list[LogEvent]]:
    """What the parent's observers see."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(cast(Any, events.append))
    yield events
    globalLogPublisher.removeObserver(cast(Any, events.append))


def over(wire: Wire) -> LogTeller:
    return LogTeller(cast(Channel, wire))


def test_an_event_keeps_its_time_level_and_name(told: list[LogEvent]) -> None:
    """And says whose it is."""
    wire = Wire()
    Logger(namespace="mtlsedge.x", observer=over(wire)).warn("{n} of them", n=3)
    repeat(7, wire.sent[0])
    (event,) = told
    assert "[worker 7] 3 of them" == eventAsText(event, includeTimestamp=False, includeSystem=False)
    assert (LogLevel.warn, "mtlsedge.x") == (event["log_level"], event["log_namespace"])
    assert wire.sent[0]["time"] == event["log_time"]


def test_a_failure_keeps_its_traceback(told: list[LogEvent]) -> None:
    """As one event, so that its lines stay together."""
    wire = Wire()
    try:
        raise ZeroDivisionError("on purpose")
    except ZeroDivisionError:
        Logger(observer=over(wire)).failure("it failed")
    repeat(0, wire.sent[0])
    assert LogLevel.critical is told[0]["log_level"]
    assert "ZeroDivisionError: on purpose" in eventAsText(told[0])


def test_braces_and_controls_in_a_text_are_only_text(told: list[LogEvent]) -> None:
    """Nothing that a worker sends is formatted again."""
    wire = Wire()
    Logger(observer=over(wire)).info("{text}", text="{log_source} {worker} \x1b[0m %s")
    repeat(1, wire.sent[0])
    text = eventAsText(told[0], includeTimestamp=False, includeSystem=False)
    assert "[worker 1] {log_source} {worker} \x1b[0m %s" == text


def test_a_parent_that_is_too_slow_costs_lines_and_not_time(told: list[LogEvent]) -> None:
    """They are counted, and the count is told with the next one."""
    wire = Wire()
    log = Logger(observer=over(wire))
    wire.waiting = 1 << 24
    for _ in range(5):
        log.info("lost")
    wire.waiting = 0
    log.info("kept")
    log.info("kept, too")
    assert ["kept", "kept, too"] == [each["text"] for each in wire.sent]
    repeat(0, wire.sent[0])
    repeat(0, wire.sent[1])
    assert "[worker 0] kept (before it, 5 events of this worker were lost)" in eventAsText(told[0])
    assert "lost" not in eventAsText(told[1])


def test_an_event_without_end_is_cut() -> None:
    """To what fits into a packet, whatever its letters."""
    wire = Wire()
    Logger(observer=over(wire)).info("{text}", text="\U0001f600" * 1_000_000)
    assert wire.sent[0]["text"].endswith("\u2026")


@pytest.mark.parametrize(
    "message",
    [{}, {"level": "loud", "time": "now", "from": 3}, {"text": ["a"], "dropped": "x"}],
    ids=str,
)
def test_whatever_a_worker_sends_is_logged_as_text(
    told: list[LogEvent], message: dict[str, Any]
) -> None:
    """A worker is the one process that meets clients: its word is not taken for more."""
    repeat(0, message)
    assert "[worker 0]" in eventAsText(told[0])


@pytest.mark.parametrize("time", ["NaN", "Infinity", "1e300", "-1.0", '"now"', "null"])
def test_a_time_that_is_none_costs_no_line(time: str) -> None:
    """Observers that write times fail over such a one, and the line would be lost."""
    file = io.StringIO()
    message = json.loads(f'{{"time": {time}, "level": "info", "text": "of a worker"}}')
    observer = textFileLogObserver(file)
    globalLogPublisher.addObserver(observer)
    repeat(3, message)
    globalLogPublisher.removeObserver(observer)
    (line,) = file.getvalue().splitlines()
    assert line.endswith("[worker 3] of a worker")
