"""Edges of several workers: which there are, and which of them serves whom."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
    return _state(pid) not in ("", "Z", "X")


def _state(pid: int) -> str:
    """As the kernel has it in a letter; nothing where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[0]


def each_alone(edge: Edge) -> Iterator[int]:
    """Each worker's pid, while the others stand still: whoever comes meanwhile is its client.

    All of them wait for clients, and which one is first is nobody's to say.
    """
    pids = worker_pids(edge.pid)
    for pid in pids:
        with standing_still([each for each in pids if each != pid]):
            yield pid


@contextmanager
def standing_still(pids: list[int]) -> Iterator[None]:
    """These processes do nothing; afterwards they go on."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: all(_state(pid) == "T" for pid in pids), 10, f"{pids} to stop")
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


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
    for pid in each_alone(edge):
        connection, path = connect(edge), f"/find/{pid}/{os.urandom(4).hex()}"
        assert 200 == connection.get(NAME, path).status
        found[worker_of(origin, path)] = connection
    assert workers == len(found)
    return found
