"""Values: what to drive at a server, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Workload = Literal["handshakes", "requests", "download", "upload"]
TlsVersion = Literal["1.2", "1.3"]


@dataclass(frozen=True, slots=True)
class Load:
    """One round's work on one server.

    Attributes:
        address, name: where the server listens, and its TLS server name.
        group: the one key-exchange group that the client offers.
        client_pem: the client's certificate and key in one file; "" presents none.
        connections: how many are busy at any moment.
        seconds, warm_seconds: for how long new operations begin, counted and before that not.
        path, cookie: what every request asks for, and the ``Cookie`` it carries, if any.
        paths: of how many paths below ``path`` each operation asks for the next; 1: for ``path``.
        body: what must stand in the answer, to the byte.
        size: bytes of one download or upload; 0 elsewhere.
        client_pems: the same of clients that come in turn, if it is not always ``client_pem``.
        names: server names that handshakes go round, if it is not always ``name``.
        once: handshakes end when each of ``names`` had its turn; there is no warm-up then.
        resumed: handshakes resume the TLS session that an earlier one left; a full one fails.
        server_pids, origin_pids: whose CPU time is read; empty where it is not ours to know.
    """

    workload: Workload
    address: tuple[str, int]
    name: str
    tls: TlsVersion
    group: str
    client_pem: str
    connections: int
    seconds: float
    warm_seconds: float
    path: str
    cookie: str
    body: bytes
    size: int = 0
    paths: int = 1
    client_pems: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    once: bool = False
    resumed: bool = False
    server_pids: tuple[int, ...] = ()
    origin_pids: tuple[int, ...] = ()

    def request(self) -> bytes:
        """The bytes of one request, whole."""
        method = "POST" if self.workload == "upload" else "GET"
        lines = [
            f"{method} {self.path} HTTP/1.1",
            f"Host: {self.name}",
            "User-Agent: perf",
            "Accept: */*",
        ]
        if self.cookie:
            lines.append(f"Cookie: {self.cookie}")
        if self.workload == "upload":
            lines.append(f"Content-Length: {self.size}")
        if self.workload == "handshakes":
            lines.append("Connection: close")
        return "\r\n".join((*lines, "", "")).encode("ascii")

    def path_at(self, number: int) -> str:
        """One of the many paths; ``number`` counts from 0."""
        return self.path if self.paths == 1 else f"{self.path.rstrip('/')}/{number:06d}"

    def requests(self) -> list[bytes]:
        """The bytes of a request for each of the paths, in turn."""
        method, _, rest = self.request().partition(self.path.encode("ascii"))
        return [
            b"%b%b%b" % (method, self.path_at(n).encode("ascii"), rest) for n in range(self.paths)
        ]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one round measured. CPU times and the wall time are of the counted part alone.

    ``first_error`` tells of the first operation that failed; a sample with errors is void.
    Times are in nanoseconds; a CPU time that was not read is None.
    """

    operations: int
    errors: int
    first_error: str
    wall_ns: int
    server_cpu_ns: int | None
    origin_cpu_ns: int | None
    client_cpu_ns: int
    p50_ns: int
    p99_ns: int

    @property
    def void(self) -> bool:
        """Nothing may be concluded from this round."""
        return self.errors > 0 or self.operations == 0

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations * 1e9 / self.wall_ns if self.wall_ns else 0.0

    @property
    def server_us(self) -> float | None:
        """Server CPU per operation, in microseconds."""
        return self._per_operation(self.server_cpu_ns)

    @property
    def client_us(self) -> float | None:
        """The load client's own CPU per operation, in microseconds."""
        return self._per_operation(self.client_cpu_ns)

    @property
    def origin_us(self) -> float | None:
        """The origin's CPU per operation, in microseconds."""
        return self._per_operation(self.origin_cpu_ns)

    @property
    def server_busy(self) -> float | None:
        """The share of the wall time in which the server was on its core."""
        if self.server_cpu_ns is None or not self.wall_ns:
            return None
        return self.server_cpu_ns / self.wall_ns

    def _per_operation(self, cpu_ns: int | None) -> float | None:
        if cpu_ns is None or not self.operations:
            return None
        return cpu_ns / self.operations / 1000
