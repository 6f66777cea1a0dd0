"""Verifiers that keep a file in mind: what it says counts, and damage changes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from trust_pki import DAY, MOMENT, NOW, Minted, authority, client, crl, p256, pem
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from zope.interface.verify import verifyObject

from mtlsedge.errors import BadVerifier
from mtlsedge.identity import PeerChain
from mtlsedge.interfaces import IVerifierService
from mtlsedge.ops.watching import INTERVAL
from mtlsedge.serving.lending import Lent
from mtlsedge.trust.allow_list_verifier import read_list
from mtlsedge.trust.verifiers import whole_spec
from support.verifiers import find_verifier

ROOT = authority("Root", key=p256(0))
ONE, TWO = client("one", ROOT, key=p256(1)), client("two", ROOT, key=p256(2))


def revoke(issuer: Minted, *who: Minted, number: int = 1) -> bytes:
    """A CRL in PEM."""
    return pem(crl(issuer, [each.x509.serial_number for each in who], number=number))


class Process:
    """What a process lends, with a clock that a test moves."""

    watch: Any = Lent.watch

    def __init__(self) -> None:
        self.reactor = self.clock = Clock()

    @staticmethod
    def now() -> float:
        return NOW

    def pass_by(self) -> None:
        for _ in range(3):
            self.clock.advance(INTERVAL)


@pytest.fixture
def process() -> Process:
    return Process()


def make(process: Process, spec: str) -> Any:
    verifier: Any = find_verifier(spec)
    assert verifyObject(IVerifierService, verifier)
    verifier.startService(process)
    return verifier


def accepts(verifier: Any, *who: Any) -> list[bool]:
    chains = [PeerChain(each.read, (), (each.read, ROOT.read)) for each in who]
    return [verifier.verify(chain, "a.example").accepted for chain in chains]


def put(path: Path, content: str | bytes) -> Path:
    """Put a file in its place, whole at any moment."""
    new = path.with_suffix(".new")
    new.write_bytes(content if isinstance(content, bytes) else content.encode())
    return new.rename(path)


# -- allow-list ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        ONE.read.fingerprint_sha256,
        f"{ONE.read.fingerprint_sha256.upper()}  # the door of the lobby",
        f"sha256={ONE.read.fingerprint_sha256}",
        ":".join([ONE.read.fingerprint_sha256[i : i + 2] for i in range(0, 64, 2)]),
        f"spki={ONE.read.spki_sha256}",
        ONE.read.serial,
        f"serial=00{ONE.read.serial.lower()}",
        f"\n# doors\n\n  {ONE.read.serial}  \n",
    ],
)
def test_who_is_listed_is_accepted_and_nobody_else(
    process: Process, tmp_path: Path, line: str
) -> None:
    """By fingerprint, key or serial number, as people paste them."""
    path = put(tmp_path / "doors.txt", line)
    assert [True, False] == accepts(make(process, f"allow-list:file={path}"), ONE, TWO)


def test_a_list_that_changes_counts_at_once(process: Process, tmp_path: Path) -> None:
    """Who is added may come, and who is taken out may not, within a second of the answer."""
    path = put(tmp_path / "doors.txt", ONE.read.serial)
    verifier = make(process, f"allow-list:file={path}")
    put(path, TWO.read.serial)
    process.pass_by()
    assert [False, True] == accepts(verifier, ONE, TWO)
    assert verifier.verify(PeerChain(TWO.read), "a.example").cache_for <= 1.0
    verifier.stopService()
    put(path, ONE.read.serial)
    process.pass_by()
    assert [False, True] == accepts(verifier, ONE, TWO)
    assert [] == process.clock.getDelayedCalls()


@pytest.mark.parametrize("content", [b"not a number", b"\xff\xfe", b"abcd\nxyz"])
def test_a_damaged_list_changes_nothing_and_is_told(
    process: Process, tmp_path: Path, logged: list[LogEvent], content: bytes
) -> None:
    """The last good one serves on."""
    path = put(tmp_path / "doors.txt", ONE.read.serial)
    verifier = make(process, f"allow-list:file={path}")
    put(path, content)
    process.pass_by()
    assert [True, False] == accepts(verifier, ONE, TWO)
    (event,) = [event for event in logged if event.get("path") == str(path)]
    assert "the last good one serves on" in event["log_format"]
    path.unlink()
    process.pass_by()
    assert [True, False] == accepts(verifier, ONE, TWO)
    put(path, TWO.read.serial)
    process.pass_by()
    assert [False, True] == accepts(verifier, ONE, TWO)


def test_any_of_several_lists_will_do(process: Process, tmp_path: Path) -> None:
    """Each is watched by itself."""
    paths = [put(tmp_path / f"{who.read.serial}.txt", who.read.serial) for who in (ONE, TWO)]
    verifier = make(process, f"allow-list:file={paths[0]},file={paths[1]}")
    assert [True, True] == accepts(verifier, ONE, TWO)
    put(paths[0], "")
    process.pass_by()
    assert [False, True] == accepts(verifier, ONE, TWO)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("xyz", "line 1: 'xyz' is no fingerprint"),
        ("ab\n\nsha256=abcd", "line 3: a SHA-256 has 64 digits, and this 4"),
        ("a" * 41, "line 1: 41 digits"),
        (":::", "line 1"),
        ("serial=", "line 1"),
        ("md5=abcd", "line 1"),
    ],
)
def test_a_line_that_is_none_is_told_by_its_number(content: str, words: str) -> None:
    """Before the edge serves; nothing is skipped."""
    with pytest.raises(BadVerifier, match=words):
        read_list(content.encode())


@pytest.mark.parametrize("name", ["allow-list", "crl"])
def test_a_file_that_is_missing_at_the_start_is_an_error(tmp_path: Path, name: str) -> None:
    """By its path."""
    with pytest.raises(BadVerifier, match=r"nowhere\.txt cannot be read"):
        find_verifier(f"{name}:file={tmp_path / 'nowhere.txt'}")


def test_paths_are_relative_to_the_configuration(tmp_path: Path) -> None:
    """And are kept so that a daemon finds them from anywhere."""
    assert f"allow-list:file={tmp_path}/doors.txt" == whole_spec(
        "allow-list:file=doors.txt", tmp_path
    )
    odd = tmp_path / 'a,"b'
    odd.mkdir()
    put(odd / "doors.txt", ONE.read.serial)
    spec = whole_spec("allow-list:file=doors.txt", odd)
    assert find_verifier(spec)
    assert spec == whole_spec(spec, Path("/elsewhere"))


# -- crl -------------------------------------------------------------------------------------


def test_who_is_revoked_by_a_list_is_refused(process: Process, tmp_path: Path) -> None:
    """And who comes to be."""
    path = put(tmp_path / "root.crl", revoke(ROOT, ONE))
    verifier = make(process, f"crl:file={path}")
    assert [False, True] == accepts(verifier, ONE, TWO)
    reason = verifier.verify(PeerChain(ONE.read, (), (ONE.read, ROOT.read)), "a.example").reason
    assert "is revoked by" in reason
    put(path, revoke(ROOT, ONE, TWO, number=2))
    process.pass_by()
    assert [False, False] == accepts(verifier, ONE, TWO)


def test_a_damaged_crl_changes_nothing_and_is_told(
    process: Process, tmp_path: Path, logged: list[LogEvent]
) -> None:
    """The last good one serves until it is stale."""
    path = put(tmp_path / "root.crl", revoke(ROOT, ONE))
    verifier = make(process, f"crl:file={path}")
    put(path, b"nonsense")
    process.pass_by()
    assert [False, True] == accepts(verifier, ONE, TWO)
    assert any("last good one serves" in str(event.get("problem")) for event in logged)
    path.unlink()
    process.pass_by()
    assert [False, True] == accepts(verifier, ONE, TWO)


def test_a_list_of_somebody_else_speaks_for_nobody(process: Process, tmp_path: Path) -> None:
    """Unless the operator lets pass where there is none. It is no answer, and not a no."""
    other = authority("Other", key=p256(7))
    path = put(tmp_path / "other.crl", revoke(other))
    verifier = make(process, f"crl:file={path}")
    assert [False] == accepts(verifier, ONE)
    chain = PeerChain(ONE.read, (), (ONE.read, ROOT.read))
    assert verifier.verify(chain, "a.example").failed
    listed = make(process, f"crl:file={put(tmp_path / 'root.crl', revoke(ROOT, ONE))}")
    assert not listed.verify(chain, "a.example").failed
    assert [True] == accepts(make(process, f"crl:file={path},policy=warn"), ONE)


HOUR = DAY / 24
NEWER = {"start": MOMENT - HOUR, "number": 2}


def reloaded(process: Process, earlier: Any, spec: str) -> Any:
    """The verifier of the next configuration, as a process changes over to it."""
    later = make(process, spec)
    earlier.stopService()
    return later


@pytest.mark.parametrize("asked_before", [False, True])
def test_an_older_crl_is_not_taken_over_a_reload_either(
    process: Process, tmp_path: Path, logged: list[LogEvent], asked_before: bool
) -> None:
    """Nobody is let in because of a file that was set back, however often it is reloaded."""
    path = put(tmp_path / "root.crl", pem(crl(ROOT, [ONE.x509.serial_number], **NEWER)))
    verifier = make(process, f"crl:file={path}")
    if asked_before:
        assert [False, True] == accepts(verifier, ONE, TWO)
    put(path, pem(crl(ROOT)))
    for more in ("", ",check=leaf", ""):
        verifier = reloaded(process, verifier, f"crl:file={path}{more}")
        assert [False, True] == accepts(verifier, ONE, TWO)
    assert any("older than the one of" in str(event.get("problem")) for event in logged)
    newest = crl(ROOT, [TWO.x509.serial_number], start=MOMENT - HOUR / 2, number=3)
    put(path, pem(newest))
    process.pass_by()
    assert [True, False] == accepts(verifier, ONE, TWO)


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_forged_crl_is_not_taken_over_a_reload_either(
    process: Process, tmp_path: Path, asked_before: bool
) -> None:
    """The last good one serves, for everybody that it served before."""
    path = put(tmp_path / "root.crl", revoke(ROOT, ONE))
    verifier = make(process, f"crl:file={path}")
    if asked_before:
        assert [False, True] == accepts(verifier, ONE, TWO)
    put(path, pem(crl(ROOT, key=p256(9), **NEWER)))
    verifier = reloaded(process, verifier, f"crl:file={path}")
    assert [False, True] == accepts(verifier, ONE, TWO)


def test_a_reload_takes_a_newer_crl(process: Process, tmp_path: Path) -> None:
    """And files that were not there before, or whose verifier has ended, as they are."""
    path = put(tmp_path / "root.crl", revoke(ROOT, ONE))
    verifier = make(process, f"crl:file={path}")
    assert [False, True] == accepts(verifier, ONE, TWO)
    put(path, pem(crl(ROOT, [TWO.x509.serial_number], **NEWER)))
    verifier = reloaded(process, verifier, f"crl:file={path}")
    assert [True, False] == accepts(verifier, ONE, TWO)
    verifier.stopService()
    put(path, revoke(ROOT))
    assert [True, True] == accepts(make(process, f"crl:file={path}"), ONE, TWO)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("crl:check=leaf", "at least one file="),
        ("crl:file={path},check=some", "chain and leaf"),
        ("crl:file={path},policy=maybe", "require and warn"),
        ("crl:file={bad}", "bad.crl"),
    ],
)
def test_what_crl_takes(tmp_path: Path, spec: str, words: str) -> None:
    """Files, and how they count."""
    path = put(tmp_path / "root.crl", revoke(ROOT))
    bad = put(tmp_path / "bad.crl", b"nonsense")
    with pytest.raises(BadVerifier, match=words):
        find_verifier(spec.format(path=path, bad=bad))


def test_a_comment_in_an_allow_list_ends_where_its_line_does() -> None:
    """And not where a subject's name in it has what else may end a line."""
    for end in ("\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"):
        found = read_list(f"{'a' * 64}  # CN=mallory{end}{'b' * 64}\r\n".encode())
        assert {"a" * 64} == found.fingerprints


def test_a_pipe_is_no_file_of_a_verifier(tmp_path: Path) -> None:
    """Nobody waits for what would be written into it: not at start, nor at a reload."""
    os.mkfifo(tmp_path / "pipe")
    for spec in ("allow-list:file={}", "http:url=https://a.example/,ca={}", "san:@{}"):
        with pytest.raises(BadVerifier, match="is not a regular file"):
            find_verifier(whole_spec(spec.format(tmp_path / "pipe"), tmp_path))
