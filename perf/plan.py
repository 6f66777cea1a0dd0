"""Values: what a run is to measure, as the command line says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from perf.catalogue import Kind, LogStyle
from perf.keys import Algorithm
from perf.values import TlsVersion, Workload

Client = Literal["own", "ab", "s_time"]


@dataclass(frozen=True, slots=True)
class Target:
    """A server that somebody else runs.

    Attributes:
        address: host and port.
        name: its TLS server name.
        client_pem: certificate and key for the client; "" presents none.
        ca: verifies the server; "" is this system's store.
        pid: its main process, where it runs on this machine; 0 measures no CPU.
    """

    address: tuple[str, int]
    name: str
    client_pem: str
    ca: str
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """One run.

    ``subject`` is measured against the ``peers``: the edge, a target, or nobody. ``workers``
    are processes or threads of each server; ``resumed`` handshakes resume TLS sessions.
    Operations ask for ``paths`` in turn, and handshakes are made by ``clients`` in turn, each with
    a certificate of its own; of kept connections each has the next client. With ``baseline`` the
    peers are measured against the subject, and not the other way round.
    """

    workload: Workload
    subject: Kind | Target | None
    peers: tuple[Kind, ...]
    algorithm: Algorithm = "p256"
    tls: TlsVersion = "1.3"
    group: str = "X25519"
    rounds: int = 7
    seconds: float = 3.0
    warm_seconds: float = 0.5
    connections: int = 8
    size: int = 0
    name: str = "localhost"
    path: str = "/perf"
    log_style: LogStyle = "like"
    client: Client = "own"
    cookies: bool = False
    resumed: bool = False
    workers: int = 1
    paths: int = 1
    clients: int = 1
    baseline: bool = False
    directory: Path | None = None
