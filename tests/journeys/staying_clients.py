"""Clients that stay: connections of every kind, and the moment at which each of them ended."""

from __future__ import annotations

import os
import selectors
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from support import certs, tables
from support.client import Client
from support.edge import Edge
from support.origin import Answer, Received, switching
from support.ports import wait_until
from support.stream import StreamEnded

NAME = "iot.example.com"
KINDS = ("idle", "download", "upload", "tunnel")
_TICK = 0.01


def endless(_: Received) -> Answer:
    """A download that trickles for as long as anybody takes it."""
    return Answer(
        headers=(("Content-Length", str(1 << 40)),), body=b"", pieces=_drops(), pause=0.02
    )


def _drops() -> Iterator[bytes]:
    while True:
        yield b"x" * 1000


ANSWERS = {"/download": endless, "/tunnel": switching("echo")}
"""What an origin says to these clients."""


class Staying:
    """One client's connection, of a kind, and what is known of it."""

    def __init__(self, edge: Edge, certificate: certs.Pair, kind: str, name: str = NAME) -> None:
        self.kind = kind
        self.certificate = certificate
        self.name = name
        self.ended = 0.0  # by the monotonic clock; also when it was told no in so many words
        self.said = b""  # after the beginning
        self.taken = 0
        self._lock = threading.Lock()
        self.connection = Client(certificate).connect(edge.port, name)
        self.port = self.connection.sock.getsockname()[1]
        getattr(self, f"_begin_{kind}")()

    def works(self) -> bool:
        """Whether it goes on as it should; for one that is watched no more."""
        if self.ended:
            return False
        return bool(getattr(self, f"_{self.kind}_works")())

    def turn(self) -> bool:
        """Do what a client of this kind does, without waiting; False when it has ended."""
        sock = self.connection.sock
        try:
            if self.kind == "upload":
                with suppress(ssl.SSLWantWriteError):
                    sock.send(b"y" * 200)
            while data := sock.recv(65536):
                self.taken += len(data)
                self.said = (self.said + data)[:1000]
                if self.kind == "upload":
                    return False  # an answer in the middle of it is an end
        except ssl.SSLWantReadError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        self.connection.close()

    def _begin_idle(self) -> None:
        assert 200 == self.connection.get(self.name, "/first").status

    def _idle_works(self) -> bool:
        return self.connection.get(self.name, "/again").status == 200

    def _begin_download(self) -> None:
        self.connection.send(f"GET /download HTTP/1.1\r\nHost: {self.name}\r\n\r\n".encode())
        assert b" 200 " in self.connection.stream.until(b"\r\n\r\n")

    def _download_works(self) -> bool:
        return len(self.connection.stream.some()) > 0

    def _begin_upload(self) -> None:
        length = f"Content-Length: {1 << 40}\r\n\r\n"
        self.connection.send(f"POST /upload HTTP/1.1\r\nHost: {self.name}\r\n{length}".encode())
        self.connection.send(b"y" * 1000)

    def _upload_works(self) -> bool:
        self.connection.sock.settimeout(0.1)
        self.connection.send(b"y")
        with suppress(TimeoutError):
            return not self.connection.stream.more()
        return True

    def _begin_tunnel(self) -> None:
        upgrade = "Connection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        self.connection.send(f"GET /tunnel HTTP/1.1\r\nHost: {self.name}\r\n{upgrade}".encode())
        assert b" 101 " in self.connection.stream.until(b"\r\n\r\n")
        assert self._tunnel_works()

    def _tunnel_works(self) -> bool:
        self.connection.send(b"ping")
        echoed = bytearray()
        self.connection.stream.exactly(4, echoed.extend)
        return echoed == b"ping"


class Watch:
    """Notes when each of many connections ends. A context manager, in a thread of its own."""

    def __init__(self, clients: list[Staying]) -> None:
        self._clients = clients
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(60)
        for client in self._clients:
            client.connection.sock.settimeout(60)

    def _run(self) -> None:
        selector = selectors.DefaultSelector()
        senders = []
        for client in self._clients:
            client.connection.sock.setblocking(False)
            selector.register(client.connection.sock, selectors.EVENT_READ, client)
            if client.kind == "upload":
                senders.append(client)
        while not self._stop.is_set():
            ready = {key.data for key, _ in selector.select(_TICK)}
            for client in ready | {each for each in senders if not each.ended}:
                if not client.turn():
                    client.ended = time.monotonic()
                    selector.unregister(client.connection.sock)
        selector.close()


class Probe:
    """Asks again and again, in a thread, until it has been refused for good."""

    def __init__(self, what: str, ask: Callable[[], bool]) -> None:
        self.what = what
        self.admitted = 0.0  # when the last was begun that was let through, monotonic
        self.refused_since = 0  # attempts
        self.error: Exception | None = None  # of the test's own
        self._ask = ask
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        wait_until(lambda: self.admitted, 15, f"{self.what} to be let through at first")

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                admitted = self._ask()
            except (OSError, StreamEnded):
                admitted = False
            except Exception as error:
                self.error = error
                return
            if admitted:
                self.admitted, self.refused_since = begun, 0
            else:
                self.refused_since += 1
            time.sleep(_TICK)


def new_handshakes(edge: Edge, certificate: certs.Pair, version: ssl.TLSVersion) -> Probe:
    """A new connection each time, without a session."""
    client = Client(certificate, version=version)
    return Probe("a new handshake", lambda: client.get(edge.port, NAME).status == 200)


def resumptions(edge: Edge, certificate: certs.Pair, version: ssl.TLSVersion) -> Probe:
    """A new connection each time, with the session of the latest that was let through."""
    client = Client(certificate, version=version)
    sessions: list[ssl.SSLSession | None] = [None]

    def ask() -> bool:
        with client.connect(edge.port, NAME, session=sessions[-1]) as connection:
            answer = connection.get(NAME)
            assert connection.resumed == (len(sessions) > 1)
            if answer.status == 200:
                sessions.append(connection.session)
            return answer.status == 200

    return Probe(f"a session of {version.name}", ask)


def next_requests(edge: Edge, certificate: certs.Pair) -> Probe:
    """The next request on one and the same connection."""
    connection = Client(certificate).connect(edge.port, NAME)

    return Probe("the next request", lambda: connection.get(NAME, "/next").status == 200)


def status(client: Client, edge: Edge, name: str = NAME) -> int:
    """Of a new connection's only request; 0 where there was no answer."""
    try:
        return client.get(edge.port, name).status
    except (OSError, StreamEnded):
        return 0


def configured(upstream: str, file: Path, workers: int = 1, **more: Any) -> dict[str, Any]:
    """One host at which sessions resume, whose client CA names a CRL."""
    ca = tables.client_ca(NAME, **{"crl": [file], **more.pop("client_ca", {})})
    host = tables.one_host(NAME, upstream, resumption="recheck", **more.pop("host", {}))
    return {**host, "client_ca": [ca], "edge": {"workers": workers}, **more}


def put(path: Path, data: bytes) -> float:
    """Put a file into place as a whole; the moment, by the monotonic clock."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(data)
    moment = time.monotonic()
    new.rename(path)
    return moment


def crl(*revoked: certs.Pair, ca: str = certs.CLIENT_CA, number: int = 2, **more: Any) -> bytes:
    """A CRL of the root ``ca`` that revokes these."""
    serials = [pair.issued.x509.serial_number for pair in revoked]
    return certs.authority(ca).crl(serials, number=number, **more)


def cuts(edge: Edge, count: int, timeout: float = 5) -> dict[int, dict[str, Any]]:
    """The lines of connections that were cut, by the client's port, once there are ``count``."""

    def lines() -> list[dict[str, Any]]:
        return [line for line in edge.access_log() if line["event"] == "cut"]

    wait_until(lambda: len(lines()) >= count, timeout, f"{count} lines of cut connections")
    found = lines()
    assert len(found) == len({line["port"] for line in found}), "two lines of one connection"
    return {line["port"]: line for line in found}


def looked_at() -> None:
    """Let the edge look at new connections once, as it does in their first second.

    From then on nothing but the change that a test makes has it look at them again.
    """
    time.sleep(1.2)


def all_kinds(edge: Edge, certificate: certs.Pair, name: str = NAME) -> list[Staying]:
    """One connection of each kind."""
    return [Staying(edge, certificate, kind, name) for kind in KINDS]


def kinds_that_ended(clients: list[Staying]) -> list[str]:
    """Of these clients."""
    return [each.kind for each in clients if each.ended]


def kinds_that_work(clients: list[Staying]) -> list[str]:
    """Of these clients; they are asked."""
    return [each.kind for each in clients if each.works()]


def reload(edge: Edge, generation: int) -> float:
    """Have the configuration read again; the moment when every process has it."""
    os.kill(edge.pid, signal.SIGHUP)
    serving(edge, generation)
    return time.monotonic()


def serving(edge: Edge, generation: int = 1) -> Edge:
    """The edge, once all workers serve."""
    expected = f"serving generation {generation}"
    wait_until(lambda: expected in edge.log(), 20, expected)
    return edge
