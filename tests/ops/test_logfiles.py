"""Access logs are read back, whatever became of their files."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from mtlsedge.ops.logfiles import Reading, UnreadableLog, read_logs, with_rotated


def test_rotated_and_compressed_logs_are_read_in_order(tmp_path: Path) -> None:
    """The oldest first, by when they were written last."""
    log = tmp_path / "access.jsonl"
    (tmp_path / "access.jsonl.2.gz").write_bytes(gzip.compress(b'{"n":1}\n{"n":2}\n'))
    (tmp_path / "access.jsonl-20261122").write_text('{"n":3}\n')
    log.write_text('{"n":4}\n')
    (tmp_path / "access.json").write_text('{"n":9}\n')
    for age, path in enumerate((log, tmp_path / "access.jsonl-20261122", *tmp_path.glob("*.gz"))):
        os.utime(path, (1e9 - age, 1e9 - age))
    reading = Reading()
    assert [1, 2, 3, 4] == [line["n"] for line in read_logs(with_rotated(log), reading)]
    assert (4, 0) == (reading.lines, reading.damaged)


@pytest.mark.parametrize(
    ("content", "whole", "damaged"),
    [
        (b'{"n":1}\n{"n":', 1, 1),
        (b'\n{"n":1}\n[1]\nnull\n', 1, 3),
        (b'{"n":1}\n\xff\xfe\n{"n":2}', 2, 1),
        (b"[" * 100_000 + b'\n{"n":1}\n', 1, 1),
        (gzip.compress(b'{"n":1}\n' * 3)[:-8], 3, 1),
    ],
)
def test_damaged_lines_are_counted_and_passed_over(
    tmp_path: Path, content: bytes, whole: int, damaged: int
) -> None:
    """A disk that filled up, a process that was killed, a file cut short."""
    (tmp_path / "log").write_bytes(content)
    reading = Reading()
    assert whole == len(list(read_logs([tmp_path / "log"], reading)))
    assert damaged == reading.damaged


def test_a_log_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(UnreadableLog, match="nothing"):
        with_rotated(tmp_path / "nothing")
    with pytest.raises(UnreadableLog, match="nothing"):
        list(read_logs([tmp_path / "nothing"], Reading()))
