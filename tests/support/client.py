"""A TLS client that sends exactly what it is told and reads answers one by one."""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from support import certs
from support.head import HeadFields
from support.stream import ByteStream

TLS12 = ssl.TLSVersion.TLSv1_2
TLS13 = ssl.TLSVersion.TLSv1_3


@dataclass(frozen=True)
class Answered(HeadFields):
    """One response as it arrived; 1xx responses before it stand in ``interim``."""

    status: int
    head: bytes
    body: bytes
    trailers: bytes = b""
    interim: tuple[bytes, ...] = ()

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """What one client has: its certificate, whom it trusts, which TLS it speaks.

    One `ssl.SSLContext` is made of it, so that sessions can be carried from one connection to
    another. ``names_checked=False`` for the tests that ask for names no certificate has.
    """

    certificate: certs.Pair | None = None
    ca: str = certs.SERVER_CA
    version: ssl.TLSVersion | None = None
    names_checked: bool = True
    alpn: tuple[str, ...] = ()
    timeout: float = 60.0
    context: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.load_verify_locations(certs.ca_file(self.ca))
        if not self.names_checked:
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE
        if self.version is not None:
            self.context.minimum_version = self.context.maximum_version = self.version
        if self.certificate is not None:
            self.context.load_cert_chain(*self.certificate.files)
        if self.alpn:
            self.context.set_alpn_protocols(list(self.alpn))

    def connect(
        self,
        port: int,
        server_name: str | None,
        session: ssl.SSLSession | None = None,
        address: str = "127.0.0.1",
    ) -> Connection:
        """A new connection, handshake done. None sends no server name (and checks none).

        Raises:
            ssl.SSLError: the handshake failed; its ``reason`` names the alert.
        """
        if server_name is None:
            self.context.check_hostname = False
        raw = socket.create_connection((address, port), self.timeout)
        try:
            wrapped = self.context.wrap_socket(raw, server_hostname=server_name, session=session)
        except BaseException:
            raw.close()
            raise
        return Connection(wrapped)

    def get(self, port: int, host: str, path: str = "/", **headers: str) -> Answered:
        """One GET on a connection of its own; ``_`` in a header's name stands for ``-``."""
        with self.connect(port, host) as connection:
            return connection.get(host, path, **headers)


class Connection:
    """One TLS connection. A context manager."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.sock = sock
        self.stream = ByteStream(sock.recv)

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session to resume later; in TLS 1.3 there is one only after something was read."""
        return self.sock.session

    @property
    def resumed(self) -> bool:
        return bool(self.sock.session_reused)

    def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.sock.sendall(data)

    def request(self, data: bytes, method: str = "") -> Answered:
        """Send these bytes and read one response (HEAD's has no body: the bytes tell)."""
        self.send(data)
        return self.read(method or data.split(b" ", 1)[0].decode("latin-1"))

    def get(self, host: str, path: str = "/", **headers: str) -> Answered:
        """A plain GET on this connection; ``_`` in a header's name stands for ``-``."""
        extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        return self.request(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n".encode("latin-1"))

    def read(self, method: str = "GET") -> Answered:
        """Read one response, with the interim ones before it.

        Raises:
            StreamEnded: the peer closed before it was whole.
        """
        interim = []
        while True:
            head = self.stream.until(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            if status >= 200 or status == 101:
                break
            interim.append(head)
        body = bytearray()
        trailers = self._read_body(Answered(status, head, b""), method, body)
        return Answered(status, head, bytes(body), trailers, tuple(interim))

    def closed(self, timeout: float = 40) -> bool:
        """Whether the peer closes now, without another byte."""
        self.sock.settimeout(timeout)
        try:
            return not self.stream.more()
        except TimeoutError:
            return False
        except (ConnectionError, ssl.SSLError):
            return True

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read_body(self, answered: Answered, method: str, body: bytearray) -> bytes:
        if method == "HEAD" or answered.status in (101, 204, 304):
            return b""
        if "chunked" in (answered.header("Transfer-Encoding") or ""):
            return self.stream.chunked(body.extend)
        length = answered.header("Content-Length")
        if length is None:
            self.stream.rest(body.extend)
        else:
            self.stream.exactly(int(length), body.extend)
        return b""
