"""What is asked before a request is judged, and what does one that was admitted carry?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from mtlsedge.http.access import AccessSession, Holder
from mtlsedge.http.messages import RequestHead
from mtlsedge.http.origin_request import upgrade_for_origin
from mtlsedge.http.passage import Passage, keep
from mtlsedge.http.site import Caller, Verdicts, remember
from mtlsedge.identity import Verdict
from mtlsedge.policy.application import CompiledApplication
from mtlsedge.policy.question import Decision
from mtlsedge.target import Target

_log = Logger()
_NOTHING: Mapping[str, Verdict] = MappingProxyType({})

_SESSION = 3 * 1024  # bytes: a token, once as it is and once as a header


def ask_verifiers(
    application: CompiledApplication | None, caller: Caller, host: str
) -> Deferred[Any] | None:
    """Fill ``caller.verdicts`` with what the application's rules need; None when they are there.

    A verdict is asked for anew once its time is over, and one that has none for each request.
    """
    chain, judge = caller.identity.chain, caller.site.judge
    if application is None or not application.verifiers:
        return None
    if not caller.identity.verified or chain is None or judge is None:
        return None
    verdicts = caller.verdicts.get(host)
    if verdicts is None:
        verdicts = remember(caller.verdicts, host, Verdicts())
    now = caller.front.now()
    if not verdicts.since <= now < verdicts.until:
        # What was decided rests on them.
        verdicts.clear()
        caller.decisions.clear()
    waiting: list[Deferred[None]] = []
    for spec in application.verifiers:
        if spec not in verdicts:
            verdict = judge.judge(spec, chain, host)
            if isinstance(verdict, Deferred):
                verdict.addErrback(_unheard, spec)
                verdict.addCallback(partial(_keep, verdicts, spec, caller))
                waiting.append(verdict)
            else:
                verdicts.keep(spec, verdict, now)
    return gatherResults(waiting, consumeErrors=True) if waiting else None


def _keep(verdicts: Verdicts, spec: str, caller: Caller, verdict: Verdict) -> None:
    verdicts.keep(spec, verdict, caller.front.now(), late=True)


def _unheard(failure: Failure, spec: str) -> Verdict:
    """It should not fail, but where the client left; what comes of it is a failure's verdict."""
    name = spec.partition(":")[0]
    if not failure.check(CancelledError):
        _log.failure("the verifier {name} could not be asked", failure, name=name)
    return Verdict(False, f"the verifier {name!r} could not be asked", failed=True)


def let_through(
    head: RequestHead, target: Target, decision: Decision, caller: Caller, service_token: str
) -> Passage:
    """What goes to the origin with a request that a decision admits.

    ``service_token`` is the name of the one that the request proved, or "".
    """
    application, session, good_cookies = decision.application, None, list[str]()
    if application is not None and decision.word != "bypass":
        client_id = head.client_id if service_token else ""
        session = open_session(application, caller, target.host, client_id)
        if head.cookies:
            good_cookies = caller.site.tokens.valid_cookies(
                head.cookies, application, target.host, session.holder
            )
    upgrade = upgrade_for_origin(head, caller.site.host.upgrades)
    now = caller.front.now()
    heard = heeded(decision.application, caller, target.host)
    passage = Passage(head, target, decision, session, good_cookies, upgrade, heard, now)
    if head.raw:
        keep(caller, head.raw, passage)
    return passage


def heeded(
    application: CompiledApplication | None, caller: Caller, host: str
) -> Mapping[str, Verdict]:
    """What those verifiers said whose attributes an origin is to hear."""
    if application is None or not application.heeded:
        return _NOTHING
    verdicts = caller.verdicts.get(host, _NOTHING)
    return {spec: verdicts[spec] for spec in sorted(application.heeded) if spec in verdicts}


def open_session(
    application: CompiledApplication, caller: Caller, host: str, service_token_id: str
) -> AccessSession:
    """The caller's session at an application.

    ``service_token_id`` is the client id of a service token that the request proved, or "".
    """
    key = (application.name, host, service_token_id)
    earlier = caller.sessions.get(key)
    if earlier is not None and earlier.since <= caller.front.now() < earlier.until:
        return earlier
    holder = Holder.of(caller.identity, service_token_id)
    session = caller.site.tokens.session(application, host, holder, earlier)
    growth = caller.sessions.keep(key, session, _SESSION)
    if growth:
        caller.front.acquaintances.charge(growth)
    return session
