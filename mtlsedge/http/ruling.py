"""May this request pass? From a request head to a decision; nothing here touches a socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from mtlsedge.errors import BadHostName, BadTarget
from mtlsedge.http.messages import Refuse, RequestHead
from mtlsedge.http.site import Caller, Route, remember
from mtlsedge.identity import Reason, Verdict
from mtlsedge.names import split_authority
from mtlsedge.policy.application import CompiledApplication
from mtlsedge.policy.question import (
    UNPROTECTED_DENY,
    UNPROTECTED_PASS,
    AmbiguousPath,
    Decision,
    Question,
)
from mtlsedge.policy.reasons import explained
from mtlsedge.target import Target, read_path

_REFUSED_METHODS = frozenset(
    {
        "CONNECT",
        "TRACE",
        # The parser knows these from ``RTSP/1.0`` request lines.
        "ANNOUNCE",
        "DESCRIBE",
        "FLUSH",
        "GET_PARAMETER",
        "PAUSE",
        "PLAY",
        "RECORD",
        "REDIRECT",
        "SETUP",
        "SET_PARAMETER",
        "TEARDOWN",
    }
)


_NO_VERDICTS: Mapping[str, Verdict] = MappingProxyType({})
_LONGEST_ROUTE = 256  # bytes of a target that is remembered


def find_route(head: RequestHead, caller: Caller) -> Route:
    """What is asked for and who governs it; a connection remembers what it asked for lately.

    Raises:
        Refuse: 400, 405 or 421.
    """
    key = (head.method, head.target, head.host)
    route = caller.routes.get(key)
    if route is None:
        target = read_target(head, caller)
        route = Route(target, governing(target, caller))
        # Without Host it depends on the version, and `read_target` fills it in by now.
        small = len(head.target) <= _LONGEST_ROUTE and not target.request_path.readings
        if key[2] is not None and small:
            remember(caller.routes, key, route)
    return route


def read_target(head: RequestHead, caller: Caller) -> Target:
    """What is asked for, read once (RFC 9112 §3).

    Raises:
        Refuse: 400, 405 or 421. Every 400 closes the connection: who sends one such request
            may have more behind it.
    """
    if head.method in _REFUSED_METHODS:
        raise Refuse(405, "malformed", f"the method {head.method} is not served", close=True)
    raw, authority = _origin_form(head)
    host = _host(authority if authority is not None else head.host, head, caller)
    try:
        return Target(head.method, host, read_path(raw))
    except BadTarget as error:
        raise _malformed(str(error)) from error


def _malformed(detail: str) -> Refuse:
    return Refuse(400, "malformed", detail, close=True)


def _origin_form(head: RequestHead) -> tuple[bytes, bytes | None]:
    """The path and query, and the authority where the target is in absolute form."""
    raw = head.target
    if raw.startswith(b"/"):
        return raw, None
    scheme, mark, rest = raw.partition(b"://")
    if not mark or scheme.lower() != b"https":
        raise _malformed("the request target is neither a path nor an https URL")
    authority, slash, path = rest.partition(b"/")
    if b"?" in authority or not authority:
        raise _malformed("the request target is a URL without a path")
    if head.host is None or head.host.lower() != authority.lower():
        # RFC 9112 §3.2.2 lets the URL win; an origin may think otherwise.
        raise _malformed("the URL in the request names another host than Host")
    return slash + path or b"/", authority


def _host(field: bytes | None, head: RequestHead, caller: Caller) -> str:
    if field is None:
        if head.version == "1.0" and caller.server_name:
            # An origin with several names must answer for the one that was judged.
            head.host = caller.server_name.encode("ascii")
            return caller.server_name
        raise _malformed("there is no Host field")
    try:
        name, _ = split_authority(field)
    except BadHostName as error:
        raise _malformed(str(error)) from error
    if not _is_meant(name, caller):
        meant = caller.server_name or caller.site.host.name
        raise Refuse(421, "misdirected", f"Host is {name}, the connection is to {meant}")
    return name


def _is_meant(name: str, caller: Caller) -> bool:
    if caller.server_name:
        return name == caller.server_name
    # Not by the site's own patterns: a name that its wildcard covers may be another host's.
    return caller.front.site_of(name) is caller.site


def governing(target: Target, caller: Caller) -> CompiledApplication | None:
    """The application that governs a target; None where no application covers it.

    Raises:
        Refuse: 400 where readings of the path fall under different applications.
    """
    try:
        return caller.policy_for(target.host).governing(target.request_path)
    except AmbiguousPath as error:
        raise Refuse(400, "ambiguous_path", str(error), close=True) from error


def decide(
    target: Target, application: CompiledApplication | None, caller: Caller, service_token: str
) -> Decision:
    """The decision; what its rules need is in ``caller.verdicts`` of the host."""
    if application is None:
        passes = caller.site.host.unprotected == "pass"
        unprotected = UNPROTECTED_PASS if passes else UNPROTECTED_DENY
        return replace(unprotected, service_token=service_token) if service_token else unprotected
    # All else that rules look at is the connection's, and settled.
    key = (application, target.host, target.method, service_token)
    decision = caller.decisions.get(key)
    if decision is None:
        question = question_of(target, caller, service_token)
        enforced = application.enforced(question)
        decision = explained(application, enforced, application.decide(enforced))
        if service_token or application.shadows:
            shadow = application.shadow(question)
            decision = replace(decision, service_token=service_token, shadow=shadow)
        remember(caller.decisions, key, decision)
    return decision


def question_of(target: Target, caller: Caller, service_token: str) -> Question:
    """What policy is asked about a request, once its verifiers have spoken."""
    verdicts = caller.verdicts.get(target.host, _NO_VERDICTS)
    return Question(caller.identity, target, caller.ip, service_token, verdicts)


def proved_service_token(head: RequestHead, caller: Caller) -> str:
    """The name of the service token that the request proves, or ""."""
    if not head.client_id:
        return ""
    return caller.site.service_tokens.check(head.client_id, head.client_secret, caller.front.now())


def denial(decision: Decision, caller: Caller, head: RequestHead, service_token: str) -> Refuse:
    """The 403 for a decision that admits nobody.

    The client hears of its certificate where that failed, since it can do something about it;
    which policy said no stays in the log.
    """
    identity, detail = caller.identity, decision.reason
    if decision.word == "unprotected":
        return Refuse(403, "host_denied", detail)
    if head.client_id and not service_token:
        detail = f"{detail}; the service token is unknown, expired, or its secret is wrong"
    if caller.site.judge is None or identity.verified:
        return Refuse(403, "policy_denied", detail)
    if identity.reason is not Reason.NOT_PRESENTED:
        detail = f"{detail}; the certificate: {identity.detail}"
    return Refuse(403, identity.reason.value, detail)
