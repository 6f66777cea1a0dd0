"""How does a server of ours live? Started in a directory of its own, pinned, awaited, stopped."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from perf.catalogue import Launch
from perf.cpu import process_tree

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
DESCRIPTORS = 1 << 20
_SHOWN = 3000  # characters of a dead server's output


class ServerFailed(Exception):
    """A server did not start, or died; the text has what it said."""


class Server:
    """A process and its children, from ``with`` to the end of its block."""

    def __init__(
        self,
        title: str,
        launch: Launch,
        port: int,
        cores: frozenset[int],
        patience: float = _START_SECONDS,
    ) -> None:
        self.title = title
        self.port = port
        self.log = launch.log
        self.begun = 0.0  # by time.monotonic()
        self._patience = patience
        self._launch = launch
        self._cores = cores
        self._process: subprocess.Popen[bytes] | None = None

    def pids(self) -> tuple[int, ...]:
        """Every process of this server, as of now."""
        assert self._process is not None
        return process_tree(self._process.pid)

    def __enter__(self) -> Server:
        directory = self._launch.directory
        with (
            open(directory / "stdout.log", "wb") as stdout,
            open(directory / "stderr.log", "wb") as stderr,
        ):
            self.begun = time.monotonic()
            self._process = subprocess.Popen(
                self._launch.argv,
                cwd=directory,
                env={**os.environ, **self._launch.environment},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        # Before it has threads or workers of its own: they inherit the choice.
        os.sched_setaffinity(self._process.pid, self._cores)
        try:
            self._await_port()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask it to end, and after a while make it; children that outlive it go too."""
        process = self._process
        if process is None:
            return
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def said(self) -> str:
        """The end of what it wrote: standard output and error, and its own error log."""
        texts = []
        for name in ("stdout.log", "stderr.log", "error.log"):
            path = self._launch.directory / name
            if path.exists() and path != self.log:
                texts.append(path.read_text(errors="replace"))
        return "".join(texts)[-_SHOWN:]

    def _await_port(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServerFailed(f"{self.title} ended at once:\n{self.said()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise ServerFailed(f"{self.title} does not listen after a while:\n{self.said()}")


def raise_descriptors() -> None:
    """As many as this user may have (within reason), for us and every server that we start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, DESCRIPTORS)), hard))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def new_directory(parent: Path, name: str) -> Path:
    """A directory for one server's files."""
    directory = parent / name
    directory.mkdir()
    return directory
