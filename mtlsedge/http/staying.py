"""May this connection stay, and what is under way on it go on?

A new connection, or the next request, would be judged by what is in force now. So is what was let
in before: a connection whose certificate is good no more ends; so does an answer or a tunnel
that today's policy would not begin.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mtlsedge.http.admission import ask_verifiers
from mtlsedge.http.callers import greet_again, meet
from mtlsedge.http.exchange import Exchange
from mtlsedge.http.messages import NO_HEAD, Refuse
from mtlsedge.http.record import Record
from mtlsedge.http.ruling import decide, denial, find_route, proved_service_token
from mtlsedge.http.site import Caller, Front
from mtlsedge.identity import Identity
from mtlsedge.model import Timeouts
from mtlsedge.ops.progress import unsent

_log = Logger()


class Staying:
    """The part of a connection that knows by what right it is here.

    Attributes:
        holds_until: when time alone may end what the caller was judged by; see ``site.Live``.
    """

    holds_until = 0.0
    transport: Any
    _front: Front
    _timeouts: Timeouts
    _caller: Caller | None = None
    _exchange: Exchange | None = None
    _closing = False
    _gone = False  # the client, or we from it
    _outdated = False  # its TLS is that of an earlier configuration

    @property
    def caller(self) -> Caller | None:
        """Who is at the other end, as long as something is left to be sent there."""
        over = self._gone or (self._closing and not unsent(self.transport))
        return None if over else self._caller

    @property
    def exchange(self) -> Exchange | None:
        """What is under way."""
        return self._exchange

    def reconsider(self) -> None:
        """Something changed: look whether this connection, and what it does, may go on."""
        _reconsider(self)

    def go_over(self, caller: Caller) -> None:
        """The client is somebody else from now on, or the same by another configuration."""
        self._outdated = self._outdated or caller.front is not self._front
        self._caller, self._front = caller, caller.front
        self._timeouts = caller.site.host.timeouts

    def cut(self, refuse: Refuse, caller: Caller) -> None:
        """End at once, with a line in the log: what this connection was let in for is gone.

        ``caller`` is who the client is by now.
        """
        if self._exchange is not None:
            self._exchange.record.judged_again(caller)
            self._exchange.cut(refuse)
            return
        record = Record(caller, NO_HEAD)
        record.event, record.reason = "cut", refuse.detail
        record.write()
        if unsent(self.transport):
            self._closing = self._gone = True
            self.transport.abortConnection()  # the end of an answer is part of it
        else:
            self.part()

    def part(self) -> None:
        """Close at once: nothing is worth waiting for."""
        self._closing = True
        self.transport.unregisterProducer()
        self.transport.loseConnection()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Who the caller is now; and what speaks against the connection, or its exchange alone.

    Without a caller there is nothing that the connection can go over to.
    """

    caller: Caller | None = None
    against_all: Refuse | None = None
    against_exchange: Refuse | None = None


def _reconsider(connection: Staying) -> None:
    caller = connection.caller
    if caller is None:
        return
    exchange = connection.exchange
    if caller.front.retired:
        asking = Deferred.fromCoroutine(_elsewhere(caller, exchange, connection.transport))
    else:
        changed = _changed(caller)
        if changed is None:
            connection.holds_until = _holds_until(caller)
            return
        now = meet(caller.front, caller.site, connection.transport, changed)
        asking = Deferred.fromCoroutine(_as_another(caller, now, exchange))
    _await(asking, connection, exchange)


def _await(asking: Deferred[_Outcome], connection: Staying, exchange: Exchange | None) -> None:
    asking.addCallback(_conclude, connection, exchange)
    asking.addErrback(_cannot_tell, connection)


def _conclude(outcome: _Outcome, connection: Staying, exchange: Exchange | None) -> None:
    if connection.caller is None:
        return  # it ended while verifiers were thinking
    caller = outcome.caller
    if outcome.against_all is not None:
        connection.cut(outcome.against_all, caller or connection.caller)
    elif outcome.against_exchange is not None and connection.exchange is exchange:
        connection.cut(outcome.against_exchange, caller or connection.caller)
    elif caller is None:
        connection.holds_until = inf  # its next request hears why, or there is none
    elif caller.front.retired:
        connection.holds_until = 0.0  # yet another came into force meanwhile: ask again
    else:
        connection.go_over(caller)
        connection.holds_until = _holds_until(caller)
        begun = connection.exchange
        if begun is not None and begun is not exchange:
            # It was let in by what was in force while verifiers were thinking of another.
            again = Deferred.fromCoroutine(_as_another(caller, caller, begun))
            _await(again, connection, begun)


def _cannot_tell(failure: Failure, connection: Staying) -> None:
    _log.failure("a connection could not be judged again; it is cut", failure)
    if connection.caller is not None:
        refuse = Refuse(500, "internal", "judging it again failed", close=True)
        connection.cut(refuse, connection.caller)


def _holds_until(caller: Caller) -> float:
    judge = caller.site.judge
    if judge is None or not caller.identity.verified:
        return inf
    return judge.next_change(caller.identity, caller.front.now())


def _changed(caller: Caller) -> Identity | None:
    judge = caller.site.judge
    if judge is None or not caller.identity.verified:
        return None
    return judge.still_good(caller.identity, caller.front.now())


async def _as_another(before: Caller, now: Caller, exchange: Exchange | None) -> _Outcome:
    """The lists, or the clock, say something else of the certificate than they did."""
    lost = _lost(before, now)
    if lost is not None:
        return _Outcome(now, against_all=lost)
    return _Outcome(now, against_exchange=await _objection(now, exchange))


async def _elsewhere(before: Caller, exchange: Exchange | None, transport: Any) -> _Outcome:
    """Another configuration came into force, with other CAs, policies, even without the host."""
    now = await greet_again(before, before.front.latest(), transport)
    if isinstance(now, Refuse):
        return _Outcome(against_exchange=now if exchange is not None else None)
    lost = _lost(before, now)
    if lost is not None:
        return _Outcome(now, against_all=lost)
    return _Outcome(now, against_exchange=await _objection(now, exchange))


def _lost(before: Caller, now: Caller) -> Refuse | None:
    identity = now.identity
    if identity.verified or not before.identity.verified:
        return None
    if not identity.presented:
        return None  # its host asks for no certificate any more: nothing is wrong with this one
    return Refuse(403, identity.reason.value, identity.detail, close=True)


async def _objection(caller: Caller, exchange: Exchange | None) -> Refuse | None:
    """What today's policy has against an exchange that is under way."""
    if exchange is None:
        return None
    head = exchange.head
    try:
        route = find_route(head, caller)
        waiting = ask_verifiers(route.application, caller, route.target.host)
        if waiting is not None:
            await waiting
        service_token = proved_service_token(head, caller)
        decision = decide(route.target, route.application, caller, service_token)
    except Refuse as refuse:
        return refuse
    if decision.admitted:
        return None
    exchange.record.judged_again(caller, decision)
    return denial(decision, caller, head, service_token)
