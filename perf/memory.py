"""How much memory do a server's processes hold, as the kernel counts it?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r"^(Rss|Pss):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes. A page that processes share counts once in ``pss``, and in ``rss`` for each."""

    rss: int
    pss: int


def usage(pids: tuple[int, ...]) -> Usage:
    """What these processes hold now (``smaps_rollup`` of proc(5)). Sockets' buffers are not in it.

    Raises:
        ProcessLookupError: one of them is gone.
        OSError: they are not ours to look at.
    """
    found = [_of(pid) for pid in pids]
    return Usage(sum(one.rss for one in found), sum(one.pss for one in found))


def parse(rollup: str) -> Usage:
    """The sums of one ``smaps_rollup``; a ``KeyError`` where a sum is missing."""
    figures = {match[1]: int(match[2]) * 1024 for match in _LINE.finditer(rollup)}
    return Usage(figures["Rss"], figures["Pss"])


def _of(pid: int) -> Usage:
    try:
        return parse(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except FileNotFoundError as error:
        raise ProcessLookupError(f"process {pid} is gone") from error
