"""The verifier ``allow-list``: only the certificates that a file lists, as it is now."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.logger import Logger
from twisted.plugin import IPlugin
from zope.interface import implementer

from mtlsedge.errors import BadVerifier
from mtlsedge.identity import Certificate, PeerChain, Verdict
from mtlsedge.interfaces import IVerifierFactory, IVerifierService
from mtlsedge.trust.arguments import read_arguments
from mtlsedge.trust.services import read_file

_log = Logger()

_LARGEST = 16 * 1024 * 1024  # bytes of a list
_FOR_A_MOMENT = 1.0  # seconds that an answer holds, so that changes count at once
_LINE = re.compile(r"(?:(sha256|spki|serial)=)?([0-9A-Fa-f:]+)\Z")
_DIGEST = 64  # hexadecimal digits
_LONGEST_SERIAL = 40
_ACCEPTED = Verdict(True, cache_for=_FOR_A_MOMENT)


@dataclass(frozen=True, slots=True)
class AllowList:
    """What one file lists, each as ``Certificate`` has it."""

    fingerprints: frozenset[str]
    keys: frozenset[str]
    serials: frozenset[str]

    def has(self, leaf: Certificate) -> bool:
        """Whether a certificate is listed."""
        return (
            leaf.fingerprint_sha256 in self.fingerprints
            or leaf.serial in self.serials
            or leaf.spki_sha256 in self.keys
        )


def read_list(content: bytes) -> AllowList:
    """The list in a file: one entry to a line, comments after ``#``.

    Raises:
        BadVerifier: a line is none; by its number.
    """
    found: dict[str, set[str]] = {"sha256": set(), "spki": set(), "serial": set()}
    try:
        # Not splitlines(): a comment may hold a subject's name, and that any of its line ends.
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise BadVerifier("it is not UTF-8") from error
    for number, line in enumerate(lines, 1):
        entry = line.partition("#")[0].strip()
        if entry:
            kind, value = _entry(entry, number)
            found[kind].add(value)
    return AllowList(
        frozenset(found["sha256"]), frozenset(found["spki"]), frozenset(found["serial"])
    )


def _entry(entry: str, number: int) -> tuple[str, str]:
    match = _LINE.match(entry)
    digits = match[2].replace(":", "") if match else ""
    if match is None or not digits:
        raise BadVerifier(f"line {number}: {entry[:80]!r} is no fingerprint, key or serial number")
    kind = match[1] or ("sha256" if len(digits) == _DIGEST else "serial")
    if kind == "serial":
        if len(digits) > _LONGEST_SERIAL:
            raise BadVerifier(f"line {number}: {len(digits)} digits are neither kind of number")
        return kind, digits.upper().lstrip("0") or "0"
    if len(digits) != _DIGEST:
        raise BadVerifier(f"line {number}: a SHA-256 has {_DIGEST} digits, and this {len(digits)}")
    return kind, digits.lower()


@implementer(IVerifierService)
class AllowListVerifier:
    """Accepts a leaf that any of its files lists."""

    def __init__(self, files: Mapping[Path, bytes]) -> None:
        """Read the files' content.

        Raises:
            BadVerifier: a line of it is no entry.
        """
        self._files = dict(files)
        self._lists = {path: _read(path, content) for path, content in files.items()}
        self._watch: Any = None

    def verify(self, peer: PeerChain, host: str) -> Verdict:
        """See ``IVerifier``."""
        if any(each.has(peer.leaf) for each in self._lists.values()):
            return _ACCEPTED
        leaf = peer.leaf
        return Verdict(
            False,
            f"neither sha256={leaf.fingerprint_sha256} nor serial={leaf.serial} is listed",
            cache_for=_FOR_A_MOMENT,
        )

    def startService(self, edge: Any) -> None:
        """See ``IVerifierService``."""
        self._watch = edge.watch(self._files, self._changed, self._troubled)

    def stopService(self) -> None:
        """See ``IVerifierService``."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()

    def _changed(self, path: Path, content: bytes) -> None:
        try:
            self._lists[path] = _read(path, content)
        except BadVerifier as error:
            self._troubled(path, str(error))
            return
        self._files[path] = content
        _log.info("the allow-list {path} was read again", path=str(path))

    def _troubled(self, path: Path, trouble: str) -> None:
        _log.error(
            "the allow-list {path} cannot be used: {trouble}; the last good one serves on",
            path=str(path),
            trouble=trouble,
        )


@implementer(IPlugin, IVerifierFactory)
class AllowListFactory:
    """Makes ``AllowListVerifier`` of files."""

    name = "allow-list"
    syntax = "allow-list:file=FILE[,file=FILE]"
    files = ("file",)
    help = (
        "Accepts a certificate that a file lists: one to a line, its SHA-256 fingerprint or its "
        "serial number in hexadecimal, or spki= and the SHA-256 of its public key; what follows "
        "a '#' is for people. The files are read again when they change; one that is damaged "
        "changes nothing, and the log says so. Serial numbers are those of the host's client "
        "CAs: where there are several, fingerprints are safer."
    )

    def makeVerifier(self, spec: str) -> AllowListVerifier:
        """See ``IVerifierFactory``."""
        pairs = read_arguments(spec, ("file",))
        return AllowListVerifier({Path(path): read_file(path, _LARGEST) for _, path in pairs})


def _read(path: Path, content: bytes) -> AllowList:
    try:
        return read_list(content)
    except BadVerifier as error:
        raise BadVerifier(f"{path}: {error}") from error
