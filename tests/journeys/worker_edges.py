"""Edges of several workers: which there are, and which of them serves whom."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import certs, tables
from support.client import Client, Connection
from support.edge import Edge
from support.origin import CountingOrigin
from support.ports import wait_until

NAME = "iot.example.com"

StartEdge = Callable[..., Edge]


def start_workers(start_edge: StartEdge, origin: CountingOrigin, workers: int, **more: Any) -> Edge:
    """An edge whose workers all serve: one host, for verified clients."""
    config = tables.one_host(NAME, origin.url, **more.pop("host", {}))
    config["edge"] = {"workers": workers, **more.pop("edge", {})}
    edge = start_edge(config, **more)
    wait_until(lambda: "serving generation 1" in edge.log(), 20, "all workers to serve")
    return edge


def worker_pids(parent: int) -> list[int]:
    """The children of a process that live."""
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [pid for pid in map(int, text.split()) if is_alive(pid)]


def is_alive(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def all_gone(pids: list[int], timeout: float = 10) -> None:
    """Wait until none of these processes is left."""
    wait_until(lambda: not any(map(is_alive, pids)), timeout, f"the end of {pids}")


def connect(edge: Edge) -> Connection:
    """A connection with a good certificate."""
    return Client(certs.client()).connect(edge.port, NAME)


def worker_of(origin: CountingOrigin, path: str) -> str:
    """Who passed a request on: the part of its id that is one process's own."""
    found = [each for each in origin.requests if each.target == path]
    request_id = found[-1].header("X-Request-Id")
    assert request_id is not None
    return request_id[:16]


def one_at_each(edge: Edge, origin: CountingOrigin, workers: int) -> dict[str, Connection]:
    """A kept-alive connection to every worker, by its part of the request ids."""
    found: dict[str, Connection] = {}

    def another() -> bool:
        connection = connect(edge)
        path = f"/find/{os.urandom(4).hex()}"
        assert 200 == connection.get(NAME, path).status
        if found.setdefault(worker_of(origin, path), connection) is not connection:
            connection.close()
        return len(found) == workers

    wait_until(another, 20, f"connections to {workers} workers")
    return found
