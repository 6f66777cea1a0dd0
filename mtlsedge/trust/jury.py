"""What do the verifiers of one client CA say together? All of them accept, or any one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from twisted.internet.defer import Deferred

from mtlsedge.identity import NO_ATTRIBUTES, PeerChain, Verdict
from mtlsedge.trust.asking import LET_THROUGH, VerifierDesk

SOONEST = 5.0
"""Seconds for which a verdict on a connection that is open holds at least."""

_TRY_AGAIN = 10.0  # seconds after which a verifier that failed, and need not answer, is asked again

_Said = tuple[Verdict, float]  # with the moment at which it ends


@dataclass(frozen=True, slots=True)
class Heard:
    """What a jury said.

    Attributes:
        objection: why it does not accept; None where it does.
        attributes: what those who count attached.
        until: when it is to be heard again about who stays, in seconds since the epoch; infinity
            where no verdict that counts has a lifetime.
        said: the verdicts, in the order of those who were asked, and when each ends.
        doubt: what those did that failed, but for whom it might have come out otherwise, or with
            other attributes; "" where nobody did.
    """

    objection: str | None = None
    attributes: Mapping[str, str] = field(default_factory=lambda: NO_ATTRIBUTES)
    until: float = inf
    said: tuple[_Said, ...] = ()
    doubt: str = ""


_NOTHING_AGAINST = Heard()


@dataclass(frozen=True, slots=True)
class Jury:
    """The verifiers of a client CA, in the order in which they are asked."""

    desks: tuple[VerifierDesk, ...]
    match: Literal["all", "any"] = "all"

    async def hear(
        self,
        peer: PeerChain,
        host: str,
        timeout: float,
        now: Callable[[], float],
        before: Heard = _NOTHING_AGAINST,
    ) -> Heard:
        """What they say of a verified chain.

        They are asked one after the other, until it is settled. Of ``all``, every one must
        accept, and the first objection is the answer; of ``any``, the first that accepts is.
        Whoever's verdict of ``before`` has not ended, or had no lifetime, is not asked again.
        """
        if not self.desks:
            return _NOTHING_AGAINST
        said: list[_Said] = []
        for number, desk in enumerate(self.desks):
            each = before.said[number] if number < len(before.said) else None
            if each is None or each[1] <= now():
                answer = desk.ask(peer, host, timeout)
                verdict = await answer if isinstance(answer, Deferred) else answer
                each = verdict, _end(verdict, now())
            said.append(each)
            if each[0].accepted == (self.match == "any"):
                return _settled(said)
        return _unanimous(said)


def _settled(said: list[_Said]) -> Heard:
    """The last one's word is everybody's."""
    verdict, until = said[-1]
    objection = None if verdict.accepted else verdict.reason
    failed = [each for each in said if each[0].failed]
    if not failed:
        return Heard(objection, verdict.attributes, until, tuple(said))
    until = min(until, *[end for _, end in failed])
    return Heard(objection, verdict.attributes, until, tuple(said), _doubt(failed))


def _unanimous(said: list[_Said]) -> Heard:
    """Everybody said the same."""
    if not said[0][0].accepted:
        objection = "; ".join(verdict.reason for verdict, _ in said)
        until = min(until for _, until in said)
        return Heard(objection, until=until, said=tuple(said), doubt=_doubt(said))
    if len(said) == 1:
        return _settled(said)
    learned: dict[str, str] = {}
    for verdict, _ in said:
        learned.update(verdict.attributes)
    return Heard(None, learned or NO_ATTRIBUTES, min(until for _, until in said), tuple(said))


def _doubt(said: list[_Said]) -> str:
    return "; ".join([verdict.reason for verdict, _ in said if verdict.failed])


def _end(verdict: Verdict, now: float) -> float:
    if verdict is LET_THROUGH or verdict.failed:
        return now + _TRY_AGAIN
    return now + max(verdict.cache_for, SOONEST) if verdict.cache_for > 0.0 else inf
