"""Files come all together or not at all, and keys are never anybody else's to read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mtlsedge.pki import files
from mtlsedge.pki.files import SECRET, NewFile, write_all


def three(directory: Path, content: bytes = b"new") -> list[NewFile]:
    """A key and two others."""
    return [
        NewFile(directory / "a-key", content, SECRET),
        NewFile(directory / "a", content),
        NewFile(directory / "b", content),
    ]


def contents(directory: Path) -> dict[str, bytes]:
    """Every file, hidden ones included."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_all_are_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    """No temporary files, and modes as they should be."""
    write_all(three(tmp_path))
    assert {"a-key": b"new", "a": b"new", "b": b"new"} == contents(tmp_path)
    assert 0o600 == (tmp_path / "a-key").stat().st_mode & 0o777
    assert 0o644 == (tmp_path / "a").stat().st_mode & 0o777


@pytest.mark.parametrize("taken", ["a-key", "a", "b"])
def test_one_that_is_there_stops_all(tmp_path: Path, taken: str) -> None:
    """Whichever it is."""
    (tmp_path / taken).write_bytes(b"old")
    with pytest.raises(FileExistsError, match="--force"):
        write_all(three(tmp_path))
    assert {taken: b"old"} == contents(tmp_path)


def test_a_link_to_nowhere_is_there_too(tmp_path: Path) -> None:
    """Nothing is written through it."""
    (tmp_path / "a-key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        write_all(three(tmp_path))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("special", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_never_replaced(tmp_path: Path, special: Callable[[Path], None]) -> None:
    """A pipe, a directory, or /dev/null, for whoever is root; nor through a link."""
    special(tmp_path / "b")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    before = (tmp_path / "b").lstat().st_ino
    for batch in (three(tmp_path)[2:], three(tmp_path)[1:2]):
        with pytest.raises(FileExistsError, match="not a regular file"):
            write_all(batch, force=True)
    assert before == (tmp_path / "b").lstat().st_ino
    assert {"a", "b"} == {path.name for path in tmp_path.iterdir()}


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What it leads to is replaced, if the operator insists."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real").write_bytes(b"old")
    (tmp_path / "a").symlink_to("there/real")
    write_all(three(tmp_path)[1:2], force=True)
    assert (tmp_path / "a").is_symlink()
    assert b"new" == (tmp_path / "there" / "real").read_bytes()
    assert ["real"] == [path.name for path in (tmp_path / "there").iterdir()]


@pytest.mark.parametrize("force", [False, True])
def test_what_fails_at_the_end_leaves_everything_as_it_was(tmp_path: Path, force: bool) -> None:
    """The record that could not be written, say."""
    before = {}
    if force:
        (tmp_path / "a").write_bytes(b"old")
        before = {"a": b"old"}

    def fail() -> None:
        assert b"new" == (tmp_path / "a").read_bytes()
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        write_all(three(tmp_path), force=force, then=fail)
    assert before == contents(tmp_path)


@pytest.mark.parametrize("force", [False, True])
def test_what_fails_on_the_way_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    """A name that was taken meanwhile, or a directory of that name."""
    real = files._put

    def put(temporary: Path, path: Path, *, force: bool) -> object:
        if path.name == "b":
            raise FileExistsError("taken")
        return real(temporary, path, force=force)

    monkeypatch.setattr(files, "_put", put)
    with pytest.raises(FileExistsError, match="taken"):
        write_all(three(tmp_path), force=force)
    assert {} == contents(tmp_path)


def test_a_key_is_never_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when it is still empty, and whatever the umask."""
    seen = []
    real = os.open

    def spy(path: os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        descriptor = real(path, flags, mode)
        seen.append((os.fstat(descriptor).st_mode & 0o777, bool(flags & os.O_EXCL)))
        return descriptor

    monkeypatch.setattr(files.os, "open", spy)
    before = os.umask(0)
    try:
        write_all(three(tmp_path)[:1], force=True)
    finally:
        os.umask(before)
    assert [(0o600, True)] == seen
