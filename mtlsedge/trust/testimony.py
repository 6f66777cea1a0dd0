"""Do the verifiers of client CAs still accept who stays? Asked again when their verdicts end.

A connection goes on while they are asked, as it does while OCSP responders are: nobody's
handshake, and nobody's request, waits for that. A verdict without a lifetime is about the
handshake, and is not asked for again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from types import MappingProxyType
from weakref import ref

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mtlsedge.identity import NO_ATTRIBUTES, Doubts, Identity, PeerChain, Reason
from mtlsedge.trust.asking import LONGEST_KEPT
from mtlsedge.trust.caches import BoundedCache
from mtlsedge.trust.jury import Heard, Jury
from mtlsedge.trust.lifetime import refused
from mtlsedge.trust.outcomes import Built, Failed, Path

_log = Logger()

_AT_ONCE = 32  # of those who stay, asked about at the same time: newcomers need verifiers, too
_LONGEST = 300.0  # seconds that this may take, also where verifiers may take for ever

Spoken = tuple[PeerChain, Heard]
"""What a jury was asked about, and what it said."""


class Testimony:
    """What the juries of the client CAs of an identity said, at one host. It is kept up to date.

    Attributes:
        host: the canonical name for which they were asked.
        spoken: by the client CA's name.
        asking: they are being asked again, or will be.
    """

    __slots__ = ("__weakref__", "asking", "host", "spoken")

    def __init__(self, host: str, spoken: Mapping[str, Spoken]) -> None:
        self.host = host
        self.spoken = dict(spoken)
        self.asking = False

    def of(self, client_cas: Sequence[str]) -> dict[str, Spoken]:
        """What the juries of some client CAs said, as far as they were asked."""
        return {name: self.spoken[name] for name in client_cas if name in self.spoken}


def learned(spoken: Sequence[Spoken]) -> Mapping[str, str]:
    """What several juries attached; where they differ, the first has the word."""
    attributes: dict[str, str] = {}
    for _, heard in reversed(spoken):
        attributes.update(heard.attributes)
    return MappingProxyType(attributes) if attributes else NO_ATTRIBUTES


def in_doubt(spoken: Mapping[str, Spoken], before: Doubts = ()) -> Doubts:
    """The ``Identity.in_doubt`` of what juries said; ``before`` counts for those not among them."""
    doubts = {name: why for name, why in before if name not in spoken}
    doubts |= {name: heard.doubt for name, (_, heard) in spoken.items() if heard.doubt}
    return tuple(sorted(doubts.items()))


class Juries:
    """The juries of one host's client CAs.

    Args:
        juries: by the client CA's name.
        clock: for the time that verifiers take.
        now: the wall clock, in seconds since the epoch.
        timeout: seconds that one verifier may take; 0 is for ever.
    """

    def __init__(
        self,
        juries: Mapping[str, Jury],
        clock: IReactorTime,
        now: Callable[[], float],
        timeout: float,
    ) -> None:
        self._juries = juries
        self._clock = clock
        self._now = now
        self._timeout = timeout
        self._asking = 0
        self._waiting: deque[ref[Testimony]] = deque()
        self._going_on = False

    @property
    def any(self) -> bool:
        """Whether any client CA has verifiers."""
        return any(jury.desks for jury in self._juries.values())

    def concern(self, paths: Sequence[Path]) -> bool:
        """Whether verifiers have a say about these paths."""
        return any(self._juries[path.client_ca].desks for path in paths)

    async def hear(self, peer: PeerChain, path: Path, host: str) -> Spoken:
        """Ask about a path of a peer."""
        asked = PeerChain(peer.leaf, peer.sent, path.chain)
        jury = self._juries[path.client_ca]
        return asked, await jury.hear(asked, host, self._timeout, self._now)

    def against(self, identity: Identity, now: float) -> Identity | None:
        """What has become of an identity by what is known now; None if it is what it was.

        Those whose verdicts have ended are asked again meanwhile.
        """
        testimony = identity.testimony
        if not identity.verified or not isinstance(testimony, Testimony):
            return None
        if self.until(identity) <= now:
            self._ask_again(testimony)
        spoken = testimony.of(identity.client_cas)
        left = {name: said for name, said in spoken.items() if said[1].objection is None}
        if not left:
            return _rejected(identity, tuple(spoken.values()))
        attributes = learned(tuple(left.values()))
        doubts = in_doubt(spoken, identity.in_doubt)
        found = (tuple(left), attributes, doubts)
        if found == (identity.client_cas, identity.attributes, identity.in_doubt):
            return None
        peer, _ = next(iter(left.values()))
        return replace(
            identity, chain=peer, client_cas=found[0], attributes=attributes, in_doubt=doubts
        )

    def until(self, identity: Identity) -> float:
        """When to ask `against` again, in seconds since the epoch."""
        testimony = identity.testimony
        if not isinstance(testimony, Testimony):
            return inf
        spoken = testimony.of(identity.client_cas).values()
        return min((heard.until for _, heard in spoken), default=inf)

    # -- parts -----------------------------------------------------------------------------

    def _ask_again(self, testimony: Testimony) -> None:
        if testimony.asking:
            return
        testimony.asking = True
        self._waiting.append(ref(testimony))
        self._go_on()

    def _go_on(self) -> None:
        """Ask in turn, as far as there is room; about nobody who has left meanwhile."""
        if self._going_on:
            return
        self._going_on = True
        try:
            while self._waiting and self._asking < _AT_ONCE:
                testimony = self._waiting.popleft()()
                if testimony is not None:
                    self._put(testimony)
        finally:
            self._going_on = False

    def _put(self, testimony: Testimony) -> None:
        self._asking += 1
        asking = Deferred.fromCoroutine(self._renew(testimony))
        if not asking.called:
            asking.addTimeout(_LONGEST, self._clock)
        asking.addErrback(self._untold, testimony)
        asking.addBoth(self._over, testimony)

    async def _renew(self, testimony: Testimony) -> None:
        for name, (peer, before) in tuple(testimony.spoken.items()):
            if before.until <= self._now():
                heard = await self._juries[name].hear(
                    peer, testimony.host, self._timeout, self._now, before
                )
                testimony.spoken[name] = peer, heard

    def _untold(self, failure: Failure, testimony: Testimony) -> None:
        _log.failure("verifiers could not be asked again", failure)
        for name, (peer, heard) in tuple(testimony.spoken.items()):
            if heard.until <= self._now():
                fault = "its verifiers could not be asked again"
                heard = replace(heard, objection=fault, until=inf, doubt=fault)
                testimony.spoken[name] = peer, heard

    def _over(self, _: object, testimony: Testimony) -> None:
        testimony.asking = False
        self._asking -= 1
        self._go_on()


@dataclass(frozen=True, slots=True)
class _Vouched:
    built: Built
    identity: Identity
    since: float
    until: float


class Vouched:
    """Whom verifiers vouched for, for as long as each verdict says that it holds.

    Until then every verifier would say the same from memory, so nobody needs to be asked.
    """

    def __init__(self, most: int, now: Callable[[], float]) -> None:
        self._known: BoundedCache[tuple[int, str], _Vouched] = BoundedCache(most)
        self._now = now

    def recall(self, built: Built, host: str) -> Identity | None:
        """Who that is; None where verifiers are to be heard."""
        known = self._known.get((id(built), host))
        if known is None or known.built is not built:
            return None
        return known.identity if known.since <= self._now() < known.until else None

    def keep(self, built: Built, host: str, identity: Identity, heard: Sequence[Heard]) -> None:
        """Remember who that is, if everything that was said holds for a while."""
        lasts = [verdict.cache_for for each in heard for verdict, _ in each.said]
        if not identity.verified or not lasts or min(lasts) <= 0.0:
            return
        now = self._now()
        until = now + min(*lasts, LONGEST_KEPT)
        self._known.put((id(built), host), _Vouched(built, identity, now, until))


def _rejected(identity: Identity, spoken: Sequence[Spoken]) -> Identity:
    assert identity.chain is not None
    objections = [(peer, heard.objection) for peer, heard in spoken if heard.objection is not None]
    unasked = (identity.chain, "nobody asked the verifiers of its client CAs")
    peer, objection = objections[0] if objections else unasked
    return refused(peer, Failed(Reason.REJECTED, objection, chain=peer.verified))
