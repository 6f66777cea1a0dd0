"""What does a process lend to its verifiers? Its reactor, its clock, its key, and what is below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zope.interface import implementer

from mtlsedge.interfaces import IEdge
from mtlsedge.ops.calling import HttpCaller
from mtlsedge.ops.watching import FileWatch
from mtlsedge.session.keys import KeyRing
from mtlsedge.session.tokens import sign

_LARGEST = 16 * 1024 * 1024  # bytes of a file that a verifier watches


@implementer(IEdge)
class Lent:
    """See ``IEdge``; one for each process."""

    def __init__(self, reactor: Any, now: Callable[[], float], ring: KeyRing) -> None:
        self.reactor = reactor
        self._now = now
        self._ring = ring

    def now(self) -> float:
        """See ``IEdge``."""
        return self._now()

    def watch(
        self,
        files: Mapping[Path, bytes],
        changed: Callable[[Path, bytes], None],
        troubled: Callable[[Path, str], None],
    ) -> FileWatch:
        """See ``IEdge``."""
        watch = FileWatch(self.reactor, changed, troubled, _LARGEST)
        watch.watch(files)
        return watch

    def http(self, ca: bytes) -> HttpCaller:
        """See ``IEdge``."""
        return HttpCaller(self.reactor, ca)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """See ``IEdge``."""
        return sign(self._ring, claims)
