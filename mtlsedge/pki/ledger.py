"""What has this authority done? An append-only file beside it, one JSON object a line.

A line is written whole, under a lock, and is on the disk before a command says that it is done.
A last line that was cut off (the machine stopped) is passed over and named; the next writer says in
a line of its own that it was. Any other line that cannot be read stops the work: it may have been
a revocation.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtlsedge.errors import PkiError

Record = Mapping[str, Any]
_TRUNCATED = "truncated"


def ledger_path(certificate: Path) -> Path:
    """Where the ledger of the CA with this certificate is: ``ca.pem`` has ``ca-ledger.jsonl``."""
    return certificate.with_name(f"{certificate.stem.removesuffix('-bundle')}-ledger.jsonl")


@dataclass(slots=True)
class Ledger:
    """The records of one authority; `writing` gives one that can be added to.

    Attributes:
        authority: `loading.authority_id` of the CA; records of others in the file are not seen.
        notes: what should be said about the file.
    """

    path: Path
    authority: str
    records: list[Record] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _descriptor: int = -1
    _lines: int = 0
    _ends_well: bool = True

    def append(self, now: datetime, *records: Record) -> None:
        """Add records, each with its ``event``, and see them onto the disk.

        Raises:
            PkiError: they cannot be written.
        """
        assert self._descriptor >= 0, "this ledger was opened for reading"
        common = {"time": moment(now), "ca": self.authority}
        new: list[Record] = [{"event": each["event"], **common, **each} for each in records]
        lines = list(new)
        if not self._ends_well:
            lines.insert(0, {"event": _TRUNCATED, "time": moment(now), "line": self._lines})
        text = "".join(json.dumps(line, ensure_ascii=True) + "\n" for line in lines)
        self._write(text if self._ends_well else "\n" + text)
        self._lines += len(lines)
        self._ends_well = True
        self.records += new

    def _write(self, text: str) -> None:
        data = text.encode()
        try:
            written = os.write(self._descriptor, data)
            os.fsync(self._descriptor)
        except OSError as error:
            raise PkiError(f"cannot write {self.path}: {error.strerror}") from error
        if written != len(data):
            raise PkiError(f"{self.path} took only a part of a line: is the disk full?")

    def _read(self) -> None:
        data = b"".join(iter(lambda: os.read(self._descriptor, 1 << 20), b""))
        *whole, rest = data.split(b"\n")
        self._lines = len(whole) + bool(rest)
        excused = set()
        bad = []
        for number, line in enumerate([*whole, rest] if rest else whole, 1):
            record = _record(line)
            if record is None:
                bad.append(number)
            elif record.get("event") == _TRUNCATED:
                excused.add(record.get("line"))
            elif record.get("ca") == self.authority:
                self.records.append(record)
        if rest:
            # A line without its end may be all there but for that.
            self._ends_well = False
            if bad and bad[-1] == self._lines:
                excused.add(bad[-1])
        self._judge(bad, excused)

    def _judge(self, bad: list[int], excused: set[Any]) -> None:
        for number in bad:
            if number not in excused:
                raise PkiError(
                    f"{self.path}: line {number} cannot be read, and it may have been a "
                    "revocation: put it right, or restore the file from a copy"
                )
            self.notes.append(
                f"{self.path}: line {number} was cut off, and is passed over: check that what was "
                "done then (an issue, a revocation) is in the list, or do it again"
            )


@contextmanager
def writing(path: Path, authority: str) -> Iterator[Ledger]:
    """The ledger at a path, to read and to add to; nobody else has it meanwhile.

    Raises:
        PkiError: it cannot be opened or read.
    """
    with _opened(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, fcntl.LOCK_EX) as descriptor:
        ledger = Ledger(path, authority, _descriptor=descriptor)
        ledger._read()
        yield ledger


def reading(path: Path, authority: str) -> Ledger:
    """What is in the ledger at a path; an empty one where there is none.

    Raises:
        PkiError: it cannot be opened or read.
    """
    if not path.exists():
        return Ledger(path, authority)
    with _opened(path, os.O_RDONLY, fcntl.LOCK_SH) as descriptor:
        ledger = Ledger(path, authority, _descriptor=descriptor)
        ledger._read()
        ledger._descriptor = -1
        return ledger


def moment(time: datetime) -> str:
    """A time as the ledger writes it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_moment(text: str) -> datetime:
    """A time as the ledger writes it, read."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


@contextmanager
def _opened(path: Path, flags: int, lock: int) -> Iterator[int]:
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PkiError(f"cannot open the ledger {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, lock)
        yield descriptor
    finally:
        os.close(descriptor)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("event"), str) else None
