"""When has a file changed? A watch that looks several times a second.

It looks, and does not wait to be told, because that works wherever the file is: on network file
systems, in bind mounts, behind the symbolic links that orchestrators swap.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_log = Logger()

INTERVAL = 0.25
"""Seconds between two looks: a change is noticed after one of them, or two where it was made
in place."""

_Stamp = tuple[int, int, int, int]


@dataclass(slots=True)
class _Watched:
    path: Path
    digest: bytes  # of the content that was told last
    stamp: _Stamp | None = None  # of the file when it was read here
    seen: _Stamp | None = None  # of a file that is being written just now
    trouble: str = ""  # why it cannot be read, as far as that was told


class FileWatch:
    """Watches files for those who hold their content already.

    A file that was renamed into another's place is read at once. One that is written in place, or
    of which nobody knows, is read when it has stood still from one look to the next, and never
    while it changes.

    Args:
        clock: when to look.
        changed: told the path and the whole content, whenever that is another than before, or is
            there again after trouble.
        troubled: told the path and why it cannot be read, once for each reason; what was told
            before is then still the last word.
        most: bytes; a longer file is trouble.
    """

    def __init__(
        self,
        clock: IReactorTime,
        changed: Callable[[Path, bytes], None],
        troubled: Callable[[Path, str], None],
        most: int,
    ) -> None:
        self._changed = changed
        self._troubled = troubled
        self._most = most
        self._watched: dict[Path, _Watched] = {}
        self._looking = LoopingCall(self.look)
        self._looking.clock = clock

    def watch(self, files: Mapping[Path, bytes]) -> None:
        """Watch these files and no others; what they held when somebody read them is known."""
        self._watched = {
            path: _Watched(path, sha256(content).digest()) for path, content in files.items()
        }
        if self._watched and not self._looking.running:
            self._looking.start(INTERVAL, now=False)
        elif not self._watched:
            self.stop()

    def stop(self) -> None:
        """Look no more."""
        if self._looking.running:
            self._looking.stop()

    def look(self) -> None:
        """Look at each file once."""
        for watched in list(self._watched.values()):
            try:
                self._look_at(watched)
            except OSError as error:
                watched.stamp = watched.seen = None  # what comes in its place may have its inode
                self._tell(watched, error.strerror or str(error))
            except Exception:
                _log.failure("what follows a change of {path} failed", path=str(watched.path))

    def _look_at(self, watched: _Watched) -> None:
        stamp = _stamp(os.stat(watched.path))
        if stamp == watched.stamp:
            return
        known = watched.stamp or watched.seen
        in_place = known is None or known[:2] == stamp[:2]
        if in_place and stamp != watched.seen:
            watched.seen = stamp  # it may not be whole yet
            return
        self._read(watched)

    def _read(self, watched: _Watched) -> None:
        with open(watched.path, "rb", opener=_without_waiting) as file:
            before = _stamp(os.fstat(file.fileno()))
            content = file.read(self._most + 1)
            after = _stamp(os.fstat(file.fileno()))
        watched.stamp = watched.seen = after
        if before != after:
            watched.stamp = (*after[:3], -1)  # look again
            return
        if len(content) > self._most:
            self._tell(watched, f"it has more than {self._most} bytes")
            return
        recovered, watched.trouble = watched.trouble, ""
        digest = sha256(content).digest()
        if digest != watched.digest or recovered:
            watched.digest = digest
            self._changed(watched.path, content)

    def _tell(self, watched: _Watched, trouble: str) -> None:
        if trouble != watched.trouble:
            watched.trouble = trouble
            self._troubled(watched.path, trouble)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a FIFO that nobody writes to would keep everybody waiting."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


def _stamp(status: Any) -> _Stamp:
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is not a regular file")
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
