"""The ledger: append-only, locked, and honest about what was cut off."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mtlsedge.errors import PkiError
from mtlsedge.pki.ledger import ledger_path, reading, writing

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def append(path: Path, *numbers: int, authority: str = "a") -> list[str]:
    """Write records; gives the notes."""
    with writing(path, authority) as ledger:
        ledger.append(NOW, *({"event": "x", "n": number} for number in numbers))
        return ledger.notes


def numbers(path: Path, authority: str = "a") -> list[int]:
    """The records there are."""
    return [record["n"] for record in reading(path, authority).records]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Line by line, each by itself; and nobody else may read it."""
    path = tmp_path / "l"
    append(path, 1, 2)
    append(path, 3)
    assert [1, 2, 3] == numbers(path)
    first = json.loads(path.read_text().splitlines()[0])
    assert {"event": "x", "time": "2026-01-02T03:04:05Z", "ca": "a", "n": 1} == first
    assert 0o600 == path.stat().st_mode & 0o777


def test_another_authoritys_records_are_not_seen(tmp_path: Path) -> None:
    """A CA made anew under an old name has a beginning of its own."""
    path = tmp_path / "l"
    append(path, 1, authority="a")
    append(path, 2, authority="b")
    assert ([1], [2]) == (numbers(path, "a"), numbers(path, "b"))


def test_it_is_beside_the_ca(tmp_path: Path) -> None:
    """Its bundle is the same CA."""
    assert tmp_path / "ca-ledger.jsonl" == ledger_path(tmp_path / "ca.pem")
    assert tmp_path / "sub-ledger.jsonl" == ledger_path(tmp_path / "sub-bundle.pem")


def test_none_is_an_empty_one(tmp_path: Path) -> None:
    """A CA that cfssl made has none."""
    assert [] == reading(tmp_path / "l", "a").records
    assert not (tmp_path / "l").exists()


def test_a_last_line_that_was_cut_off_is_named_and_passed_over(tmp_path: Path) -> None:
    """Also once something was written behind it."""
    path = tmp_path / "l"
    append(path, 1, 2)
    path.write_bytes(path.read_bytes()[:-20])
    ledger = reading(path, "a")
    assert [1] == [record["n"] for record in ledger.records]
    assert "line 2 was cut off" in ledger.notes[0]
    append(path, 3)
    append(path, 4)
    assert [1, 3, 4] == numbers(path)
    assert "line 2 was cut off" in reading(path, "a").notes[0]
    assert [None] == [json.loads(x).get("n") for x in path.read_text().splitlines()[2:3]]


def test_a_last_line_that_lacks_only_its_end_counts(tmp_path: Path) -> None:
    """Nothing of what it says is missing."""
    path = tmp_path / "l"
    append(path, 1, 2)
    path.write_bytes(path.read_bytes()[:-1])
    assert [1, 2] == numbers(path)
    append(path, 3)
    assert [1, 2, 3] == numbers(path)


@pytest.mark.parametrize("bad", [b"{", b"[]", b'"x"', b"", b"{}", b"\xff\xfe", b'{"event": 1}'])
def test_any_other_damage_stops_the_work(tmp_path: Path, bad: bytes) -> None:
    """It may have been a revocation."""
    path = tmp_path / "l"
    append(path, 1, 2, 3)
    lines = path.read_bytes().split(b"\n")
    lines[1] = bad
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(PkiError, match="line 2 cannot be read"):
        reading(path, "a")
    with pytest.raises(PkiError, match="line 2 cannot be read"):
        append(path, 4)


def test_many_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each waits for its turn."""
    path = tmp_path / "l"
    program = (
        "import sys; from pathlib import Path; from datetime import UTC, datetime\n"
        "from mtlsedge.pki.ledger import writing\n"
        "for n in range(20):\n"
        "    with writing(Path(sys.argv[1]), 'a') as ledger:\n"
        "        ledger.append(datetime.now(UTC), {'event': 'x', 'n': len(ledger.records)})\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, path]) for _ in range(3)]
    assert [0, 0, 0] == [process.wait(60) for process in running]
    assert list(range(60)) == numbers(path)


def test_a_ledger_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """With what stood in the way."""
    with pytest.raises(PkiError, match=r"cannot open the ledger .*No such file"):
        append(tmp_path / "nowhere" / "l", 1)
