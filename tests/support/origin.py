"""An origin that counts: it keeps every request byte for byte and answers as it is told.

It reads HTTP/1.1 by the letter and leniently knows nothing: whatever follows one message is the
start of the next one, so a smuggled request shows as one more in ``requests``.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

from support.head import HeadFields
from support.ports import wait_until
from support.stream import ByteStream, StreamEnded

KEPT = 1 << 20
"""Bytes of a body that are kept; of a longer one, only its length and SHA-256."""


@dataclass(frozen=True)
class Received(HeadFields):
    """One request as it arrived.

    Attributes:
        head: its bytes, from the request line to the blank line and with it.
        body: what its framing carried, decoded, up to `KEPT` bytes.
        body_length, body_sha256: of the whole body.
        trailers: the bytes after the last chunk.
        connection: which connection it came on, counted from 1.
    """

    head: bytes
    body: bytes
    body_length: int
    body_sha256: str
    trailers: bytes
    connection: int

    @property
    def request_line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def method(self) -> str:
        return self.request_line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.request_line.split(" ")[1]


@dataclass(frozen=True)
class Answer:
    """What the origin does with one request.

    Attributes:
        status, headers, body: an ordinary answer; ``Content-Length`` is added unless the
            headers say how it is framed.
        raw: these bytes instead, exactly.
        pieces: body bytes sent one by one after the head (or after ``raw``), as they are.
        pause: seconds before each piece.
        delay: seconds before the first byte.
        close: close the connection afterwards; ``reset`` with an RST.
        echo: afterwards send back whatever comes, until the peer closes.
        before_body: answer as soon as the head is there, and leave the body unread (it is
            then taken for a request, unless ``close`` or ``reset`` is on).
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"origin\n"
    raw: bytes | None = None
    pieces: Iterable[bytes] = ()
    pause: float = 0.0
    delay: float = 0.0
    close: bool = False
    reset: bool = False
    echo: bool = False
    before_body: bool = False

    def head_bytes(self, method: str) -> bytes:
        """The bytes up to and with the body."""
        if self.raw is not None:
            return self.raw
        names = {name.lower() for name, _ in self.headers}
        fields = list(self.headers)
        if not names & {"content-length", "transfer-encoding"} and self.status not in (204, 304):
            fields.append(("Content-Length", str(len(self.body))))
        lines = [f"HTTP/1.1 {self.status} Status", *(f"{name}: {value}" for name, value in fields)]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        bodiless = method == "HEAD" or self.status in (204, 304) or self.status < 200
        return head if bodiless else head + self.body


Script = Answer | Callable[[Received], Answer]
"""What is done with a request: always the same, or what a function makes of it."""


def chunked(*chunks: bytes, trailers: str = "", status: int = 200) -> Answer:
    """An answer in chunks, each sent by itself."""
    framed = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    last = b"0\r\n" + trailers.encode("latin-1") + b"\r\n"
    headers = (("Transfer-Encoding", "chunked"), ("Content-Type", "text/plain"))
    return Answer(status, headers, b"", pieces=(*framed, last))


def switching(protocol: str = "echo", first: bytes = b"") -> Answer:
    """A 101 to this protocol, then an echo; ``first`` is sent right behind the 101."""
    head = f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
    return Answer(raw=head.encode() + first, echo=True)


@dataclass
class CountingOrigin:
    """A threaded origin on a free loopback port. A context manager.

    ``answers`` maps a path (the request target without its query) to what is done there; an
    `Answer` or a function from what was received to one. ``default`` is for all others.
    ``read_pause`` sleeps before every 64 KiB read: an origin that takes bodies slowly.
    ``unix`` listens on that socket path instead.
    """

    answers: Mapping[str, Answer | Callable[[Received], Answer]] = field(default_factory=dict)
    default: Answer | Callable[[Received], Answer] = Answer()
    read_pause: float = 0.0
    unix: str = ""
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX if self.unix else socket.AF_INET)
        self._listener.bind(self.unix or ("127.0.0.1", 0))
        self._listener.listen(256)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """As it stands in ``upstream``."""
        return f"unix:{self.unix}" if self.unix else f"http://127.0.0.1:{self.port}"

    @property
    def count(self) -> int:
        """How many requests have arrived."""
        return len(self.requests)

    @property
    def targets(self) -> list[str]:
        """The target of each request, in order."""
        return [request.target for request in self.requests]

    def wait(self, count: int, timeout: float = 10) -> list[Received]:
        """The requests, once there are ``count`` of them."""
        wait_until(lambda: self.count >= count, timeout, f"{count} requests at the origin")
        return self.requests

    def open_connections(self) -> int:
        """How many connections are open now."""
        with self._lock:
            return len(self._open)

    def drop_connections(self) -> None:
        """Cut every connection that is open now, as a dying origin does."""
        with self._lock:
            for sock in self._open:
                _shut(sock)

    def __enter__(self) -> CountingOrigin:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _shut(self._listener)
        self._listener.close()
        self.drop_connections()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(sock)
                number = self.connections
            threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            stream = ByteStream(sock.recv, self.read_pause)
            while self._exchange(sock, stream, number):
                pass
        except (StreamEnded, OSError) as error:
            self.errors.append(f"connection {number}: {error}")
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()

    def _exchange(self, sock: socket.socket, stream: ByteStream, number: int) -> bool:
        """Read one request and answer it; False when the connection is done."""
        if not stream.more():
            return False
        head = stream.until(b"\r\n\r\n")
        received = Received(head, b"", 0, "", b"", number)
        answer = self._scripted(received)
        if not (isinstance(answer, Answer) and answer.before_body):
            received = _with_body(received, stream)
        self.requests.append(received)
        if not isinstance(answer, Answer):
            answer = answer(received)
        self._send(sock, answer, received.method)
        if answer.echo:
            _echo(sock, stream)
        if answer.reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        return not (answer.close or answer.reset or answer.echo)

    def _scripted(self, received: Received) -> Script:
        return self.answers.get(received.target.partition("?")[0], self.default)

    def _send(self, sock: socket.socket, answer: Answer, method: str) -> None:
        time.sleep(answer.delay)
        sock.sendall(answer.head_bytes(method))
        for piece in answer.pieces:
            time.sleep(answer.pause)
            sock.sendall(piece)


def _with_body(early: Received, stream: ByteStream) -> Received:
    kept, digest, length, trailers = bytearray(), hashlib.sha256(), 0, b""

    def take(data: bytes) -> None:
        nonlocal length
        digest.update(data)
        length += len(data)
        if len(kept) < KEPT:
            kept.extend(data[: KEPT - len(kept)])

    if any("chunked" in value.lower() for value in early.all("Transfer-Encoding")):
        trailers = stream.chunked(take)
    else:
        stream.exactly(int((early.all("Content-Length") or ["0"])[0]), take)
    return Received(early.head, bytes(kept), length, digest.hexdigest(), trailers, early.connection)


def _echo(sock: socket.socket, stream: ByteStream) -> None:
    while data := stream.some():
        sock.sendall(data)


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
