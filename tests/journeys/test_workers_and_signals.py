"""What signals do to an edge, with workers and without: they do what operators expect."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from test_reloading import reload
from worker_edges import (
    NAME,
    all_gone,
    connect,
    each_alone,
    is_alive,
    one_at_each,
    start_workers,
    worker_pids,
)

from support import certs, tables
from support.client import Client
from support.edge import Edge
from support.origin import Answer, CountingOrigin
from support.ports import free_port, is_listening, wait_until
from support.reading import is_cut, lines

StartEdge = Callable[..., Edge]

ALONE_AND_TOGETHER = pytest.mark.parametrize("workers", [1, 2])
TERM, INT, QUIT = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT
HOW = [(QUIT,), (TERM, TERM), (INT, INT), (TERM, QUIT)]


def only(name: str, origin: CountingOrigin, **edge: Any) -> dict[str, Any]:
    """A configuration for two workers that admits nobody but this client."""
    policy = tables.policy(include=[{"common_name": name}])
    return {
        **tables.one_host(NAME, origin.url),
        "application": [tables.application(NAME, policy)],
        "edge": {"workers": 2, **edge},
    }


# -- HUP -----------------------------------------------------------------------------------------


def test_hup_reaches_every_worker(start_edge: StartEdge, origin: CountingOrigin) -> None:
    """A kept-alive connection is judged anew with its next request, at each of them."""
    edge = start_workers(start_edge, origin, 2)
    kept = one_at_each(edge, origin, 2)
    reload(edge, only("device-2", origin), "serving generation 2")
    assert [403, 403] == [each.get(NAME).status for each in kept.values()]
    for _ in range(8):
        assert 403 == Client(certs.client("device-1")).get(edge.port, NAME).status
        assert 200 == Client(certs.client("device-2")).get(edge.port, NAME).status
    assert 2 == len(worker_pids(edge.pid))


def test_a_broken_configuration_changes_nothing_at_any_worker(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    """Told once; the same processes go on, and so do their connections."""
    edge = start_workers(start_edge, origin, 2)
    pids, kept = worker_pids(edge.pid), one_at_each(edge, origin, 2)
    taken = only("device-2", origin, listen=[f"127.0.0.1:{edge.port}", f"127.0.0.1:{origin.port}"])
    for bad in ("[[host", {**only("x", origin), "host": []}, taken):
        reload(edge, bad, "not reloaded")
        for _ in range(3):
            assert [200, 200] == [each.get(NAME).status for each in kept.values()]
            assert 200 == Client(certs.client()).get(edge.port, NAME).status
    assert pids == worker_pids(edge.pid)
    assert 1 == edge.log().count("edge.listen")
    reload(edge, only("device-2", origin), "serving generation 2")
    assert [403, 403] == [each.get(NAME).status for each in kept.values()]


def test_addresses_come_and_go_at_every_worker(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    """The parent binds the new ones and hands them down; the old ones are closed for good."""
    edge = start_workers(start_edge, origin, 2)
    ports = [free_port(), free_port()]
    listen = [f"127.0.0.1:{port}" for port in ports]
    reload(edge, only("device-1", origin, listen=listen), "serving generation 2")
    met = {port: set[str]() for port in ports}
    for _ in each_alone(edge):
        for port in ports:
            with Client(certs.client()).connect(port, NAME) as connection:
                assert 200 == connection.get(NAME).status
                met[port].add((origin.requests[-1].header("X-Request-Id") or "")[:16])
    assert [2, 2] == [len(workers) for workers in met.values()]
    wait_until(lambda: not is_listening(edge.port), 10, "the old address to be given up")
    os.kill(worker_pids(edge.pid)[0], signal.SIGKILL)
    wait_until(lambda: edge.log().count("serves, process") == 3, 10, "the successor")
    reload(edge, only("device-1", origin, listen=listen[:1]), "serving generation 3")
    wait_until(lambda: not is_listening(ports[1]), 10, "the other address to be given up")
    assert 200 == Client(certs.client()).get(ports[0], NAME).status
    edge.stop()
    assert "no client can be accepted" not in edge.log()


def test_a_worker_forked_later_serves_what_is_in_force(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    """Not what was in force when the edge started."""
    edge = start_workers(start_edge, origin, 2)
    reload(edge, only("device-2", origin), "serving generation 2")
    for pid in worker_pids(edge.pid):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: edge.log().count("serves, process") == 4, 10, "the successors")
    for _ in range(6):
        assert 403 == Client(certs.client("device-1")).get(edge.port, NAME).status
        assert 200 == Client(certs.client("device-2")).get(edge.port, NAME).status


def test_signals_to_a_worker_itself_are_harmless(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    """All but SIGTERM, after which it finishes, and another takes its place."""
    edge = start_workers(start_edge, origin, 2)
    first, second = worker_pids(edge.pid)
    kept = one_at_each(edge, origin, 2)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(first, number)
        assert [200, 200] == [each.get(NAME).status for each in kept.values()]
    for each in kept.values():
        each.close()
    os.kill(first, signal.SIGTERM)
    all_gone([first])
    wait_until(lambda: edge.log().count("serves, process") == 3, 10, "the successor")
    assert second in worker_pids(edge.pid)
    assert f"(process {first}) ended with status 0; it is replaced at once" in edge.log()
    assert 200 == Client(certs.client()).get(edge.port, NAME).status


# -- TERM, INT, QUIT -----------------------------------------------------------------------------


def begin(edge: Edge, origin: CountingOrigin, stack: ExitStack, seconds: float) -> Any:
    """A connection that waits for an answer, which takes the origin so many seconds."""
    origin.answers["/slow"] = Answer(
        headers=(("Content-Length", "4"),), body=b"", pieces=[b"late"], pause=seconds
    )
    connection = stack.enter_context(connect(edge))
    before = origin.count
    connection.send(f"GET /slow HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
    origin.wait(before + 1)
    return connection


def test_term_lets_every_worker_finish(start_edge: StartEdge, origin: CountingOrigin) -> None:
    """Idle connections close at once, the listener is closed, and in the end all are gone."""
    edge = start_workers(start_edge, origin, 2)
    pids = worker_pids(edge.pid)
    with ExitStack() as stack:
        idle = one_at_each(edge, origin, 2)
        slow = [begin(edge, origin, stack, 1.5) for _ in range(6)]
        os.kill(edge.pid, signal.SIGTERM)
        for each in idle.values():
            assert each.closed()
            each.close()  # or the edge waits a little for what the client still has to say
        wait_until(lambda: not is_listening(edge.port), 10, "the listener to close")
        assert [b"late"] * 6 == [each.read().body for each in slow]
    wait_until(lambda: not edge.is_running(), 10, "the end")
    assert -signal.SIGTERM == edge.stop()
    assert not any(map(is_alive, pids))
    assert 6 == len(lines(edge, "/slow", 6))


def test_an_interrupt_of_the_whole_group_is_taken_once(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    """Ctrl-C in a terminal reaches the workers as well; the parent decides."""
    edge = start_workers(start_edge, origin, 2)
    with ExitStack() as stack:
        slow = begin(edge, origin, stack, 1.0)
        os.killpg(edge.pid, signal.SIGINT)
        assert b"late" == slow.read().body
    wait_until(lambda: not edge.is_running(), 10, "the end")
    assert "is replaced" not in edge.log()


@ALONE_AND_TOGETHER
@pytest.mark.parametrize("how", HOW, ids=str)
def test_quit_or_a_second_term_stops_now(
    start_edge: StartEdge, origin: CountingOrigin, workers: int, how: tuple[signal.Signals, ...]
) -> None:
    """What is under way is cut, and has its line in the log."""
    edge = start_workers(start_edge, origin, workers)
    pids = worker_pids(edge.pid)
    with ExitStack() as stack:
        slow = [begin(edge, origin, stack, 20) for _ in range(3)]
        for number in how[:-1]:
            os.kill(edge.pid, number)
            wait_until(lambda: not is_listening(edge.port), 10, "the listener to close")
            assert edge.is_running()
        os.kill(edge.pid, how[-1])
        began = time.monotonic()
        assert all(map(is_cut, slow))
    wait_until(lambda: not edge.is_running(), 5, "the end")
    assert time.monotonic() - began < 15  # and not when the origin has answered
    all_gone(pids)
    assert 3 == len(lines(edge, "/slow", 3))


@ALONE_AND_TOGETHER
def test_signals_that_come_at_once_are_no_error(
    start_edge: StartEdge, origin: CountingOrigin, workers: int
) -> None:
    """Whoever leans on Ctrl-C sees an edge that ends."""
    edge = start_workers(start_edge, origin, workers)
    with ExitStack() as stack:
        slow = begin(edge, origin, stack, 20)
        for number in (TERM, TERM, INT, QUIT, TERM, signal.SIGHUP):
            os.kill(edge.pid, number)
        assert is_cut(slow)
        wait_until(lambda: not edge.is_running(), 5, "the end")


def test_the_wait_for_workers_ends(start_edge: StartEdge, origin: CountingOrigin) -> None:
    """After ``drain``, what is not finished is cut; a worker that hangs is killed, and logged."""
    edge = start_workers(start_edge, origin, 2, edge={"timeouts": {"drain": 1}})
    first, second = worker_pids(edge.pid)
    os.kill(first, signal.SIGSTOP)
    with ExitStack() as stack:
        slow = begin(edge, origin, stack, 20)
        os.kill(edge.pid, signal.SIGTERM)
        assert is_cut(slow)
    wait_until(lambda: not edge.is_running(), 15, "the end")
    all_gone([first, second])
    assert f"(process {first}) did not end in time and is killed" in edge.log()


def test_a_worker_that_does_not_follow_a_reload_is_replaced(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    """Nobody serves what is no longer in force: here, no descriptor is left to one."""
    edge = start_workers(start_edge, origin, 2)
    first, second = worker_pids(edge.pid)
    resource.prlimit(first, resource.RLIMIT_NOFILE, (5, 5))
    reload(edge, only("device-2", origin), "serving generation 2")
    wait_until(lambda: edge.log().count("serves, process") == 3, 20, "the successor")
    for _ in range(6):
        assert 403 == Client(certs.client("device-1")).get(edge.port, NAME).status
        assert 200 == Client(certs.client("device-2")).get(edge.port, NAME).status
    assert "worker 0 could not follow and is replaced: no descriptor is left" in edge.log()
    assert first not in worker_pids(edge.pid)
    assert second in worker_pids(edge.pid)


# -- USR1 ----------------------------------------------------------------------------------------


def test_usr1_makes_every_worker_reopen_its_access_log(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    """No line goes to the old file any more, and nobody keeps it open."""
    edge = start_workers(start_edge, origin, 2)
    kept = one_at_each(edge, origin, 2)
    before = origin.count
    edge.access_log(before)
    rotated = edge.access_log_path.with_suffix(".1")
    edge.access_log_path.rename(rotated)
    os.kill(edge.pid, signal.SIGUSR1)
    everyone = [edge.pid, *worker_pids(edge.pid)]
    wait_until(
        lambda: not any(has_open(pid, rotated) for pid in everyone), 10, "the old one closed"
    )
    for number, connection in enumerate(kept.values()):
        assert 200 == connection.get(NAME, f"/after/{number}").status
    assert {"/after/0", "/after/1"} == {line["path"] for line in edge.access_log(2)}
    assert before == len([json.loads(each) for each in rotated.read_bytes().splitlines()])


def has_open(pid: int, path: Any) -> bool:
    """Whether a process has a descriptor of this file."""
    place = f"/proc/{pid}/fd"
    return str(path) in (os.readlink(f"{place}/{each}") for each in os.listdir(place))
