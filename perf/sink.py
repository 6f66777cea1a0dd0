"""The origin for uploads: how many bytes came, and were they the right ones?

``python -m perf.sink PORT`` answers every request ``ok``, a body only after its last byte, and
one that is not the bulk content word for word with 400. Of a request's fields only
``Content-Length`` and ``Connection: close`` are understood.
"""

from __future__ import annotations

import re
import selectors
import socket
import sys

from perf.bulk import MOST_PIECE, PERIOD, Check, content

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


def answer(status: str, body: bytes) -> bytes:
    """One whole response."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


class Reader:
    """One connection's requests, one after the other; ``last``: it ends with this one's answer."""

    def __init__(self, expected: bytes) -> None:
        self._expected = expected
        self._head = b""
        self._left = 0
        self._check = Check(expected, PERIOD)
        self._same = True
        self.last = False

    def feed(self, piece: bytes) -> bytes:
        """Take what arrived; what there is to answer now."""
        if not self._left:
            self._head += piece
            head, blank, piece = self._head.partition(b"\r\n\r\n")
            if not blank:
                return b""
            self._head = b""
            if _CHUNKED.search(head + b"\r\n"):
                return answer("411 Length Required", b"say Content-Length\n")
            self.last = _CLOSE.search(head + b"\r\n") is not None
            length = _LENGTH.search(head + b"\r\n")
            self._left = int(length[1]) if length else 0
            self._check, self._same = Check(self._expected, PERIOD), True
        if len(piece) > self._left:
            return answer("400 Bad Request", b"more than was said\n")
        self._left -= len(piece)
        self._same = self._same and self._check.take(piece)
        if self._left:
            return b""
        return answer("200 OK", b"ok\n") if self._same else answer("400 Bad Request", b"other\n")


def serve(listener: socket.socket) -> None:
    """Serve for ever."""
    expected = content()
    ready = selectors.DefaultSelector()
    ready.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, _ in ready.select():
            if key.data is None:
                accepted, _ = listener.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                ready.register(accepted, selectors.EVENT_READ, Reader(expected))
            elif not _turn(key):
                ready.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]


def _turn(key: selectors.SelectorKey) -> bool:
    connection = key.fileobj
    assert isinstance(connection, socket.socket)
    try:
        piece = connection.recv(MOST_PIECE)
        said = key.data.feed(piece)
        if said:
            connection.sendall(said)
            return not key.data.last
    except OSError:
        return False
    return bool(piece)


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024) as opened:
        serve(opened)
