"""Values: what became of a chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mtlsedge.identity import NO_ATTRIBUTES, Certificate, Identity, PeerChain, Reason


@dataclass(frozen=True, slots=True)
class Path:
    """One verified chain, leaf first and anchor last, and the client CA that it ends at."""

    client_ca: str
    chain: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class Built:
    """A leaf that verified: a path for each client CA that it ends at, at least one.

    ``since`` is the latest ``notBefore`` of all their certificates and ``until`` the earliest
    ``notAfter``, in seconds since the epoch. ``identity`` is who that is, if no revocation list
    and no verifier has a word against it.
    """

    paths: tuple[Path, ...]
    since: float
    until: float
    identity: Identity

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


def accepted(
    peer: PeerChain, paths: tuple[Path, ...], attributes: Mapping[str, str] = NO_ATTRIBUTES
) -> Identity:
    """A peer that verified: by the first of its paths, for the client CAs of all."""
    return Identity(
        presented=True,
        verified=True,
        reason=Reason.NONE,
        chain=PeerChain(peer.leaf, peer.sent, paths[0].chain),
        client_cas=tuple(path.client_ca for path in paths),
        attributes=attributes,
    )


def moment(seconds: float) -> str:
    """Seconds since the epoch as people and logs write them (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
