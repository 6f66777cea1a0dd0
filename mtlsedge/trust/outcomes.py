"""Values: what became of a chain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mtlsedge.identity import Certificate, Reason


@dataclass(frozen=True, slots=True)
class Path:
    """One verified chain, leaf first and anchor last, and the client CA that it ends at."""

    client_ca: str
    chain: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class Built:
    """A leaf that verified: a path for each client CA that it ends at, at least one.

    ``since`` is the latest ``notBefore`` of all their certificates and ``until`` the earliest
    ``notAfter``, in seconds since the epoch.
    """

    paths: tuple[Path, ...]
    since: float
    until: float

    @property
    def chain(self) -> tuple[Certificate, ...]:
        """The first path's chain."""
        return self.paths[0].chain

    @property
    def client_cas(self) -> tuple[str, ...]:
        """The names of the client CAs that the leaf's chains end at."""
        return tuple(path.client_ca for path in self.paths)


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a peer is refused.

    ``depth`` is the place of the error in the chain, 0 for the leaf; ``chain`` is what was
    built, leaf first, empty where nothing could be.
    """

    reason: Reason
    detail: str
    depth: int = 0
    chain: tuple[Certificate, ...] = ()


def moment(seconds: float) -> str:
    """Seconds since the epoch as people and logs write them (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
