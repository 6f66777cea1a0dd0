"""Run the demonstration: an origin in this process and the edge in one of its own."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

from mtlsedge.demo.files import DEVICES_HOST, NotOurs, prepare
from mtlsedge.demo.origin import start_origin
from mtlsedge.demo.walk import walk

_TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
_START = 20.0  # seconds for the edge to answer its first request
_STOP = 40.0  # seconds for it to finish what it is doing


def main(arguments: list[str] | None = None) -> int:
    """Run until interrupted; the exit status is 0 unless the edge ended by itself."""
    options = _parse(arguments)
    directory = Path(os.path.relpath(options.directory))
    origin = _origin(options.origin_port)
    port = _free(options.port)
    try:
        configuration = prepare(directory, port, f"http://127.0.0.1:{origin.server_port}")
    except NotOurs as error:
        print(f"mtlsedge.demo: {error} with --directory", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    edge = _start_edge(directory, configuration)
    try:
        _wait_until_it_answers(edge, directory, port)
        print(_greeting(directory, port, origin.server_port), flush=True)
        edge.wait()
    except KeyboardInterrupt:
        _stop(edge)
        print("\nStopped.")
        return 0
    except TimeoutError:
        _stop(edge)
    finally:
        origin.shutdown()
    print(f"The edge is not running. Its log, {directory}/edge.log, ends with:", file=sys.stderr)
    print(*(directory / "edge.log").read_text().splitlines()[-20:], sep="\n", file=sys.stderr)
    return 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m mtlsedge.demo", description="Run an edge and an origin to try."
    )
    parser.add_argument("--directory", default="demo", help="for its files; made if missing (demo)")
    parser.add_argument("--port", type=int, default=8443, help="the edge's, if it is free (8443)")
    parser.add_argument(
        "--origin-port", type=int, default=8080, help="the origin's, if it is free (8080)"
    )
    return parser.parse_args(arguments)


def _origin(wanted: int) -> ThreadingHTTPServer:
    try:
        return start_origin(wanted)
    except OSError:
        return start_origin(0)


def _free(wanted: int) -> int:
    """The wanted port if nobody has it, else any that is free."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port is free")


def _start_edge(directory: Path, configuration: Path) -> subprocess.Popen[bytes]:
    log = directory / "edge.log"
    log.unlink(missing_ok=True)
    with log.open("wb") as output:
        # In a session of its own: Ctrl-C in the terminal is for this process to pass on, once.
        return subprocess.Popen(  # noqa: S603 - our own interpreter and file names
            [*_TWISTD, "--nodaemon", "--pidfile=", "mtlsedge", "--config", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_it_answers(edge: subprocess.Popen[bytes], directory: Path, port: int) -> None:
    """Ask for a page until there is an answer, whatever it is.

    Raises:
        TimeoutError: there was none.
    """
    context = ssl.create_default_context(cafile=directory / "server-ca.pem")
    deadline = time.monotonic() + _START
    while edge.poll() is None and time.monotonic() < deadline:
        try:
            with (
                socket.create_connection(("127.0.0.1", port), 5) as plain,
                context.wrap_socket(plain, server_hostname=DEVICES_HOST) as secure,
            ):
                secure.sendall(f"HEAD / HTTP/1.1\r\nHost: {DEVICES_HOST}\r\n\r\n".encode())
                if secure.recv(64).startswith(b"HTTP/1.1 "):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the edge does not answer")


def _greeting(directory: Path, port: int, origin_port: int) -> str:
    return (
        f"\nThe edge is https://{DEVICES_HOST}:{port}"
        f" and the origin behind it http://127.0.0.1:{origin_port}.\n"
        f"In {directory}/ are edge.toml, the configuration, and access.jsonl, the access log.\n"
        f"Try, in another terminal:\n\n{walk(directory, port)}\nCtrl-C stops both.\n"
    )


def _stop(edge: subprocess.Popen[bytes]) -> None:
    """End the edge, gently first; a second Ctrl-C makes it quick."""
    edge.terminate()
    try:
        edge.wait(_STOP)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        edge.kill()
        edge.wait()


if __name__ == "__main__":
    sys.exit(main())
