"""How is a file that the operator named read, without hanging on it or drowning in it?"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

MOST = 64 * 1024 * 1024
"""Bytes that a certificate, key or configuration file may have."""

MOST_CRL = 256 * 1024 * 1024
"""Bytes that a CRL file may have; one of a million entries has about forty million."""


class Unreadable(Exception):
    """A file that cannot be taken; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file as it was at one moment; ``mode`` has its permission bits."""

    path: Path
    data: bytes = field(repr=False)
    mode: int = 0

    @property
    def exposed(self) -> bool:
        """Whether others than the file's owner may read it."""
        return bool(self.mode & (stat.S_IRGRP | stat.S_IROTH))


def read_regular(path: Path, most: int = MOST) -> FileContent:
    """Read a regular file of at most ``most`` bytes.

    Raises:
        Unreadable: it is not there, not to be read, not a regular file, or too long.
    """
    try:
        status, data = _read(path, most)
    except OSError as error:
        raise Unreadable(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise Unreadable(f"{str(path)!r} cannot be a file's path: {error}") from error
    if len(data) > most:
        raise Unreadable(f"{path} is longer than {most // 2**20} MiB")
    return FileContent(path, data, stat.S_IMODE(status.st_mode))


def _read(path: Path, most: int) -> tuple[os.stat_result, bytes]:
    # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(f"{path} is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            return status, file.read(most + 1)
    finally:
        os.close(descriptor)


class Files:
    """Every file is read once in one loading, however many hosts name it."""

    __slots__ = ("_contents",)

    def __init__(self) -> None:
        self._contents: dict[Path, FileContent] = {}

    def read(self, path: Path, most: int = MOST) -> FileContent:
        """As ``read_regular``; the second time from memory."""
        content = self._contents.get(path)
        if content is None:
            content = self._contents[path] = read_regular(path, most)
        return content
