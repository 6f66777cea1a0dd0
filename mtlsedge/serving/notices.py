"""What was said today already? Client certificates that end soon are told once a day each.

A certificate may be seen by every worker, a thousand times an hour, and there may be any number
of them: what is kept of each is its fingerprint, until the day (UTC) is over, and of so many only.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from mtlsedge.identity import Identity
from mtlsedge.serving.endings import last_days
from mtlsedge.serving.words import client_line, printable

_log = Logger()

DAY = 86400.0
MOST_CLIENTS = 1000
"""Client certificates that are told in one day, each in a line."""

_LONGEST = 4000  # characters

Tell = Callable[[str, str], None]
"""Told a key, and the line that may be said once a day under this key."""


class Today:
    """Keys, each of which counts once a day.

    Args:
        now: the wall clock, in seconds since the epoch.
        most: keys in one day; what comes after them does not count at all.
    """

    def __init__(self, now: Callable[[], float], most: int) -> None:
        self._now = now
        self._most = most
        self._day = 0.0
        self._keys: set[str] = set()

    def admits(self, key: str) -> bool:
        """Whether this is the first time today; from now on it is not."""
        day = self._now() // DAY
        if day != self._day:
            self._day = day
            self._keys.clear()
        if key in self._keys or len(self._keys) >= self._most:
            return False
        self._keys.add(key)
        return True

    def __len__(self) -> int:
        """How many counted today."""
        return len(self._keys)


class ClientNotices:
    """Writes into the log what all processes have seen, each thing once a day."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._today = Today(now, MOST_CLIENTS + 1)

    def tell(self, key: str, text: str) -> None:
        """Log a line, unless this key had one today."""
        if not self._today.admits(key):
            return
        if len(self._today) <= MOST_CLIENTS:
            _log.warn("{text}", text=printable(text, _LONGEST))
        else:
            _log.warn(
                "client certificates end soon: {number} were named today; further ones are not",
                number=MOST_CLIENTS,
            )


class ClientWatch:
    """Notices which clients of this process have a certificate that ends soon.

    Args:
        now: the wall clock, in seconds since the epoch.
        tell: hears of each at least once a day.
    """

    def __init__(self, now: Callable[[], float], tell: Tell) -> None:
        self._now = now
        self._tell = tell
        self._today = Today(now, MOST_CLIENTS + 1)

    def seen(self, identity: Identity, server_name: str) -> None:
        """A client has come, or is here still."""
        if not identity.verified or identity.chain is None:
            return
        leaf, now = identity.chain.leaf, self._now()
        near = now >= last_days(leaf.not_before, leaf.not_after)
        if near and self._today.admits(leaf.fingerprint_sha256):
            self._tell(leaf.fingerprint_sha256, client_line(identity, server_name, now))
