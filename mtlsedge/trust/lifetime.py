"""Is who was let in still good, and until when? Asked of connections that stay open.

A connection's identity was settled when it began. What may end it since then is a revocation, a
list that nobody can rely on any more, and the end of a certificate in its chain. The last two
come by themselves, at a moment that can be told in advance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from mtlsedge.identity import Certificate, Doubts, Identity, PeerChain, Reason
from mtlsedge.trust.authorities import Authority
from mtlsedge.trust.chains import ChainBuilder
from mtlsedge.trust.ocsp_chains import Statuses
from mtlsedge.trust.outcomes import Failed, Path, accepted
from mtlsedge.trust.policies import policy_failure


class Lifetimes:
    """Judges again what was judged before, by one host's client CAs as they are now."""

    def __init__(
        self,
        authorities: Mapping[str, Authority],
        builder: ChainBuilder,
        statuses: Statuses | None = None,
    ) -> None:
        self._authorities = authorities
        self._builder = builder
        self._statuses = statuses

    def still_good(self, identity: Identity, now: float) -> Identity | None:
        """See ``ClientTrust.still_good``."""
        peer = identity.chain
        if not identity.verified or peer is None:
            return None
        if self._stands(identity, peer.verified, now):
            return None
        found = self._paths(identity, peer, now)
        if isinstance(found, Failed):
            return refused(peer, found)
        paths, doubts = found
        if tuple(path.client_ca for path in paths) == identity.client_cas:
            return None
        fewer = accepted(peer, paths, identity.attributes)
        return replace(fewer, in_doubt=doubts, testimony=identity.testimony)

    def next_change(self, identity: Identity, now: float) -> float:
        """See ``ClientTrust.next_change``."""
        peer = identity.chain
        if not identity.verified or peer is None:
            return math.inf
        paths = [(name, peer.verified) for name in identity.client_cas]
        if len(self._authorities) > 1:
            built = self._builder.build(_as_sent(peer), now)
            if not isinstance(built, Failed):
                paths = [(path.client_ca, path.chain) for path in built.paths]
        return min((self._end(name, chain, now) for name, chain in paths), default=math.inf)

    def _stands(self, identity: Identity, chain: tuple[Certificate, ...], now: float) -> bool:
        """Whether the chain of a connection is as good as it was, and the only one there is.

        The remembered chain, since among many connections few are of certificates whose chains
        were built lately.
        """
        if len(self._authorities) > 1 or len(identity.client_cas) != 1:
            return False
        authority = self._authorities.get(identity.client_cas[0])
        if authority is None or chain[-1].der not in authority.anchors:
            return False
        for certificate in chain:
            if not certificate.not_before <= now < _end_of(certificate):
                return False
        required = authority.required_policies
        if required and policy_failure(chain, required) is not None:
            return False
        return self._closed(identity.client_cas[0], chain, now) is None

    def _closed(self, client_ca: str, chain: tuple[Certificate, ...], now: float) -> Failed | None:
        """What a client CA's lists, and its responders, have against a chain."""
        failed = self._authorities[client_ca].lists.check(chain, now)
        if failed is not None or self._statuses is None:
            return failed
        return self._statuses.against(client_ca, chain, now)

    def _paths(
        self, identity: Identity, peer: PeerChain, now: float
    ) -> tuple[tuple[Path, ...], Doubts] | Failed:
        """The paths of an identity's client CAs that are open now, or why none is.

        With them the client CAs that are in doubt: once so, until the next handshake.
        """
        built = self._builder.build(_as_sent(peer), now)
        if isinstance(built, Failed):
            return built
        found = []
        doubts = dict(identity.in_doubt)
        closed: Failed | None = None
        for path in built.paths:
            failed = self._closed(path.client_ca, path.chain, now)
            if failed is not None and failed.reason is Reason.REVOKED:
                return replace(failed, chain=path.chain)
            if path.client_ca not in identity.client_cas:
                continue  # nobody asked its verifiers
            if failed is None:
                found.append(path)
            else:
                doubts[path.client_ca] = failed.detail
                closed = closed or replace(failed, chain=path.chain)
        gone = Failed(Reason.UNTRUSTED, "its client CAs are not this host's any more")
        if not found:
            return closed or gone
        return tuple(found), tuple(sorted(doubts.items()))

    def _end(self, client_ca: str, chain: tuple[Certificate, ...], now: float) -> float:
        authority = self._authorities.get(client_ca)
        if authority is None:
            return now
        end = min(min(map(_end_of, chain)), authority.lists.until(chain, now))
        if self._statuses is None:
            return end
        return min(end, self._statuses.until(client_ca, chain, now))


def refused(peer: PeerChain, failed: Failed) -> Identity:
    """A peer that did not verify, and why."""
    return Identity(
        presented=True,
        reason=failed.reason,
        detail=failed.detail,
        depth=failed.depth,
        chain=replace(peer, verified=failed.chain),
    )


def _end_of(certificate: Certificate) -> float:
    """The second of ``notAfter`` is the last of the validity (RFC 5280 §4.1.2.5)."""
    return certificate.not_after + 1


def _as_sent(peer: PeerChain) -> PeerChain:
    """What is needed to build the chain anew, also where a resumed session sent nothing."""
    return PeerChain(peer.leaf, peer.sent or peer.verified[1:-1])
