"""The verifier ``crl``: only chains of which these revocation lists know nothing bad.

A client CA's own ``crl`` does the same for all of its clients, and more. This is for lists that
matter in one rule, or beside another verifier.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal
from weakref import WeakValueDictionary

from twisted.logger import Logger
from twisted.plugin import IPlugin
from zope.interface import implementer

from mtlsedge.errors import BadCrl, BadVerifier
from mtlsedge.identity import PeerChain, Reason, Verdict
from mtlsedge.interfaces import IVerifierFactory, IVerifierService
from mtlsedge.model import CrlSource
from mtlsedge.trust.arguments import Pairs, read_arguments, the_one
from mtlsedge.trust.crls import read_crls
from mtlsedge.trust.revocation import RevocationLists
from mtlsedge.trust.services import read_file

_log = Logger()

_LARGEST = 16 * 1024 * 1024  # bytes of a list
_FOR_A_MOMENT = 1.0  # seconds that an answer holds, so that new lists count at once
_ACCEPTED = Verdict(True, cache_for=_FOR_A_MOMENT)
_serving: WeakValueDictionary[Path, CrlVerifier] = WeakValueDictionary()  # by each of their files


@implementer(IVerifierService)
class CrlVerifier:
    """Accepts a verified chain that no list speaks against."""

    def __init__(self, lists: RevocationLists, files: Mapping[Path, bytes]) -> None:
        """``files`` is what ``lists`` were read from."""
        self._lists = lists
        self._files = files
        self._now: Callable[[], float] = time.time
        self._watch: Any = None

    def verify(self, peer: PeerChain, host: str) -> Verdict:
        """See ``IVerifier``."""
        failed = self._lists.check(peer.verified, self._now())
        if failed is None:
            return _ACCEPTED
        untold = failed.reason is not Reason.REVOKED  # policy=warn is for that, not on_error
        return Verdict(False, failed.detail, cache_for=_FOR_A_MOMENT, failed=untold)

    def startService(self, edge: Any) -> None:
        """See ``IVerifierService``.

        After a reload, who served until now is asked for what it had: an older list, or a
        forged one, must not take its place.
        """
        self._now = edge.now
        for earlier in {each for path in self._files if (each := _serving.get(path))}:
            self._lists.adopt(earlier._lists, edge.now(), anchored=False)
        for problem in self._lists.warnings:
            _log.error("{problem}", problem=problem)
        for path in self._files:
            _serving[path] = self
        self._watch = edge.watch(self._files, self._changed, self._troubled)

    def stopService(self) -> None:
        """See ``IVerifierService``."""
        for path in self._files:
            if _serving.get(path) is self:
                del _serving[path]
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()

    def _changed(self, path: Path, content: bytes) -> None:
        replaced = self._lists.replace(str(path), content, self._now())
        for problem in replaced.problems:
            _log.error("{problem}", problem=problem)

    def _troubled(self, path: Path, trouble: str) -> None:
        replaced = self._lists.complain(str(path), f"{path} cannot be read: {trouble}")
        for problem in replaced.problems:
            _log.error("{problem}", problem=problem)


@implementer(IPlugin, IVerifierFactory)
class CrlFactory:
    """Makes ``CrlVerifier`` of files."""

    name = "crl"
    syntax = "crl:file=FILE[,file=FILE][,check=leaf][,policy=warn]"
    files = ("file",)
    help = (
        "Accepts a chain of which no certificate is revoked by the CRLs in the files (PEM or "
        "DER), which are read again when they change. Each issuer in the chain but the root "
        "needs a current list, the leaf's alone with check=leaf; policy=warn lets pass where "
        "there is none. A client CA's own crl does this for all of its clients; name this "
        "verifier in a rule where only a part of a site needs it."
    )

    def makeVerifier(self, spec: str) -> CrlVerifier:
        """See ``IVerifierFactory``."""
        pairs = read_arguments(spec, ("file", "check", "policy"))
        files = {Path(path): read_file(path, _LARGEST) for key, path in pairs if key == "file"}
        if not files:
            raise BadVerifier("it needs at least one file=")
        for path, content in files.items():
            try:
                read_crls(str(path), content)
            except BadCrl as error:
                raise BadVerifier(str(error)) from error
        sources = [CrlSource(str(path), content) for path, content in files.items()]
        check: Literal["chain", "leaf"] = "leaf" if _word(pairs, "check", "chain leaf") else "chain"
        policy: Literal["require", "warn"] = (
            "warn" if _word(pairs, "policy", "require warn") else "require"
        )
        return CrlVerifier(RevocationLists(sources, policy, check=check), files)


def _word(pairs: Pairs, key: str, words: str) -> int:
    """Which of the words stands under a key; the first where none does."""
    known = words.split()
    word = the_one(pairs, key, known[0])
    if word not in known:
        raise BadVerifier(f"{key}={word!r} is not one of {' and '.join(known)}")
    return known.index(word)
