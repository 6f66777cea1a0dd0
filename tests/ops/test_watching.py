"""A watch on files, with a clock of its own and real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from mtlsedge.ops.watching import INTERVAL, FileWatch


class Watcher:
    """A watch on one file, and what it told."""

    def __init__(self, path: Path, most: int = 1000) -> None:
        self.clock = Clock()
        self.path = path
        self.contents: list[bytes] = []
        self.troubles: list[str] = []
        self.watch = FileWatch(
            self.clock,
            lambda path, content: self.contents.append(content),
            lambda path, trouble: self.troubles.append(trouble),
            most,
        )
        known = path.read_bytes() if path.exists() else b""
        self.watch.watch({path: known})

    def looks(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(INTERVAL)

    def rename(self, content: bytes) -> None:
        new = self.path.with_suffix(".new")
        new.write_bytes(content)
        new.replace(self.path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ca.crl"
    path.write_bytes(b"first")
    return path


def test_a_file_that_stays_as_it_was_is_never_told(path: Path) -> None:
    watcher = Watcher(path)
    watcher.looks(5)
    assert [] == watcher.contents


def test_what_changed_before_the_first_look_is_told(path: Path) -> None:
    watcher = Watcher(path)
    path.write_bytes(b"second")
    watcher.looks(2)
    assert [b"second"] == watcher.contents


def test_what_is_being_written_at_the_first_look_is_not_read(path: Path) -> None:
    watcher = Watcher(path)
    path.write_bytes(b"sec")
    watcher.looks()
    path.write_bytes(b"second")
    watcher.looks()
    assert [] == watcher.contents
    watcher.looks()
    assert [b"second"] == watcher.contents


def test_a_renamed_file_is_told_with_the_next_look(path: Path) -> None:
    watcher = Watcher(path)
    watcher.looks()
    watcher.rename(b"second")
    watcher.looks()
    assert [b"second"] == watcher.contents


def test_a_file_that_is_written_in_place_is_read_when_it_stands_still(path: Path) -> None:
    watcher = Watcher(path)
    watcher.looks()
    with path.open("r+b", buffering=0) as file:
        for part in (b"sec", b"ond ", b"edition"):
            file.write(part)
            watcher.looks()
            assert [] == watcher.contents
    watcher.looks()
    assert [b"second edition"] == watcher.contents


def test_the_same_content_anew_is_no_change(path: Path) -> None:
    watcher = Watcher(path)
    watcher.looks()
    watcher.rename(b"first")
    watcher.looks(3)
    assert [] == watcher.contents


def test_a_file_that_goes_is_told_once_and_again_when_it_has_come_back(path: Path) -> None:
    watcher = Watcher(path)
    watcher.looks()
    path.unlink()
    watcher.looks(4)
    assert ["No such file or directory"] == watcher.troubles
    watcher.rename(b"second")
    watcher.looks(2)
    path.unlink()
    watcher.looks()
    assert [b"second"] == watcher.contents
    assert 2 == len(watcher.troubles)


def test_a_file_that_comes_back_as_it_was_is_told(path: Path) -> None:
    """Somebody was told that it had gone."""
    watcher = Watcher(path)
    watcher.looks(2)
    path.unlink()
    watcher.looks()
    watcher.rename(b"first")
    watcher.looks(3)
    assert [b"first"] == watcher.contents


def test_a_file_that_is_too_long_is_trouble_and_is_not_taken(path: Path) -> None:
    watcher = Watcher(path, most=5)
    watcher.rename(b"sixsix")
    watcher.looks(2)
    assert [] == watcher.contents
    assert ["it has more than 5 bytes"] == watcher.troubles


def test_a_link_that_is_swapped_is_a_change(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    link = tmp_path / "ca.crl"
    link.symlink_to("a")
    watcher = Watcher(link)
    watcher.looks()
    (tmp_path / "new").symlink_to("b")
    os.replace(tmp_path / "new", link)
    watcher.looks()
    assert [b"b"] == watcher.contents


def test_a_failure_of_the_listener_ends_neither_the_watch_nor_the_other_files(
    tmp_path: Path,
) -> None:
    clock, told = Clock(), []

    def changed(path: Path, content: bytes) -> None:
        told.append(path.name)
        raise ValueError("of the listener")

    watch = FileWatch(clock, changed, lambda path, trouble: None, 10)
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_bytes(b"new")
    watch.watch(dict.fromkeys(files, b"old"))
    clock.advance(INTERVAL)
    clock.advance(INTERVAL)
    assert ["a", "b"] == told
    files[0].write_bytes(b"newer")
    clock.advance(INTERVAL)
    clock.advance(INTERVAL)
    assert ["a", "b", "a"] == told
    watch.stop()
    assert [] == clock.getDelayedCalls()


def test_a_pipe_in_a_file_s_place_is_trouble_and_keeps_nobody_waiting(path: Path) -> None:
    """Opening one to which nobody writes would wait for ever, and all clients with it."""
    watcher = Watcher(path)
    watcher.looks(2)
    pipe = path.with_suffix(".pipe")
    os.mkfifo(pipe)
    pipe.replace(path)
    watcher.looks(3)
    assert ["it is not a regular file"] == watcher.troubles
    watcher.rename(b"second")
    watcher.looks(2)
    assert [b"second"] == watcher.contents
