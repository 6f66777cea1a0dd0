"""What do verifiers say? Heard where they are asked, after everything that makes a verdict one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from mtlsedge.explain.account import Spoken
from mtlsedge.identity import Certificate, PeerChain, Verdict
from mtlsedge.trust.asking import VerifierDesk
from mtlsedge.trust.panel import VerifierPanel

Heard = Callable[[str, PeerChain, Verdict], None]


class Hearing:
    """What was said since ``forget``: the chain it was about, by whom, and the verdict."""

    def __init__(self) -> None:
        self._said: list[tuple[str, PeerChain, Verdict]] = []

    def panel(self, clock: Any, now: Callable[[], float]) -> VerifierPanel:
        """A panel of verifiers that can be heard."""
        return _OpenPanel(clock, now, self._heard)

    def forget(self) -> None:
        """Begin anew."""
        self._said.clear()

    @property
    def objections(self) -> bool:
        """Whether any verifier said no."""
        return not all(verdict.accepted for _, _, verdict in self._said)

    def of(self, chain: Sequence[Certificate]) -> tuple[Spoken, ...]:
        """What was said of a verified chain."""
        about = [each.der for each in chain]
        return tuple(
            spoken(spec, verdict)
            for spec, peer, verdict in self._said
            if about == [each.der for each in peer.verified]
        )

    def _heard(self, spec: str, peer: PeerChain, verdict: Verdict) -> None:
        self._said.append((spec, peer, verdict))


def spoken(spec: str, verdict: Verdict) -> Spoken:
    """A verdict."""
    attributes = dict(verdict.attributes)
    return Spoken(spec, verdict.accepted, verdict.reason, attributes, verdict.failed)


class _OpenDesk(VerifierDesk):
    spec: str
    heard: Heard

    def ask(self, peer: PeerChain, host: str, timeout: float) -> Verdict | Deferred[Verdict]:
        answer = super().ask(peer, host, timeout)
        if isinstance(answer, Deferred):
            return answer.addCallback(lambda verdict: self._passed_on(peer, verdict))
        return self._passed_on(peer, answer)

    def _passed_on(self, peer: PeerChain, verdict: Verdict) -> Verdict:
        self.heard(self.spec, peer, verdict)
        return verdict


class _OpenPanel(VerifierPanel):
    desk_type = _OpenDesk

    def __init__(self, clock: Any, now: Callable[[], float], heard: Heard) -> None:
        super().__init__(clock, now)
        self._heard = heard

    def desk(self, spec: str) -> VerifierDesk:
        desk = super().desk(spec)
        assert isinstance(desk, _OpenDesk)
        desk.spec, desk.heard = spec, self._heard
        return desk
