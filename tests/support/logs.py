"""What a module has said in the log so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

from twisted.logger import LogEvent, eventAsText, globalLogPublisher


@contextmanager
def log_of(module: ModuleType) -> Iterator[Callable[[], list[str]]]:
    """Its lines since this was entered, whenever they are asked for."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(cast(Any, events.append))
    yield lambda: [
        eventAsText(each, includeTimestamp=False, includeSystem=False)
        for each in events
        if each.get("log_namespace") == module.__name__
    ]
    globalLogPublisher.removeObserver(cast(Any, events.append))
