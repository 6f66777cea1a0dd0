"""An origin that follows a script for each connection: for what a single `Answer` cannot say."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from support.ports import wait_until
from support.stream import ByteStream, StreamEnded


class Line:
    """One connection at the origin's end; ``number`` counts from 1, ``heads`` what was read."""

    def __init__(self, sock: socket.socket, number: int, origin: ScriptedOrigin) -> None:
        self.sock = sock
        self.number = number
        self.heads = 0
        self.stream = ByteStream(sock.recv)
        self._origin = origin

    def head(self) -> bytes:
        """Read one request head and note it in the origin's ``heads``."""
        head = self.stream.until(b"\r\n\r\n")
        self.heads += 1
        self._origin.heads.append(head)
        return head

    def body(self, length: int) -> bytes:
        """Read so many bytes of a body."""
        taken = bytearray()
        self.stream.exactly(length, taken.extend)
        return bytes(taken)

    def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.sock.sendall(data)

    def answer(self, body: bytes = b"scripted\n", more: str = "", status: int = 200) -> None:
        """Send an ordinary answer; ``more`` are header lines, each with its CRLF."""
        head = f"HTTP/1.1 {status} Status\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        self.send(head.encode() + body)

    def closed(self) -> bool:
        """Wait until the peer closes, and say whether it did without another byte."""
        try:
            return not self.stream.more()
        except OSError:
            return True


class ScriptedOrigin:
    """A threaded origin on a free loopback port, or on this one. A context manager.

    ``talk`` is called with every connection, in a thread of its own; the connection is closed
    when it returns. With ``context`` the origin speaks TLS; handshakes that fail are in
    ``failures``. ``heads`` are the request heads that were read, ``ended`` counts scripts that
    ended. A script that fails by itself is raised when the context is left.
    """

    def __init__(
        self,
        talk: Callable[[Line], object],
        context: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.heads: list[bytes] = []
        self.failures: list[str] = []
        self.connections = 0
        self.ended = 0
        self._talk = talk
        self._context = context
        self._wrong: list[Exception] = []
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """As it stands in ``upstream``."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def wait_ended(self, count: int = 1, timeout: float = 10) -> None:
        """Wait until so many scripts have ended."""
        wait_until(lambda: self.ended >= count, timeout, f"{count} scripts of the origin to end")

    def __enter__(self) -> ScriptedOrigin:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for sock in (self._listener, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        if self._wrong and error is None:
            raise self._wrong[0]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        wrapped = sock
        try:
            if self._context is not None:
                wrapped = self._context.wrap_socket(sock, server_side=True)
            self._talk(Line(wrapped, number, self))
        except ssl.SSLError as error:
            self.failures.append(str(error))
        except (StreamEnded, OSError):
            pass  # the edge may leave at any time
        except Exception as error:
            self._wrong.append(error)
        finally:
            self.ended += 1
            self._open.discard(sock)
            with suppress(OSError):
                wrapped.close()
