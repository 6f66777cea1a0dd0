"""Origins that are killed, that never answer, that are slow for a thousand: limits hold, and the
edge recovers. A hundred clients at once here, a thousand with ``MTLSEDGE_FUZZ=full``.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from support import certs
from support.client import Client, Connection
from support.edge import Edge
from support.origin import Answer, CountingOrigin, Received
from support.ports import free_port, is_listening, wait_until
from support.stress import FULL, Load
from support.tables import one_host

NAME = "iot.example.com"
CLIENTS = 1_000 if FULL else 100
ROOM = 10  # connections to the origin
QUEUE = CLIENTS // 2
REQUEST = f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode()

_ORIGIN = """
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"alive\\n")
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    def handle_error(self, *_):
        pass
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@contextmanager
def origin_process(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """An origin that can be killed."""
    process = subprocess.Popen([sys.executable, "-c", _ORIGIN, str(port)])
    try:
        wait_until(lambda: is_listening(port), 10, "the origin to listen")
        yield process
    finally:
        process.kill()
        process.wait()


def connect(edge: Edge) -> Connection:
    """A new connection with a good certificate."""
    return Client(certs.client()).connect(edge.port, NAME)


def crowd(stack: ExitStack, edge: Edge) -> list[Connection]:
    """Many clients, connected and certified."""
    client = Client(certs.client())
    return [stack.enter_context(client.connect(edge.port, NAME)) for _ in range(CLIENTS)]


def test_an_origin_that_is_killed_under_load_comes_back(start_edge: Callable[..., Edge]) -> None:
    """Clients get 502 and keep their connections; 2 s after its return all is well."""
    port = free_port()
    edge = start_edge(one_host(NAME, f"http://127.0.0.1:{port}"))
    statuses: list[tuple[float, int]] = []

    def ask(connection: Connection) -> None:
        statuses.append((time.monotonic(), connection.get(NAME).status))
        time.sleep(0.002)

    with ExitStack() as stack:
        kept = [stack.enter_context(connect(edge)) for _ in range(4)]
        work = {f"client_{number}": lambda c=each: ask(c) for number, each in enumerate(kept)}
        with origin_process(port) as first, Load(**work) as load:
            for _ in range(2):
                time.sleep(0.5)
                first.send_signal(signal.SIGKILL)
                first.wait()
                time.sleep(0.5)
                first = stack.enter_context(origin_process(port))
                back = time.monotonic()
            time.sleep(2.5)
    assert [] == load.failures
    seen = Counter(status for _, status in statuses)
    print(f"\n{seen}")
    assert seen.keys() == {200, 502}
    assert {200} == {status for at, status in statuses if at > back + 2}


def test_an_origin_that_never_answers_holds_up_only_so_many(
    start_edge: Callable[..., Edge],
) -> None:
    """As many as have a connection get 504, the queue 503 or 504, and the rest 503 at once."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as deaf:
        config = one_host(
            NAME,
            f"http://127.0.0.1:{deaf.getsockname()[1]}",
            limits={"origin_connections": ROOM, "origin_queue": QUEUE},
            timeouts={"origin_response": 2, "queue": 4},  # all have asked before
        )
        edge = start_edge(config)
        with ExitStack() as stack:
            clients = crowd(stack, edge)
            for each in clients:
                each.send(REQUEST)
            seen = Counter(each.read().status for each in clients)
    print(f"\n{seen}")
    assert seen.keys() == {503, 504}
    assert seen[504] >= ROOM
    full = [each for each in edge.access_log(CLIENTS) if "queue is full" in each["reason"]]
    assert CLIENTS - ROOM - QUEUE == len(full)
    assert max(each["duration"] for each in full) < 2  # before anybody was given up


def test_many_requests_at_once_to_a_slow_origin(start_edge: Callable[..., Edge]) -> None:
    """It never has more than its limit at once; who finds no place in the queue gets a 503."""
    busy, most, lock = 0, 0, threading.Lock()

    def slowly(_: Received) -> Answer:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.05)
        with lock:
            busy -= 1
        return Answer()

    with CountingOrigin(default=slowly) as origin:
        config = one_host(
            NAME,
            origin.url,
            limits={"origin_connections": ROOM, "origin_queue": QUEUE},
            timeouts={"queue": 30},
        )
        edge = start_edge(config)
        with ExitStack() as stack:
            clients = crowd(stack, edge)
            for each in clients:
                each.send(REQUEST)
            before = edge.memory()
            seen = Counter(each.read().status for each in clients)
            print(f"\n{seen}, {most} at once")
            assert seen.keys() == {200, 503}
            assert seen[200] >= ROOM + QUEUE
            assert most <= ROOM >= origin.connections
            assert 200 == clients[-1].get(NAME).status
            assert edge.memory() - before < 8 << 20
