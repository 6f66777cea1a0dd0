"""What ``make run`` prints is true: every line of it is run, and does what it says."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import curl
from support.needs import needs
from support.ports import is_listening, wait_until

ROOT = Path(__file__).parent.parent.parent
_STEP = re.compile(r"^\d+\. .*\((\d{3})\)\.\n +curl (.*)$", re.MULTILINE)
_PORTS = re.compile(r"localhost:(\d+) and the origin behind it http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Printed:
    """What a running demonstration printed, and where the user's shell stands."""

    text: str
    directory: Path

    @property
    def steps(self) -> list[tuple[str, str]]:
        """The promised status and the curl arguments of each step."""
        return _STEP.findall(self.text)

    def run(self, arguments: str, *more: str) -> curl.Curled:
        """Run one of its curl lines."""
        return curl.run_curl(*shlex.split(arguments), *more, cwd=self.directory)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Printed]:
    """What the demonstration prints, while it runs."""
    directory = tmp_path_factory.mktemp("run")
    with demonstration(directory / "demo") as (_, text):
        yield Printed(text, directory)


def test_each_printed_line_gets_the_status_it_promises(printed: Printed) -> None:
    """Refused, admitted, wrong CA, another name: as printed."""
    assert {"200", "403"} == {status for status, _ in printed.steps}
    assert 4 <= len(printed.steps)
    got = [(str(printed.run(arguments).status), arguments) for _, arguments in printed.steps]
    assert printed.steps == got


def test_the_admitted_device_sees_what_the_origin_got(printed: Printed) -> None:
    """The headers that the edge added, and the cookie it set."""
    admitted = next(arguments for status, arguments in printed.steps if status == "200")
    answer = printed.run(admitted)
    shown = answer.body.lower()
    assert "cf-cert-verified: true" in shown
    assert "cf-access-jwt-assertion: " in shown
    assert [True] == [value.startswith("CF_Authorization=") for value in answer.all("Set-Cookie")]
    page = printed.run(admitted, "-H", "Accept: text/html")
    assert page.body.startswith("<!doctype html>")


def test_a_second_run_uses_the_same_certificates_and_both_stop(tmp_path: Path) -> None:
    """Nobody has to import a CA twice; SIGTERM ends edge and origin, with status 0."""
    kept = []
    for _ in range(2):
        with demonstration(tmp_path / "demo") as (process, text):
            ports = [int(port) for port in _PORTS.search(text).groups()]
            assert all(is_listening(port) for port in ports)
        assert 0 == process.returncode
        assert not any(is_listening(port) for port in ports)
        kept.append((tmp_path / "demo" / "devices-ca.pem").read_bytes())
    assert kept[0] == kept[1]


def test_make_run_runs_it_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    """The command of the README, from an environment that is installed already."""
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "python").chmod(0o755)
    (tmp_path / "venv" / ".installed").touch()
    options = f"--directory {tmp_path / 'demo'} --port 0 --origin-port 0"
    command = [needs("make"), "run", f"VENV={tmp_path / 'venv'}", f"ARGS={options}"]
    with running(command, ROOT) as (process, text):
        ports = [int(port) for port in _PORTS.search(text).groups()]
        os.killpg(process.pid, signal.SIGINT)
        process.wait(120)
    wait_until(lambda: not any(map(is_listening, ports)), 10, "the ports to be free again")


def test_a_directory_with_other_things_is_left_alone(tmp_path: Path) -> None:
    """A CA of the user's own is not overwritten by a demonstration."""
    (tmp_path / "server-ca.pem").write_text("mine")
    command = [sys.executable, "-m", "mtlsedge.demo", "--directory", str(tmp_path)]
    command += ["--port", "0", "--origin-port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert 2 == done.returncode
    assert "name another" in done.stderr
    assert ["server-ca.pem"] == [path.name for path in tmp_path.iterdir()]


@contextmanager
def demonstration(directory: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the demonstration on free ports; its process and what it printed."""
    command = [sys.executable, "-m", "mtlsedge.demo", "--directory", str(directory)]
    with running([*command, "--port", "0", "--origin-port", "0"], directory.parent) as started:
        yield started


@contextmanager
def running(command: list[object], directory: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run until it has printed everything; then let the test look; then stop it."""
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        text = ""
        for line in process.stdout:
            text += line
            if line.startswith("Ctrl-C"):
                break
        assert "Ctrl-C" in text, text
        yield process, text
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
