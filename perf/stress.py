"""What does a good client notice of bad ones? ``python -m perf.stress``.

One client keeps asking on a kept connection, and one connects anew for each request, one after the
other. Their times are taken while the edge is quiet, and then beside each kind of bad company:
clients who come in a crowd and say nothing (as they come, as they stay, and as the edge cuts them
all off), heads and bodies that come a byte at a time, and answers that are taken so.

The edge has one core to itself where there are two. Times of the clock are only worth something
on a machine with nothing else to do; a quiet round stands before and after each kind.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import socket
import ssl
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

from mtlsedge.pki.files import write_authority, write_issued
from mtlsedge.pki.mint import CLIENT, SERVER, Authority

NAME = "stress.example.com"
LONG = "long.stress.example.com"  # whose origin has a process of its own
MUCH = 64 << 20
_MEEK = 19  # nice: a good client is to wait for the edge, and not for the core that bad ones are on
_HANDSHAKE = 8.0  # seconds that a silent client has
_ORIGIN = """\
daemon off; master_process off; pid {home}/{port}.pid; error_log {home}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; root {home}/pages; keepalive_requests 1000000000; client_max_body_size 0;
  client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; fastcgi_temp_path {home}/t3;
  uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5;
  server {{ listen 127.0.0.1:{port}; location = /small {{ return 200 "small\\n"; }} }}
}}
"""
_EDGE = """\
[edge]
listen = ["127.0.0.1:{port}"]
access_log = "access.jsonl"
timeouts = {{ handshake = {handshake} }}
[[host]]
names = ["{name}"]
certificate = "server.pem"
key = "server-key.pem"
upstream = ["http://127.0.0.1:{origin}"]
[[host]]
names = ["{long}"]
certificate = "server.pem"
key = "server-key.pem"
upstream = ["http://127.0.0.1:{long_origin}"]
[[client_ca]]
name = "Stress CA"
certificate = "client-ca.pem"
hosts = ["{name}", "{long}"]
[[application]]
name = "all"
domain = ["{name}", "{long}"]
[[application.policy]]
name = "any"
decision = "service_auth"
include = [{{ certificate = true }}]
"""


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds that requests took: on a kept connection, and with a handshake of their own."""

    what: str
    count: int
    kept_p50: float
    kept_p99: float
    new_p50: float
    new_p99: float
    worst: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where the edge is, and what a client needs."""

    port: int
    home: Path

    def context(self) -> ssl.SSLContext:
        """A client with a certificate, who looks at nobody else's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(self.home / "client.pem", self.home / "client-key.pem")
        return context

    def connect(self, context: ssl.SSLContext, name: str = NAME) -> ssl.SSLSocket:
        """A new connection."""
        raw = socket.create_connection(("127.0.0.1", self.port), 30)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(raw, server_hostname=name)


# -- the good client -----------------------------------------------------------------------------


def measure(place: Place, what: str, seconds: float) -> Times:
    """Ask for so long, ten times on a kept connection for each new one."""
    context = place.context()
    kept, new = [], []
    until = time.monotonic() + seconds
    with place.connect(context) as connection:
        while time.monotonic() < until:
            for _ in range(10):
                kept.append(_timed(lambda: _ask(connection)))
                time.sleep(0.001)
            new.append(_timed(lambda: _ask_anew(place, context)))
    return Times(
        what, len(kept) + len(new), *_centiles(kept), *_centiles(new), max(*kept, *new) * 1e3
    )


def _ask(connection: ssl.SSLSocket) -> None:
    connection.sendall(f"GET /small HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"small\n"):
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionError(f"the edge closed after {answer!r}")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"answered {answer[:80]!r}")


def _ask_anew(place: Place, context: ssl.SSLContext) -> None:
    with place.connect(context) as connection:
        _ask(connection)


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _centiles(seconds: list[float]) -> tuple[float, float]:
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2] * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3


# -- bad company ---------------------------------------------------------------------------------


def silent(place: Place, count: int, ready: Event, over: Event) -> None:
    """Connect and say nothing."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", place.port), 30))
        ready.set()
        over.wait()


def slow_heads(place: Place, count: int, ready: Event, over: Event) -> None:
    """A byte of a head a second each."""
    _drip(place, count, b"GET /small HTTP/1.1\r\nX-Slow: ", ready, over)


def slow_bodies(place: Place, count: int, ready: Event, over: Event) -> None:
    """A byte of a body a second each."""
    head = f"POST /small HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 1000000\r\n\r\n".encode()
    _drip(place, count, head, ready, over)


def slow_readers(place: Place, count: int, ready: Event, over: Event) -> None:
    """A byte of a long answer a second each."""
    request = f"GET /much HTTP/1.1\r\nHost: {LONG}\r\n\r\n".encode()
    context = place.context()
    with ExitStack() as stack:
        made = [stack.enter_context(place.connect(context, LONG)) for _ in range(count)]
        ready.set()
        for one in made:
            one.sendall(request)
        while not over.is_set():
            for one in made:
                with suppress(OSError):
                    one.recv(1)
                if over.wait(1 / count):
                    break


def _drip(place: Place, count: int, first: bytes, ready: Event, over: Event) -> None:
    context = place.context()
    with ExitStack() as stack:
        made = [stack.enter_context(place.connect(context)) for _ in range(count)]
        for one in made:
            one.sendall(first)
        ready.set()
        while not over.is_set():
            for one in made:
                with suppress(OSError):
                    one.sendall(b"x")
                if over.wait(1 / count):
                    break


Company = Callable[[Place, int, Event, Event], None]


@contextmanager
def beside(place: Place, company: Company, count: int) -> Iterator[Event]:
    """Run bad company in a process of its own; gives the event of its being there."""
    fork = multiprocessing.get_context("fork")
    ready, over = fork.Event(), fork.Event()

    def come() -> None:
        os.nice(_MEEK)
        company(place, count, ready, over)

    process = fork.Process(target=come, daemon=True)
    process.start()
    try:
        yield ready
    finally:
        over.set()
        process.join(10)
        if process.is_alive():
            process.kill()


def all_kinds(place: Place, seconds: float, crowd: int, few: int) -> Iterator[Times]:
    """Quiet, and beside each kind."""
    yield measure(place, "quiet", seconds)
    with beside(place, silent, crowd) as ready:
        yield measure(place, f"{crowd} silent, coming", 2.0)
        ready.wait()
        yield measure(place, f"{crowd} silent, staying", 3.0)
        yield measure(place, f"{crowd} silent, being cut off", _HANDSHAKE)
    yield measure(place, "quiet", seconds)
    for company in (slow_heads, slow_bodies, slow_readers):
        with beside(place, company, few) as ready:
            ready.wait()
            name = f"{few} {company.__name__}"
            # At first a reader's buffers are filled, as fast as the edge can: that is no stress
            # but load, of as many downloads at once.
            yield measure(place, f"{name}, coming", 3.0)
            yield measure(place, f"{name}, staying", seconds)
        yield measure(place, "quiet", seconds)


# -- the edge and its origin ---------------------------------------------------------------------


@contextmanager
def running(home: Path) -> Iterator[Place]:
    """An edge on a core of its own, before an nginx."""
    origin, long_origin, port = _free_port(), _free_port(), _free_port()
    servers, clients = Authority.make_root("Server CA"), Authority.make_root("Stress CA")
    write_authority(home, "client-ca", clients)
    write_issued(home, "server", servers.issue(NAME, [NAME, LONG], SERVER))
    write_issued(home, "client", clients.issue("good", [], CLIENT))
    (home / "pages").mkdir()
    with (home / "pages" / "much").open("wb") as much:
        much.truncate(MUCH)
    commands = []
    for each in (origin, long_origin):
        (home / f"{each}.conf").write_text(_ORIGIN.format(home=home, port=each))
        meek = ["nice", f"-n{_MEEK}"] if each == long_origin else []
        commands.append([*meek, "nginx", "-c", str(home / f"{each}.conf")])
    written = _EDGE.format(
        port=port, origin=origin, long_origin=long_origin, name=NAME, long=LONG,
        handshake=_HANDSHAKE,
    )  # fmt: skip
    (home / "edge.toml").write_text(written)
    twistd = str(Path(sysconfig.get_path("scripts")) / "twistd")
    arguments = ["-n", "--pidfile=", "mtlsedge", "--config", "edge.toml"]
    commands.append([sys.executable, twistd, *arguments])
    with ExitStack() as stack, (home / "edge.log").open("wb") as log:
        for command in commands:
            process = subprocess.Popen(command, cwd=home, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) > 1:
            os.sched_setaffinity(process.pid, cores[:1])
            os.sched_setaffinity(0, cores[1:])
        place = Place(port, home)
        _await(place)
        yield place


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(place: Place) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            return _ask_anew(place, place.context())
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _line(times: Times, quiet: Times) -> str:
    return (
        f"{times.what:<28}{times.kept_p50:8.2f}{times.kept_p99:8.2f}"
        f"{times.kept_p99 / quiet.kept_p99:7.2f}{times.new_p50:9.2f}{times.new_p99:8.2f}"
        f"{times.new_p99 / quiet.new_p99:7.2f}{times.worst:9.1f}{times.count:8}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; ratios are to the first quiet round."""
    parser = argparse.ArgumentParser(prog="python -m perf.stress", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="for each kind")
    parser.add_argument("--crowd", type=int, default=10_000, help="silent clients")
    parser.add_argument("--few", type=int, default=500, help="clients who are slow")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args(arguments)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found: list[Times] = []
    print(f"{'milliseconds':<28}{'kept p50':>8}{'p99':>8}{'x':>7}{'new p50':>9}{'p99':>8}{'x':>7}"
          f"{'worst':>9}{'count':>8}")  # fmt: skip
    with tempfile.TemporaryDirectory() as home, running(Path(home)) as place:
        for times in all_kinds(place, options.seconds, options.crowd, options.few):
            found.append(times)
            print(_line(times, found[0]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(times) for times in found], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
