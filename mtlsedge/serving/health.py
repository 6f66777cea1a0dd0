"""How is the edge, and what ends soon? Said in the log at start, at each reload, and daily.

Between that, whatever gets worse is said within a minute: a list whose successor has not come, a
certificate whose last days begin. Only the process that reads the lists says so, not its workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from typing import Any, Protocol

from twisted.internet.task import LoopingCall
from twisted.logger import Logger, LogLevel

from mtlsedge.model import Configuration
from mtlsedge.serving.endings import Ending, endings
from mtlsedge.serving.notices import DAY, Today
from mtlsedge.serving.words import crl_line, crl_summary
from mtlsedge.trust.crl_health import CrlHealth

_log = Logger()

_EVERY = 60.0  # seconds
_MARGIN = 1.0  # seconds, by which a moment is over however it was rounded
_FEW = 20  # lists, of which each has its line also where all is well
_MOST = 10_000  # warnings a day

_LEVELS = {
    "good": LogLevel.info,
    "ending": LogLevel.warn,
    "failing": LogLevel.warn,
    "unusable": LogLevel.error,
}


class InForce(Protocol):
    """What is looked at; ``serving.process.Serving`` is one."""

    configuration: Configuration

    @property
    def list_changes(self) -> int:
        """How often a list was replaced, or could not be."""

    def health(self, now: float) -> tuple[CrlHealth, ...]:
        """The condition of every list."""

    def troubles(self) -> list[str]:
        """What is wrong with the lists, in words."""


class Health:
    """Looks after what ends.

    Args:
        serving: the configuration and the lists in force.
        errors: why places of lists could not be read lately, by place.
        clock: the reactor.
        now: the wall clock, in seconds since the epoch.
    """

    def __init__(
        self,
        serving: InForce,
        errors: Callable[[], Mapping[str, str]],
        clock: Any,
        now: Callable[[], float],
    ) -> None:
        self._serving = serving
        self._errors = errors
        self._now = now
        self._day = 0.0
        self._wake = inf
        self._changes = 0
        self._endings: tuple[Ending, ...] = ()
        self._said = Today(now, _MOST)
        self._looking = LoopingCall(self._look_safely)
        self._looking.clock = clock

    def start(self) -> None:
        """Begin, with what there is to say now."""
        self.renew()
        self._looking.start(_EVERY, now=False)

    def stop(self) -> None:
        """End."""
        if self._looking.running:
            self._looking.stop()

    def renew(self) -> None:
        """Another configuration is in force, whose own warnings were just logged."""
        now = self._now()
        self._endings = endings(self._serving.configuration)
        for ending in self._endings:
            if ending.is_near(now):
                self._said.admits(ending.words(now))  # those warnings have said it
        self._report(now)

    def look(self) -> None:
        """Say what is new since the last look; everything, on a new day."""
        now = self._now()
        if now // DAY != self._day:
            self._report(now)
        elif now >= self._wake + _MARGIN or self._serving.list_changes != self._changes:
            self._warn(now)

    def _look_safely(self) -> None:
        try:
            self.look()
        except Exception:
            _log.failure("looking at what ends failed")

    def _report(self, now: float) -> None:
        self._day = now // DAY
        healths = self._health(now)
        for health in healths:
            if len(healths) <= _FEW or health.state != "good":
                _log.emit(_LEVELS[health.state], "{line}", line=crl_line(health))
        if healths:
            _log.info("{line}", line=crl_summary(healths))
        self._warn(now)

    def _warn(self, now: float) -> None:
        """What is wrong or soon will be, each once a day."""
        self._changes = self._serving.list_changes
        near = [ending.words(now) for ending in self._endings if ending.is_near(now)]
        for warning in (*self._serving.troubles(), *near):
            if self._said.admits(warning):
                _log.warn("{warning}", warning=warning)
        changes = [ending.next_change(now) for ending in self._endings]
        changes += [health.next_change(now) for health in self._serving.health(now)]
        self._wake = min(changes, default=inf)

    def _health(self, now: float) -> list[CrlHealth]:
        errors = self._errors()
        return [_with(health, errors.get(health.place, "")) for health in self._serving.health(now)]


def _with(health: CrlHealth, error: str) -> CrlHealth:
    if not error or error in health.error:
        return health
    return replace(health, error="; ".join(filter(None, (health.error, error))))
