"""Reading messages from a socket, by length, by mark, or in chunks. Shared by both ends."""

from __future__ import annotations

import time
from collections.abc import Callable

PIECE = 64 * 1024


class StreamEnded(Exception):
    """The peer closed in the middle of something."""


class ByteStream:
    """Bytes as they come from ``recv``; sleeps ``pause`` seconds before each read."""

    def __init__(self, recv: Callable[[int], bytes], pause: float = 0.0) -> None:
        self._recv = recv
        self._pause = pause
        self.buffer = bytearray()

    def more(self) -> bool:
        """Wait for at least one byte; False if the peer closed instead."""
        return bool(self.buffer) or self._fill()

    def some(self) -> bytes:
        """Whatever there is, or comes next; b"" at the end."""
        if not self.buffer and not self._fill():
            return b""
        taken = bytes(self.buffer)
        self.buffer.clear()
        return taken

    def until(self, mark: bytes) -> bytes:
        """Everything up to a mark, and with it."""
        while (end := self.buffer.find(mark)) < 0:
            self._need(f"{mark!r}")
        taken = bytes(self.buffer[: end + len(mark)])
        del self.buffer[: end + len(mark)]
        return taken

    def exactly(self, length: int, take: Callable[[bytes], object]) -> None:
        """Hand on exactly ``length`` bytes, piece by piece."""
        while length:
            if not self.buffer:
                self._need(f"{length} more bytes")
            piece = bytes(self.buffer[:length])
            del self.buffer[: len(piece)]
            length -= len(piece)
            take(piece)

    def chunked(self, take: Callable[[bytes], object]) -> bytes:
        """Hand on the data of a chunked body; the bytes of its trailer section come back."""
        while size := int(self.until(b"\r\n").split(b";")[0], 16):
            self.exactly(size, take)
            self.until(b"\r\n")
        trailers = bytearray()
        while (line := self.until(b"\r\n")) != b"\r\n":
            trailers += line
        return bytes(trailers)

    def rest(self, take: Callable[[bytes], object]) -> None:
        """Hand on everything until the peer closes."""
        while data := self.some():
            take(data)

    def _fill(self) -> bool:
        if self._pause:
            time.sleep(self._pause)
        data = self._recv(PIECE)
        self.buffer += data
        return bool(data)

    def _need(self, what: str) -> None:
        if not self._fill():
            raise StreamEnded(f"the peer closed before {what}; so far {bytes(self.buffer)!r}")
