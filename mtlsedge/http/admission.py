"""What is asked before a request is judged, and what does one that was admitted carry?"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from mtlsedge.http.access import AccessSession, Holder
from mtlsedge.http.site import Caller, remember
from mtlsedge.policy.application import CompiledApplication


def ask_verifiers(
    application: CompiledApplication | None, caller: Caller, host: str
) -> Deferred[Any] | None:
    """Fill ``caller.verdicts`` with what the application's rules need; None when they are there."""
    chain, judge = caller.identity.chain, caller.site.judge
    if application is None or not application.verifiers:
        return None
    if not caller.identity.verified or chain is None or judge is None:
        return None
    verdicts = caller.verdicts.get(host)
    if verdicts is None:
        verdicts = remember(caller.verdicts, host, {})
    waiting: list[Deferred[None]] = []
    for spec in application.verifiers:
        if spec not in verdicts:
            verdict = judge.judge(spec, chain, host)
            if isinstance(verdict, Deferred):
                waiting.append(verdict.addCallback(partial(verdicts.__setitem__, spec)))
            else:
                verdicts[spec] = verdict
    return gatherResults(waiting, consumeErrors=True) if waiting else None


def open_session(
    application: CompiledApplication, caller: Caller, host: str, service_token_id: str
) -> AccessSession:
    """The caller's session at an application.

    ``service_token_id`` is the client id of a service token that the request proved, or "".
    """
    key = (application.name, host, service_token_id)
    earlier = caller.sessions.get(key)
    if earlier is not None and earlier.is_fresh(caller.front.now()):
        return earlier
    holder = Holder.of(caller.identity, service_token_id)
    session = caller.site.tokens.session(application, host, holder, earlier)
    return remember(caller.sessions, key, session)
