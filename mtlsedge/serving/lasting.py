"""What does a process keep through all its configurations, and hand to the workers it forks?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mtlsedge.model import Configuration
from mtlsedge.session.keys import KeyRing
from mtlsedge.tls.lobby import Lobby

_MARGIN = 86400.0  # seconds that an old key outlives the longest session it signed
_DAYS = 400  # of ticket keys that workers have in common: 8 MB, once


@dataclass(frozen=True, slots=True)
class Lasting:
    """The keys of an edge.

    Attributes:
        now: the wall clock, in seconds since the epoch.
        ring: signs tokens. Processes agree on it through its file.
        lobby: has the keys of TLS session tickets. Processes agree on it by descent.
    """

    now: Callable[[], float]
    ring: KeyRing
    lobby: Lobby

    def turn(self) -> None:
        """Go on to the next keys where it is time. To be called every minute or so."""
        self.ring.rotate_if_due()
        self.lobby.turn_if_due()


def open_lasting(configuration: Configuration, now: Callable[[], float], workers: int) -> Lasting:
    """What an edge of so many workers needs to begin.

    Raises:
        EdgeError: the token-signing keys cannot be read, made or trusted.
    """
    edge = configuration.edge
    longest = max((app.session_duration for app in configuration.applications), default=0.0)
    ring = KeyRing.open(edge.state, now, edge.key_rotation, longest + _MARGIN)
    return Lasting(now, ring, Lobby(now, _DAYS if workers > 1 else 1))
