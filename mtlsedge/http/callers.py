"""Who is calling? From a connection whose handshake is done to what its requests need of it."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import inet_aton
from typing import Any

from twisted.internet.defer import Deferred

from mtlsedge.http.acquaintances import Acquaintance
from mtlsedge.http.forwarding import certificate_headers
from mtlsedge.http.messages import Refuse, render
from mtlsedge.http.site import Caller, Front, Site
from mtlsedge.identity import ANONYMOUS, Identity
from mtlsedge.ops.accesslog import certificate_fragment, client_fragment, tls_fragment

_tls_log = lru_cache(maxsize=256)(tls_fragment)


def meet(front: Front, site: Site, transport: Any, identity: Identity) -> Caller:
    """The caller on a connection, of whom much may be known from an earlier one."""
    facts = transport.facts
    address, number = transport.client[:2]
    name, port = transport.server_name, transport.local_port
    # What an entry holds has its `id` to itself for as long as the entry is there.
    key = (id(site), id(identity), name, address, port)
    acquaintances = front.acquaintances
    known = acquaintances.get(key) or acquaintances.elder(key)
    if known is None:
        known = _acquaint(site, identity, address)
        front.seen(identity, name or site.host.name)
        # Any other identity is made anew for each connection, and nobody would find it again.
        if identity.verified or identity is ANONYMOUS:
            acquaintances.keep(key, known)
    return Caller(
        site=site,
        front=front,
        server_name=name,
        address=address,
        ip=known.ip,
        port=port,
        identity=identity,
        headers=known.headers,
        client_log=client_fragment(address, number),
        certificate_log=known.certificate_log,
        tls_log=_tls_log(facts.version, facts.cipher, facts.group, facts.resumed),
        sessions=known.sessions,
        passages=known.passages,
    )


def _acquaint(site: Site, identity: Identity, address: str) -> Acquaintance:
    forwarded = certificate_headers(identity, site.host.forward_certificate, site.server_uri)
    return Acquaintance(
        site, identity, _parsed(address), render(forwarded), certificate_fragment(identity)
    )


def meet_again(caller: Caller, front: Front, transport: Any) -> Caller | Refuse:
    """The caller as another configuration sees it, or why it cannot serve this connection.

    The certificate is judged anew, by the new CAs.
    """
    site = front.site_of(caller.server_name)
    if site is None:
        return _homeless()
    answer = _judge_again(caller, site)
    if isinstance(answer, Identity):
        return _admit(front, site, answer, transport)
    answer.addErrback(lambda _: None)  # nobody is left to hear that it was cancelled
    answer.cancel()
    return Refuse(503, "overloaded", "its verifiers answer a new connection only")


async def greet_again(caller: Caller, front: Front, transport: Any) -> Caller | Refuse:
    """The same for whoever has the time to wait for verifiers."""
    site = front.site_of(caller.server_name)
    if site is None:
        return _homeless()
    answer = _judge_again(caller, site)
    identity = answer if isinstance(answer, Identity) else await answer
    return _admit(front, site, identity, transport)


def _homeless() -> Refuse:
    return Refuse(421, "misdirected", "the host is served no more", close=True)


def _admit(front: Front, site: Site, identity: Identity, transport: Any) -> Caller | Refuse:
    if site.host.handshake == "require" and not identity.verified:
        # In a new handshake this client would not come so far.
        detail = identity.detail or "the host has come to require a certificate"
        return Refuse(403, identity.reason.value, detail)
    return meet(front, site, transport, identity)


def _judge_again(caller: Caller, site: Site) -> Identity | Deferred[Identity]:
    """Who a caller is to another configuration's site.

    Nothing of the earlier judgement counts, only what the client proved to hold the key of.
    """
    chain = caller.identity.chain
    if site.judge is None or chain is None:
        return ANONYMOUS
    sent = [certificate.der for certificate in chain.sent]
    answer: Identity | Deferred[Identity] = site.judge.settle(
        chain.leaf.der, sent, caller.server_name
    )
    return answer


def _parsed(address: str) -> IPv4Address | IPv6Address:
    """An address that came from the kernel, whose text needs no checks."""
    return ip_address(address) if ":" in address else IPv4Address(inet_aton(address))
