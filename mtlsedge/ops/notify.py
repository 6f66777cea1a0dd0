"""Does the service manager know how we are? systemd's notification protocol, sd_notify(3).

Without ``$NOTIFY_SOCKET`` nobody asked, and nothing is said. A manager that does not listen is
no reason to fail.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from time import CLOCK_MONOTONIC, clock_gettime_ns


class Notifier:
    """Tells the service manager what state the edge is in.

    Made before a chroot, while the socket can be reached.

    Attributes:
        watched: seconds after which the manager takes silence for a failure (see ``alive``); 0
            if it does not (``WATCHDOG_USEC``, sd_watchdog_enabled(3)).
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._socket: socket.socket | None = None
        self.watched = _watched(environment)
        address = environment.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            sock.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
        except OSError:
            sock.close()
            return
        sock.setblocking(False)
        self._socket = sock

    def ready(self) -> None:
        """It serves, for the first time or after a reload."""
        self._say("READY=1")

    def reloading(self) -> None:
        """It reads its configuration again."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={clock_gettime_ns(CLOCK_MONOTONIC) // 1000}")

    def alive(self) -> None:
        """It still turns."""
        self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """It ends."""
        self._say("STOPPING=1")

    def _say(self, what: str) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.send(what.encode("ascii"))


def _watched(environment: Mapping[str, str]) -> float:
    whom = environment.get("WATCHDOG_PID", "")
    microseconds = environment.get("WATCHDOG_USEC", "")
    if whom not in ("", str(os.getpid())) or not (
        microseconds.isascii() and microseconds.isdigit()
    ):
        return 0.0
    return int(microseconds) / 1e6
