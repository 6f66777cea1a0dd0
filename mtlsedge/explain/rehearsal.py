"""How does it go? One question on the stage, by the edge's own code from end to end."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from OpenSSL import crypto
from twisted.internet.defer import Deferred

from mtlsedge.errors import BadCertificate
from mtlsedge.explain.account import Account, Answer, Certificate, Handshake, Origin, Question
from mtlsedge.explain.asked import Asked
from mtlsedge.explain.chains import describe_identity, subject_of
from mtlsedge.explain.ruling import describe_path, describe_policies, describe_rule_verifiers
from mtlsedge.explain.stage import Stage
from mtlsedge.explain.visitor import Visitor, Wire
from mtlsedge.http.site import Site
from mtlsedge.identity import ANONYMOUS, Identity, PeerChain, Reason
from mtlsedge.openssl import verify_error_text
from mtlsedge.tls.hosts import TLSHost, nobody
from mtlsedge.trust.certificates import read_certificate
from mtlsedge.trust.chains import reason_of
from mtlsedge.trust.judge import ClientTrust
from mtlsedge.trust.outcomes import moment

_OTHER_KEYS = (
    "the edge's keys in its state cannot be read here: what verifiers were sent was signed by a "
    "key made for this, which they may have refused"
)
_NO_CERTIFICATE = "the client shows no certificate, and the host requires one"


async def explain(stage: Stage, asked: Asked) -> Account:
    """The whole reasoning about one request. Waits for as long as verifiers think.

    A stage explains one question after another, and none beside another.
    """
    stage.moment = asked.at
    stage.heard.clear()
    stage.notebook.lines.clear()
    stage.hearing.forget()
    name, host = stage.assembled.terminator.hosts.find(asked.server_name)
    account = Account(_question(asked), Handshake(name, completed=False))
    if host is None:
        return _ended(account, nobody(asked.server_name))
    site = stage.assembled.front.sites[host.name]
    account = replace(account, handshake=_handshake(name, host, site))
    if asked.leaf is not None and host.trust is None:
        account = _noted(account, "the host asks for no certificate, so the client shows none")
    identity, certificate, refusal = await _identify(stage, asked, host, name)
    account = replace(account, certificate=certificate)
    if refusal:
        return _ended(account, refusal)
    wire = Wire.of(host, name, identity, asked.ip, _port(stage, asked))
    return await _request(stage, asked, account, wire)


def _question(asked: Asked) -> Question:
    return Question(
        asked.url,
        asked.method,
        asked.target.decode("ascii"),
        None if asked.server_name is None else asked.server_name.decode("ascii"),
        str(asked.ip),
        moment(asked.at),
        subject_of(asked.leaf),
    )


def _handshake(name: str, host: TLSHost, site: Site) -> Handshake:
    client_cas = tuple(host.trust.lists) if host.trust is not None else ()
    return Handshake(name, site.names, client_cas, host.require)


def _ended(account: Account, why: str) -> Account:
    """The handshake comes to nothing."""
    return replace(
        account,
        handshake=replace(account.handshake, completed=False, reason=why),
        answer=Answer(False, "handshake", reason=why),
    )


def _noted(account: Account, *notes: str) -> Account:
    return replace(account, notes=(*account.notes, *notes))


async def _identify(
    stage: Stage, asked: Asked, host: TLSHost, name: str
) -> tuple[Identity, Certificate, str]:
    """Who it is, in values and in words, and why a host that requires certificates refuses it."""
    trust = host.trust
    if trust is None or asked.leaf is None:
        refusal = _NO_CERTIFICATE if host.require else ""
        return ANONYMOUS, describe_identity(ANONYMOUS), refusal
    if host.require:
        identity, refusal = _refused_by_openssl(trust, asked)
        if identity is not None:
            described = describe_identity(identity, trust, stage.hearing, asked.at)
            return identity, described, refusal
    answer = trust.settle(asked.leaf, asked.sent, name)
    identity = answer if isinstance(answer, Identity) else await answer
    refused = host.require and not identity.verified
    refusal = f"{identity.reason.value}: {identity.detail}" if refused else ""
    return identity, describe_identity(identity, trust, stage.hearing, asked.at), refusal


def _refused_by_openssl(trust: ClientTrust, asked: Asked) -> tuple[Identity | None, str]:
    """What OpenSSL has against a chain within the handshake, and then what its lists have."""
    assert asked.leaf is not None
    store = trust.handshake_store()
    store.set_time(datetime.fromtimestamp(asked.at, UTC))
    try:
        ders = (asked.leaf, *asked.sent)
        leaf, *sent = (crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in ders)
        chain = crypto.X509StoreContext(store, leaf, sent).get_verified_chain()
    except crypto.X509StoreContextError as error:
        code, depth, _ = error.errors
        words = f"client certificate, depth {depth}: {verify_error_text(code)}"
        return _shown(asked.leaf, reason_of(code), words, depth), words
    except crypto.Error as error:
        words = f"OpenSSL cannot read a certificate: {error}"
        return _shown(asked.leaf, Reason.UNFIT, words), words
    refused = trust.objection(
        [crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in chain]
    )
    return refused, f"client certificate: {refused.detail}" if refused is not None else ""


def _shown(leaf: bytes, reason: Reason, detail: str, depth: int = 0) -> Identity:
    chain = None
    with suppress(BadCertificate):
        chain = PeerChain(read_certificate(leaf))
    return Identity(presented=True, reason=reason, detail=detail, depth=depth, chain=chain)


async def _request(stage: Stage, asked: Asked, account: Account, wire: Wire) -> Account:
    done: Deferred[None] = Deferred()
    visitor = Visitor(stage.assembled.front, wire, lambda: done.callback(None))
    visitor.say(asked.head())
    await done
    account = replace(account, answer=_answer(stage, visitor), origin=_origin(stage, visitor))
    if stage.hearing.objections and not stage.own_keys:
        account = _noted(account, _OTHER_KEYS)
    exchange, caller = visitor.exchange, visitor.caller
    assert exchange is not None
    target = exchange.record.target
    if target is None:
        return replace(account, path=describe_path(asked, caller))
    return replace(
        account,
        path=describe_path(asked, caller, target),
        rule_verifiers=describe_rule_verifiers(caller, target),
        policies=describe_policies(exchange, caller, target),
    )


def _answer(stage: Stage, visitor: Visitor) -> Answer:
    """As the access log has it, in the edge's own words."""
    exchange, head = visitor.exchange, visitor.answer
    assert exchange is not None
    line: dict[str, Any] = json.loads(stage.notebook.lines[-1])
    refusal, reached = exchange.refusal, bool(stage.heard)
    status = 0 if reached or head is None else head.status
    return Answer(
        admitted=refusal is None and status < 400,
        by="refusal" if refusal is not None else "origin" if reached else "edge",
        status=status,
        decision=line["decision"],
        application=line["application"],
        policy=line["policy"],
        reason=line["reason"],
        reason_class=refusal.reason if refusal is not None else "",
        service_token=line.get("service_token", ""),
        shadow=tuple(line.get("shadow", ())),
    )


def _origin(stage: Stage, visitor: Visitor) -> Origin | None:
    if not stage.heard:
        return None
    name, head = stage.heard[-1]
    lines = head.decode("latin-1").split("\r\n")[:-2]
    others = tuple(each.name for each in visitor.caller.site.origins.origins if each.name != name)
    return Origin(name, others, tuple(map(_line, lines)), _line(visitor.extra.decode().strip()))


def _line(line: str) -> str:
    """A header line; a token is its claims, and X-Request-Id would be another."""
    name, _, value = line.partition(": ")
    if name == "X-Request-Id":
        return f"{name}: ..."
    if name == "Cf-Access-Jwt-Assertion":
        return f"{name}: {_claims(value)}"
    if name == "Set-Cookie":
        cookie, semicolon, rest = value.partition(";")
        key, _, token = cookie.partition("=")
        return f"{name}: {key}=<the same token>{semicolon}{rest}" if token else line
    return line


def _claims(token: str) -> str:
    payload = token.split(".")[1]
    return f"<token: {urlsafe_b64decode(payload + '=' * (-len(payload) % 4)).decode()}>"


def _port(stage: Stage, asked: Asked) -> int:
    """At which of its ports the edge is asked; one behind a forwarded port cannot be known."""
    ports = [listen.port for listen in stage.configuration.edge.listen if listen.port]
    if asked.port in ports or not ports:
        return asked.port or 443
    return ports[0]
