"""What does an access log say? Its lines read back, rotated and compressed ones too."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from mtlsedge.errors import EdgeError

LONGEST_LINE = 1024 * 1024
"""Bytes. The edge writes none that comes near it."""

_GZIP = b"\x1f\x8b"
Line = dict[str, Any]


class UnreadableLog(EdgeError):
    """A log file that cannot be opened."""


@dataclass(slots=True)
class Reading:
    """How reading goes.

    Attributes:
        lines: that were read.
        damaged: that were no JSON object, or were cut short.
    """

    lines: int = 0
    damaged: int = 0


def with_rotated(log: Path) -> tuple[Path, ...]:
    """A log and what rotation made of it, the oldest first: ``access.jsonl.1``, ``.2.gz``, ``-*``.

    Raises:
        UnreadableLog: there is none of them.
    """
    try:
        kindred = [
            each
            for each in log.parent.iterdir()
            if each.name == log.name or each.name.startswith((f"{log.name}.", f"{log.name}-"))
        ]
        found = sorted((each for each in kindred if each.is_file()), key=_age)
    except OSError as error:
        raise UnreadableLog(f"{log.parent}: {error.strerror}") from error
    if not found:
        raise UnreadableLog(f"there is no {log}, nor one that was rotated")
    return tuple(found)


def read_logs(paths: Iterable[Path], reading: Reading) -> Iterator[Line]:
    """The lines of these files, in order; what is damaged is counted and left out.

    Raises:
        UnreadableLog: a file cannot be read.
    """
    for path in paths:
        try:
            with _opened(path) as file:
                yield from _lines(file, reading)
        except OSError as error:
            raise UnreadableLog(f"{path}: {error.strerror or error}") from error


def _lines(file: BinaryIO, reading: Reading) -> Iterator[Line]:
    while True:
        try:
            raw = file.readline(LONGEST_LINE)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            reading.damaged += 1  # what follows cannot be uncompressed
            return
        if not raw:
            return
        reading.lines += 1
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError):
            line = None
        if isinstance(line, dict):
            yield line
        else:
            reading.damaged += 1


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP
    return cast(BinaryIO, gzip.open(path) if compressed else path.open("rb"))


def _age(path: Path) -> tuple[float, str]:
    return path.stat().st_mtime, path.name
