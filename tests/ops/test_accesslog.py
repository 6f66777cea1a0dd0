"""How the access log's lines get where they go: in few calls, and in nobody's way."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from mtlsedge.errors import EdgeError
from mtlsedge.ops import accesslog
from mtlsedge.ops.accesslog import AccessLog


@pytest.fixture
def events() -> Iterator[list[LogEvent]]:
    seen: list[LogEvent] = []
    globalLogPublisher.addObserver(seen.append)
    yield seen
    globalLogPublisher.removeObserver(seen.append)


def test_lines_are_gathered_and_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One system call a tenth of a second, in a file that only the group may read."""
    clock, place = Clock(), tmp_path / "access.jsonl"
    old = os.umask(0)
    try:
        log = AccessLog(str(place), clock)
    finally:
        os.umask(old)
    writes: list[bytes] = []
    write = os.write
    monkeypatch.setattr(accesslog.os, "write", lambda f, d: writes.append(d) or write(f, d))
    for number in range(3):
        log.write(str(number))
    assert b"" == place.read_bytes()
    clock.advance(0.1)
    assert b"0\n1\n2\n" == place.read_bytes()
    assert 1 == len(writes)
    assert 0o640 == stat.S_IMODE(place.stat().st_mode)
    assert [] == clock.getDelayedCalls()
    log.close()


def test_many_lines_are_written_at_once(tmp_path: Path) -> None:
    """Memory holds no more than 64 KiB of them."""
    place = tmp_path / "access.jsonl"
    log = AccessLog(str(place), Clock())
    for _ in range(66):
        log.write("x" * 1023)
    assert 64 * 1024 == place.stat().st_size
    log.close()
    assert 66 * 1024 == place.stat().st_size


def test_a_log_of_nothing_takes_everything() -> None:
    """No destination: no file, no timer."""
    clock = Clock()
    log = AccessLog("", clock)
    log.write("x")
    log.flush()
    log.reopen()
    log.close()
    assert not log.enabled
    assert [] == clock.getDelayedCalls()


def test_reopen_follows_a_rename(tmp_path: Path) -> None:
    """What was gathered goes to the old file, what comes goes to the new."""
    place, old = tmp_path / "log", tmp_path / "log.1"
    log = AccessLog(str(place), Clock())
    log.write("one")
    place.rename(old)
    log.reopen()
    log.write("two")
    log.close()
    assert ("one\n", "two\n") == (old.read_text(), place.read_text())
    log.write("three")
    assert "two\n" == place.read_text()


def test_a_failed_reopen_keeps_the_old_file(tmp_path: Path, events: list[LogEvent]) -> None:
    """And says so."""
    place = tmp_path / "d" / "log"
    place.parent.mkdir()
    log = AccessLog(str(place), Clock())
    place.parent.rename(tmp_path / "e")
    log.reopen()
    log.write("kept")
    log.close()
    assert "kept\n" == (tmp_path / "e" / "log").read_text()
    assert any("cannot be reopened" in event["log_format"] for event in events)


def test_a_place_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    """At start, with the path in the message."""
    with pytest.raises(EdgeError, match="no/such"):
        AccessLog(str(tmp_path / "no" / "such"), Clock())


def test_a_full_disk_loses_lines_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: list[LogEvent]
) -> None:
    """Counted, told once, over when the disk has room; never an exception."""
    place = tmp_path / "log"
    log = AccessLog(str(place), Clock())
    write = os.write

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(accesslog.os, "write", full)
    for _ in range(3):
        log.write("lost")
        log.flush()
    monkeypatch.setattr(accesslog.os, "write", write)
    log.write("kept")
    log.close()
    assert 3 == log.dropped
    assert "kept\n" == place.read_text()
    told = [event["log_format"] for event in events if "access log" in event["log_format"]]
    assert ["cannot be written" in told[0], "written again" in told[1]] == [True, True]
    assert 2 == len(told)


def test_a_torn_line_does_not_swallow_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up in the middle leaves one broken line, not two."""
    place = tmp_path / "log"
    log = AccessLog(str(place), Clock())
    write = os.write
    monkeypatch.setattr(accesslog.os, "write", lambda file, data: write(file, data[:6]))
    log.write("first")
    log.write("second")
    log.write("third")
    log.flush()
    monkeypatch.setattr(accesslog.os, "write", lambda file, data: write(file, data[:2]))
    log.write("fourth")
    log.flush()
    monkeypatch.setattr(accesslog.os, "write", write)
    log.write("fifth")
    log.close()
    assert "first\nfo\nfifth\n" == place.read_text()
    assert 3 == log.dropped


@pytest.fixture
def redirect() -> Iterator[Any]:
    saved = os.dup(1)
    yield lambda file: os.dup2(file, 1)
    os.dup2(saved, 1)
    os.close(saved)


def test_a_stalled_pipe_stops_nobody(redirect: Any) -> None:
    """Standard output is a pipe that nobody reads: lines wait, then are lost, and none is cut."""
    clock = Clock()
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 65536)
    redirect(writer)
    log = AccessLog("-", clock)
    line = "x" * 999
    for _ in range(3000):
        log.write(line)
        clock.advance(0.01)
    assert not fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK
    assert log.dropped > 1000
    assert log._pending < 1024 * 1024 + 2000
    os.close(writer)
    os.set_blocking(reader, False)
    received = b""
    for _ in range(100):
        clock.advance(0.1)
        try:
            received += os.read(reader, 1 << 20)
        except BlockingIOError:
            break
    log.close()
    lines = received.split(b"\n")
    assert b"" == lines.pop()
    assert {line.encode()} == set(lines)
    assert 3000 == len(lines) + log.dropped
    os.close(reader)


@pytest.mark.parametrize("gone", [False, True])
def test_standard_output_may_be_a_socket(redirect: Any, gone: bool) -> None:
    """As under a service manager; one that is gone or stalls costs lines only."""
    clock = Clock()
    ours, theirs = socket.socketpair()
    redirect(theirs.fileno())
    log = AccessLog("-", clock)
    log.write("hello")
    clock.advance(0.1)
    assert b"hello\n" == ours.recv(100)
    if gone:
        ours.close()
    for _ in range(3000):
        log.write("x" * 999)
    clock.advance(1.0)
    if gone:
        assert log.dropped == 3000
    assert log._pending < 1024 * 1024 + 2000
    log.close()
    theirs.close()
    ours.close()


def test_a_pipe_whose_reader_left_costs_lines_only(redirect: Any) -> None:
    """EPIPE is a failure like any other."""
    reader, writer = os.pipe()
    redirect(writer)
    log = AccessLog("-", Clock())
    os.close(reader)
    log.write("lost")
    log.close()
    os.close(writer)
    assert 1 == log.dropped


def test_standard_output_may_be_a_file_that_others_write_too(redirect: Any, tmp_path: Path) -> None:
    """As after ``> edge.log``: nobody writes over anybody's lines."""
    place = tmp_path / "edge.log"
    with place.open("wb", buffering=0) as file:
        redirect(file.fileno())
        log = AccessLog("-", Clock())
        log.write("ours")
        log.flush()
        os.write(1, b"theirs\n")
        log.write("ours again")
        log.close()
    assert "ours\ntheirs\nours again\n" == place.read_text()
