"""twistd's own options, and a service manager's ways, with workers."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from worker_edges import NAME, all_gone, is_alive, one_at_each, start_workers, worker_pids

from support import certs, tables, toml
from support.client import Client
from support.edge import TWISTD, Edge
from support.needs import missing, needs
from support.origin import CountingOrigin
from support.ports import free_port, wait_until

StartEdge = Callable[..., Edge]

ALONE_AND_TOGETHER = pytest.mark.parametrize("workers", [1, 2])


def root_only() -> None:
    """Skip what only root can try."""
    if os.geteuid() != 0:
        missing("this test needs to be root")


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that any user can go down to, as they cannot to pytest's own."""
    with tempfile.TemporaryDirectory(prefix="mtlsedge-home-") as name:
        home = Path(name)
        home.chmod(0o755)
        yield home


@contextmanager
def daemon(directory: Path, config: dict[str, object], *twistd: str) -> Iterator[Path]:
    """A background edge that has started; its pid file. It is stopped in the end."""
    (directory / "edge.toml").write_text(toml.dumps(config))
    pid_file = directory / "edge.pid"
    command = [sys.executable, str(TWISTD), f"--pidfile={pid_file}", *twistd]
    command += ["mtlsedge", "--config", str(directory / "edge.toml")]
    subprocess.run(command, check=True, timeout=120, cwd=directory)
    pid = int(pid_file.read_text())
    try:
        yield pid_file
    finally:
        if is_alive(pid):
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(pid), 20, "the daemon to end")


def log_has(path: Path, what: str) -> None:
    """Wait until the log says so."""
    wait_until(lambda: path.exists() and what in path.read_text(), 20, f"{what!r} in {path}")


def test_a_daemon_with_workers_keeps_its_pid_file_and_log(
    tmp_path: Path, origin: CountingOrigin
) -> None:
    """The pid is the parent's, lines of workers are in twistd's log, which can be rotated."""
    port, log = free_port(), tmp_path / "edge.log"
    config = {
        **tables.one_host(NAME, origin.url),
        "edge": {"listen": [f"127.0.0.1:{port}"], "workers": 2, "state": "state"},
    }
    with daemon(tmp_path, config, f"--logfile={log}") as pid_file:
        log_has(log, "serving generation 1")
        parent = int(pid_file.read_text())
        workers = worker_pids(parent)
        assert 2 == len(workers)
        assert [200] * 6 == [Client(certs.client()).get(port, NAME).status for _ in range(6)]
        os.kill(parent, signal.SIGUSR1)
        wait_until((tmp_path / "edge.log.1").exists, 10, "the log to be rotated")
        os.kill(workers[0], signal.SIGTERM)
        log_has(log, "is replaced at once")
        log_has(log, "serves, process")
        assert pid_file.exists()
        everyone = [parent, *worker_pids(parent)]
    all_gone(everyone)
    assert not pid_file.exists()
    log_has(log, "[worker 1] Main loop terminated")


@ALONE_AND_TOGETHER
def test_privileges_are_dropped_after_low_ports_are_bound(
    tmp_path: Path, home: Path, origin: CountingOrigin, workers: int
) -> None:
    """And the keys that only root can read were read; who is forked later serves as well."""
    root_only()
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    port, log = low_port(), home / "edge.log"
    host = tables.host(NAME, upstream=origin.url)
    key = tmp_path / "server-key.pem"
    key.write_bytes(Path(host["key"]).read_bytes())
    key.chmod(0o600)
    config = {
        "host": [{**host, "key": str(key)}],
        "client_ca": [tables.client_ca(NAME)],
        "application": [tables.application(NAME)],
        "edge": {
            "listen": [f"127.0.0.1:{port}"],
            "workers": workers,
            "state": str(home / "state"),
            "access_log": str(home / "access.jsonl"),
        },
    }
    ids = f"--uid={nobody.pw_uid}", f"--gid={nobody.pw_gid}"
    (tmp_path / "edge.pid").touch()
    with daemon(home, config, f"--logfile={log}", *ids) as pid_file:
        log_has(log, "serving generation 1")
        parent = int(pid_file.read_text())
        for pid in (parent, *worker_pids(parent)):
            status = Path(f"/proc/{pid}/status").read_text()
            assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}" in status
        assert 200 == Client(certs.client()).get(port, NAME).status
        if workers > 1:
            for pid in worker_pids(parent):
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: log.read_text().count("serves, process") == 4, 10, "successors")
            assert 200 == Client(certs.client()).get(port, NAME).status
    assert nobody.pw_uid == (home / "state" / "signing-keys.json").stat().st_uid
    assert nobody.pw_uid == (home / "access.jsonl").stat().st_uid


def low_port() -> int:
    """A port that only root may bind, and that is free."""
    for port in range(700, 1024):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no low port is free")


@ALONE_AND_TOGETHER
def test_it_runs_in_a_chroot(tmp_path: Path, origin: CountingOrigin, workers: int) -> None:
    """All that is opened later is looked for within, and workers need no file to begin."""
    root_only()
    port, root = free_port(), tmp_path / "root"
    within = root / str(tmp_path)[1:]
    within.mkdir(parents=True)
    (root / "dev").mkdir()
    (root / "dev" / "null").touch()  # Twisted keeps a descriptor of it in reserve
    config = {
        **tables.one_host(NAME, origin.url),
        "edge": {
            "listen": [f"127.0.0.1:{port}"],
            "workers": workers,
            "state": str(tmp_path / "state"),
            "access_log": str(tmp_path / "access.jsonl"),
        },
    }
    edge = Edge(
        tmp_path, toml.dumps(config), twistd=("--nodaemon", "--pidfile=", f"--chroot={root}")
    )
    edge.port = port
    with edge:
        wait_until(lambda: "serving generation 1" in edge.log(), 20, "the edge to serve")
        if workers > 1:
            for pid in worker_pids(edge.pid):
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: edge.log().count("serves, process") == 4, 10, "successors")
        for pid in (edge.pid, *worker_pids(edge.pid)):
            assert str(root) == os.readlink(f"/proc/{pid}/root")
        assert 200 == Client(certs.client()).get(port, NAME).status
    assert (within / "access.jsonl").exists()
    assert not (tmp_path / "access.jsonl").exists()


@pytest.mark.parametrize("reactor", ["poll", "select", "asyncio"])
def test_workers_have_the_reactor_that_was_asked_for(
    start_edge: StartEdge, origin: CountingOrigin, reactor: str
) -> None:
    """``twistd --reactor``: verifiers may need one of its kind."""
    options = ("--nodaemon", "--pidfile=", f"--reactor={reactor}")
    edge = start_workers(start_edge, origin, 2, twistd=options)
    kept = one_at_each(edge, origin, 2)
    os.kill(edge.pid, signal.SIGHUP)
    wait_until(lambda: "serving generation 2" in edge.log(), 20, "the reload")
    assert [200, 200] == [each.get(NAME).status for each in kept.values()]
    os.kill(worker_pids(edge.pid)[0], signal.SIGKILL)
    wait_until(lambda: edge.log().count("serves, process") == 3, 10, "the successor")


# -- a service manager's ways --------------------------------------------------------------------


@ALONE_AND_TOGETHER
def test_the_service_manager_hears_of_every_state(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path, workers: int
) -> None:
    """Ready when all serve; reloading and ready again, also after a refusal; stopping.

    And that the edge still turns, where the manager wants to know.
    """
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(80)

        def hear() -> str:
            heard.append(manager.recv(4096).decode())
            return hear() if heard[-1] == "WATCHDOG=1" else heard[-1].split("\n")[0]

        config = tables.one_host(NAME, origin.url)
        config["edge"] = {"workers": workers}
        asked = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
        edge = start_edge(config, env=asked)
        assert "READY=1" == hear()
        while "WATCHDOG=1" not in heard:
            heard.append(manager.recv(4096).decode())
        assert (workers if workers > 1 else 0) == len(worker_pids(edge.pid))
        os.kill(edge.pid, signal.SIGHUP)
        assert ["RELOADING=1", "READY=1"] == [hear(), hear()]
        (reloading,) = (each for each in heard if each.startswith("RELOADING"))
        microseconds = int(reloading.partition("MONOTONIC_USEC=")[2])
        assert abs(time.monotonic() - microseconds / 1e6) < 100
        edge.config_path.write_text("[[host")
        os.kill(edge.pid, signal.SIGHUP)
        assert ["RELOADING=1", "READY=1"] == [hear(), hear()]
        edge.stop()
        assert "STOPPING=1" == hear()


@ALONE_AND_TOGETHER
def test_an_inherited_socket_outlives_the_edge(
    tmp_path: Path, origin: CountingOrigin, workers: int
) -> None:
    """``fd:3``: clients that come while nobody serves wait, and the next edge serves them."""
    with socket.create_server(("127.0.0.1", 0)) as inherited, ExitStack() as stack:
        port = inherited.getsockname()[1]
        config = tables.one_host(NAME, origin.url)
        config["edge"] = {"listen": ["fd:3"], "workers": workers, "state": "state"}
        (tmp_path / "edge.toml").write_text(toml.dumps(config))
        for _ in range(2):
            # Somebody comes before there is an edge.
            early = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            process = start_with_descriptor_3(tmp_path, inherited)
            try:
                early.settimeout(80)
                name = Client(certs.client()).context.wrap_socket(early, server_hostname=NAME)
                name.close()
                assert 200 == Client(certs.client()).get(port, NAME).status
            finally:
                process.terminate()
                process.wait(80)


def start_with_descriptor_3(directory: Path, inherited: socket.socket) -> subprocess.Popen[bytes]:
    """An edge as a service manager starts it: the socket is its descriptor 3."""
    command = [sys.executable, str(TWISTD), "--nodaemon", "--pidfile=", "mtlsedge"]
    command += ["--config", "edge.toml"]
    program = f"import os; os.dup2({inherited.fileno()}, 3); os.execv({command[0]!r}, {command!r})"
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=directory,
        pass_fds=[inherited.fileno()],
        env={**os.environ, "LISTEN_FDS": "1"},
        stdout=(directory / "edge.log").open("ab"),
        stderr=subprocess.STDOUT,
    )


def test_systemds_own_tool_can_start_it(tmp_path: Path, origin: CountingOrigin) -> None:
    """At the first client, with the socket that this client came to."""
    tool = needs("systemd-socket-activate")
    port = free_port()
    config = tables.one_host(NAME, origin.url)
    config["edge"] = {"listen": ["fd:3"], "workers": 2, "state": "state"}
    (tmp_path / "edge.toml").write_text(toml.dumps(config))
    command = [str(tool), f"--listen=127.0.0.1:{port}", sys.executable, str(TWISTD), "--nodaemon"]
    command += ["--pidfile=", "mtlsedge", "--config", str(tmp_path / "edge.toml")]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port), 20, "the first answer")
        wait_until(lambda: len(worker_pids(process.pid)) == 2, 10, "the other worker")
    finally:
        process.terminate()
        process.wait(80)


def answers(port: int) -> bool:
    """Whether a client is served."""
    try:
        return Client(certs.client()).get(port, NAME).status == 200
    except ConnectionRefusedError:
        return False
