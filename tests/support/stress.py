"""Load and malice for journeys: clients in threads until they are told to stop, and crowds."""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

FULL = os.environ.get("MTLSEDGE_FUZZ") == "full"
"""Whether this run has the time for the real numbers."""


class Load:
    """Threads that do something again and again. A context manager; leaving it stops them.

    ``failures`` is what went wrong; a thread ends with its first. ``done`` counts by name.
    """

    def __init__(self, **work: Callable[[], object]) -> None:
        self.failures: list[str] = []
        self.done = dict.fromkeys(work, 0)
        self.longest = dict.fromkeys(work, 0.0)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=item, name=item[0]) for item in work.items()
        ]

    def _repeat(self, name: str, work: Callable[[], object]) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                work()
            except Exception as error:
                self.failures.append(f"{name}: {error!r}")
                return
            self.done[name] += 1
            self.longest[name] = max(self.longest[name], time.monotonic() - began)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        if error is None:
            assert [] == [thread.name for thread in self._threads if thread.is_alive()]


@contextmanager
def silent_clients(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many connections that say nothing. Those that the edge has cut meanwhile do not matter."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 15))
            for _ in range(count)
        ]


def close_all(socks: list[socket.socket]) -> None:
    """Close them now."""
    for sock in socks:
        with suppress(OSError):
            sock.close()


def open_descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def leave_descriptors(pid: int, room: int) -> None:
    """Let a process open ``room`` descriptors more, and no further one."""
    # The limit is on the number of a descriptor, so that gaps below count as room.
    used = {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}
    limit = 0
    while room:
        room -= limit not in used
        limit += 1
    while limit in used:
        limit += 1
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))
