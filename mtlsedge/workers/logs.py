"""Where does a worker's log go? To the parent, which writes all logs.

Two processes that wrote twistd's log file would lose lines whenever it is rotated. So a worker
tells its events to the parent, whose own observers (a file, standard output, syslog) take them.
A parent that is too slow never stops a worker: then lines are dropped, and counted.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText, globalLogPublisher
from twisted.python.logfile import BaseLogFile
from zope.interface import implementer

from mtlsedge.workers.channel import Channel, Message

_LONGEST = 10_000  # characters of one event: twelve times as many bytes in JSON, at most
_MOST_WAITING = 1024 * 1024  # bytes in the channel's queue
_END_OF_TIME = 2.0**33  # seconds since the epoch; of a time that is none, observers lose the line


@implementer(ILogObserver)
class LogTeller:
    """A log observer that tells events to the parent.

    Attributes:
        dropped: events that were lost since the last one that was told.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.dropped = 0

    def __call__(self, event: LogEvent) -> None:
        if self._channel.waiting > _MOST_WAITING:
            self.dropped += 1
            return
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        if not text:
            return
        level = event.get("log_level") or LogLevel.info
        message = {
            "type": "log",
            "time": event.get("log_time"),
            "level": level.name,
            "from": str(event.get("log_namespace", ""))[:200],
            "text": text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\u2026",
            "dropped": self.dropped,
        }
        self.dropped = 0
        self._channel.send(message)


def leave_the_log() -> None:
    """In a process that was just forked: write no more where the parent writes."""
    for observer in list(globalLogPublisher._observers):
        globalLogPublisher.removeObserver(observer)
        file = getattr(observer, "_outFile", None)
        if isinstance(file, BaseLogFile):
            file.close()  # or a file that was rotated away takes space for as long as we live


def repeat(number: int, message: Message) -> None:
    """Log what a worker told, as of its own time.

    Whatever a worker sends is taken for text, never for more.
    """
    time, level = message.get("time"), str(message.get("level"))
    event: dict[str, Any] = {
        "log_format": "[worker {worker}] {text}",
        "log_namespace": str(message.get("from")),
        "log_level": _LEVELS.get(level, LogLevel.warn),
        "worker": number,
        "text": str(message.get("text")),
    }
    if isinstance(time, float) and 0.0 <= time < _END_OF_TIME:
        event["log_time"] = time
    dropped = message.get("dropped")
    if dropped:
        event["text"] += f" (before it, {dropped} events of this worker were lost)"
    globalLogPublisher(event)


_LEVELS = {level.name: level for level in LogLevel.iterconstants()}
