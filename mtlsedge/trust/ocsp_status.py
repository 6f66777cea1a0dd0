"""What is known of certificates from OCSP, and how is it found out? Memory, and one asker.

What a responder proved is remembered for as long as it may be relied on, and until then costs a
look-up. It is asked anew a little before that, so that nobody waits, and an outage that is short
goes unnoticed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mtlsedge.model import Ocsp
from mtlsedge.trust.aia import named_responders
from mtlsedge.trust.caches import BoundedCache
from mtlsedge.trust.ocsp import NONCE_OCTETS, Answer, BadAnswer, Question, read_answer, request_for
from mtlsedge.trust.ocsp_signers import Vouch
from mtlsedge.trust.responders import Post, Responder, ResponderHealth

_log = Logger()

Key = tuple[str, str, str]

MOST_KNOWN = 65_536
"""Certificates whose status is remembered, for each way to ask. Only those that verified are."""

AT_THE_MOMENT = 30.0
"""Seconds for which an answer counts that does not say until when it does."""

RETRY_AFTER = 2.0
"""Seconds for which it is not tried again to learn what could not be learnt."""

WARN_AGAIN_AFTER = 30.0
"""The same, where clients pass all the same: they should not wait for nothing each time."""

_RENEWED = 0.8, 0.9  # of the time that an answer counts, it is asked for anew; not all at once
_ROUNDING = 1.0  # seconds
_AHEAD = 10.0  # seconds before its end, at least, unless that is within the first half


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one certificate.

    Attributes:
        revoked: by whom, and why, in words; "" if it is not known to be.
        fault: why its status is not known; "" if it is.
        this_update: when it was so, in seconds since the epoch.
        until: how long that counts, likewise.
        again: from when on it is worth asking again, likewise.
    """

    revoked: str = ""
    fault: str = ""
    this_update: float = 0.0
    until: float = 0.0
    again: float = 0.0


class Memory:
    """What answered questions told, for everybody who would ask in the same way."""

    __slots__ = ("__weakref__", "known")

    def __init__(self) -> None:
        self.known: BoundedCache[Key, Known] = BoundedCache(MOST_KNOWN)


_memories: WeakValueDictionary[tuple[str, Ocsp], Memory] = WeakValueDictionary()


def shared_memory(client_ca: str, ocsp: Ocsp) -> Memory:
    """The one memory of a way to ask, for as long as somebody uses it: also across reloads."""
    memory = _memories.get((client_ca, ocsp))
    if memory is None:
        memory = _memories[client_ca, ocsp] = Memory()
    return memory


class StatusDesk:
    """Finds out for one client CA; many who ask about the same certificate wait together.

    Args:
        name: the client CA's.
        ocsp: whom to ask, and how.
        post: sends a request to a responder.
        clock: for the time that a responder may take.
        now: seconds since the epoch.
        changed: called when a certificate turns out to be revoked that was not, before: those
            whom it let in must go.
    """

    def __init__(
        self,
        name: str,
        ocsp: Ocsp,
        post: Post,
        clock: IReactorTime,
        now: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.ocsp = ocsp
        self._memory = shared_memory(name, ocsp)
        self._longest = max(ocsp.max_age, WARN_AGAIN_AFTER) + _ROUNDING
        self._now = now
        self._changed = changed
        self._responders = {
            url: Responder(url, post, clock, now, ocsp.timeout)
            for url in (*ocsp.responders, *ocsp.allowed)
        }
        self._under_way: dict[Key, list[Deferred[Known]]] = {}

    def known(self, key: Key) -> Known | None:
        """What is known of a certificate, be it of no use any more; None if nothing is."""
        known = self._memory.known.get(key)
        if known is None or known.revoked or known.until - self._now() <= self._longest:
            return known
        return None  # for longer than it ever had: the wall clock went back

    def ask(self, question: Question, vouch: Vouch) -> Deferred[Known]:
        """Find out. It never fails but by being cancelled, which others do not notice.

        ``vouch`` speaks for delegated signers, as in ``read_answer``.
        """
        waiting: Deferred[Known] = Deferred()
        others = self._under_way.get(question.key)
        if others is not None:
            others.append(waiting)
            return waiting
        self._under_way[question.key] = [waiting]
        asking = Deferred.fromCoroutine(self._find_out(question, vouch))
        asking.addErrback(_broken).addCallback(self._found, question.key)
        return waiting

    def renew(self, question: Question, vouch: Vouch) -> None:
        """Find out in the background, unless that is under way."""
        if question.key not in self._under_way:
            self.ask(question, vouch)

    def health(self) -> tuple[ResponderHealth, ...]:
        """How the responders have been doing."""
        return tuple(responder.health() for responder in self._responders.values())

    # --

    async def _find_out(self, question: Question, vouch: Vouch) -> Answer | str:
        """What the first responder that has a usable answer says; or why there is none."""
        allowed = set(self.ocsp.allowed)
        named = (url for url in named_responders(question.certificate) if url in allowed)
        urls = tuple(dict.fromkeys((*self.ocsp.responders, *named)))
        faults = []
        for url in urls:
            nonce = os.urandom(NONCE_OCTETS)
            must_echo = self.ocsp.nonce == "require"
            try:
                content = await self._responders[url].ask(request_for(question, nonce))
                return read_answer(
                    content, question, nonce, self._now(), vouch, must_echo=must_echo
                )
            except BadAnswer as error:
                faults.append(f"{url}: {error}")
        return "; ".join(faults) or "it names no OCSP responder that is allowed"

    def _found(self, found: Answer | str, key: Key) -> None:
        before = self._memory.known.get(key)
        if isinstance(found, str):
            known = self._unknown(found, before)
        else:
            known = self._told(found, before)
        self._memory.known.put(key, known)
        for waiting in self._under_way.pop(key):
            waiting.callback(known)
        if known.revoked and before is not None and not before.revoked:
            self._changed()

    def _told(self, answer: Answer, before: Known | None) -> Known:
        now = self._now()
        ends = answer.ends if answer.ends > 0 else now + AT_THE_MOMENT
        until = min(ends, now + self.ocsp.max_age)
        stale = before is not None and before.revoked and answer.this_update < before.this_update
        if before is not None and stale and not answer.revoked:
            # What is older takes no revocation back: it may have been kept for this very day.
            return replace(before, until=now + RETRY_AFTER, again=now + RETRY_AFTER)
        return Known(answer.revoked, "", answer.this_update, until, now + _renewal(until - now))

    def _unknown(self, fault: str, before: Known | None) -> Known:
        """What counts where nothing was learnt: what was known before, while it does."""
        now = self._now()
        later = now + (RETRY_AFTER if self.ocsp.policy == "require" else WARN_AGAIN_AFTER)
        if before is not None and before.revoked:
            return replace(before, until=max(before.until, later), again=later)
        if before is not None and not before.fault and before.until > now:
            return replace(before, again=max(later, now + (before.until - now) / 3))
        return Known(fault=fault, until=later, again=later)


def _renewal(lasts: float) -> float:
    """When to ask again for what counts for so many seconds."""
    share = _RENEWED[0] + (_RENEWED[1] - _RENEWED[0]) * os.urandom(1)[0] / 256
    return min(share * lasts, max(lasts / 2, lasts - _AHEAD))


def _broken(failure: Failure) -> str:
    _log.failure("asking for the status of a certificate failed", failure)
    return "an internal error, which is in the log"
