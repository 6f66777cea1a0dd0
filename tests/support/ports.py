"""Free ports, and who listens on them, without knocking; and how long is waited for anything."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

_LISTEN = "0A"
_LOWEST, _HIGHEST = 20_000, 32_000  # below what kernels give to whoever asks for any port
_PATIENCE = 4


def free_port() -> int:
    """A TCP port of the loopback interface that nobody uses, or has been given before.

    No client and no listener that asks for just any port gets it before it is bound.
    """
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


def _all_once() -> Iterator[int]:
    """Every port, beginning anywhere: another run of the tests may be under way."""
    start, number = random.randrange(_HIGHEST), _HIGHEST - _LOWEST
    yield from (_LOWEST + (start + offset) % number for offset in range(number))


_ports = _all_once()


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

    ``timeout`` is of a machine that has the time; on any other it may take several times as
    long, which costs nothing where it does not. A promise that something happens in time is
    not proved by waiting for it.

    Raises:
        TimeoutError: it was not, within ``timeout`` seconds; the message names ``what``.
    """
    timeout *= _PATIENCE
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout} s for {what}")
        time.sleep(0.02)
