"""Free ports, and who listens on them, without knocking."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

_LISTEN = "0A"


def free_port() -> int:
    """A TCP port of the loopback interface that nobody used a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Whether some process listens on this port, read from the kernel's table.

    No connection is made: it would be in the log of what is tested.
    """
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, _, state = line.split()[:4]
            if state == _LISTEN and int(local.rpartition(":")[2], 16) == port:
                return True
    return False


def wait_until(condition: Callable[[], object], timeout: float, what: str) -> None:
    """Poll until the condition is true.

    Raises:
        TimeoutError: it was not, within ``timeout`` seconds; the message names ``what``.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout} s for {what}")
        time.sleep(0.02)
