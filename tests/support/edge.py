"""The edge as its users run it: a real ``twistd mtlsedge`` process on a loopback port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from support import toml
from support.ports import free_port, is_listening, wait_until

TWISTD = Path(sysconfig.get_path("scripts")) / "twistd"
_TROUBLE = ("Unhandled Error", "Unhandled error", "Traceback (most recent call last)", "CRITICAL")


class EdgeFailed(AssertionError):
    """The edge did not start, did not stop, or said in its log that something was wrong."""


class Edge:
    """One edge process. A context manager; leaving it stops the edge and judges its log.

    ``config`` is a dict (or TOML text, which must then listen on ``{port}``, kept in
    ``{directory}``): ``edge.listen``, ``edge.state`` and ``edge.access_log`` are filled in where
    they are missing. ``clean_log=False`` for tests that mean to upset it.
    """

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any] | str | None = None,
        *,
        options: tuple[str, ...] = (),
        twistd: tuple[str, ...] = ("--nodaemon", "--pidfile="),
        env: Mapping[str, str] | None = None,
        clean_log: bool = True,
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self.clean_log = clean_log
        self._config = config
        self._options = options
        self._twistd = twistd
        self._env = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def config_path(self) -> Path:
        return self.directory / "edge.toml"

    @property
    def log_path(self) -> Path:
        return self.directory / "edge.log"

    @property
    def access_log_path(self) -> Path:
        return self.directory / "access.jsonl"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> Edge:
        """Start the process and return when it listens."""
        self.directory.mkdir(parents=True, exist_ok=True)
        options = self._options
        if self._config is not None:
            self.config_path.write_text(self._toml())
            options = ("--config", str(self.config_path), *options)
        command = [sys.executable, str(TWISTD), *self._twistd, "mtlsedge", *options]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [part.replace("{port}", str(self.port)) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=self._env,
                start_new_session=True,
            )
        try:
            wait_until(self._is_up, 20, f"the edge to listen on port {self.port}")
        except BaseException as error:
            self.kill()
            raise EdgeFailed(f"{error}; its log:\n{self.log()}") from error
        return self

    def stop(self, timeout: float = 80) -> int:
        """Ask it to stop (SIGTERM), wait, and return its exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise EdgeFailed(f"it did not stop in {timeout} s; its log:\n{self.log()}") from error

    def kill(self) -> None:
        """End it and every worker of its, whatever it is doing."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def rewrite(self, config: Mapping[str, Any] | str) -> None:
        """Put another configuration in the file, whole at any moment; SIGHUP makes it count."""
        self._config = config
        new = self.config_path.with_suffix(".new")
        new.write_text(self._toml())
        new.rename(self.config_path)

    def log(self) -> str:
        """What the process wrote to its log, standard output and standard error so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def access_log(self, count: int = 0, timeout: float = 10) -> list[dict[str, Any]]:
        """The access log's lines so far, parsed, after waiting until there are ``count``."""

        def lines() -> list[bytes]:
            if not self.access_log_path.exists():
                return []
            whole = self.access_log_path.read_bytes()
            return whole[: whole.rfind(b"\n") + 1].splitlines()

        wait_until(lambda: len(lines()) >= count, timeout, f"{count} lines in the access log")
        return [json.loads(line) for line in lines()]

    def memory(self) -> int:
        """Resident memory of the process, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        kilobytes = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(kilobytes.split()[1]) * 1024

    def url(self, host: str, path: str = "/") -> str:
        """An URL at this edge."""
        return f"https://{host}:{self.port}{path}"

    def judge_log(self) -> None:
        """Fail if the log tells of an error that nobody handled."""
        log = self.log()
        found = [trouble for trouble in _TROUBLE if trouble in log]
        if found:
            raise EdgeFailed(f"the edge's log has {found[0]!r}:\n{log}")

    def __enter__(self) -> Edge:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self.is_running() and error is None:
                self.stop()
        finally:
            self.kill()
        if self.clean_log and error is None:
            self.judge_log()

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise EdgeFailed(f"the edge ended with status {self._process.returncode}")
        return is_listening(self.port)

    def _toml(self) -> str:
        if isinstance(self._config, str):
            text = self._config.replace("{port}", str(self.port))
            return text.replace("{directory}", str(self.directory))
        assert self._config is not None
        defaults = {
            "listen": [f"127.0.0.1:{self.port}"],
            "state": "state",
            "access_log": str(self.access_log_path),
        }
        return toml.dumps({**self._config, "edge": {**defaults, **self._config.get("edge", {})}})
