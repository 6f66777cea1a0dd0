"""Who is calling? From a connection whose handshake is done to what its requests need of it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import inet_aton
from typing import Any

from twisted.internet.defer import Deferred

from mtlsedge.http.forwarding import certificate_headers
from mtlsedge.http.messages import render
from mtlsedge.http.site import Caller, Front, Site
from mtlsedge.identity import ANONYMOUS, Identity
from mtlsedge.ops.accesslog import certificate_fragment, client_fragment, tls_fragment


def meet(front: Front, site: Site, transport: Any, identity: Identity) -> Caller:
    """The caller on a connection; whatever can be rendered once is rendered now."""
    facts = transport.facts
    peer, here = transport.getPeer(), transport.getHost()
    forwarded = certificate_headers(identity, site.host.forward_certificate, site.server_uri)
    return Caller(
        site=site,
        front=front,
        server_name=transport.server_name,
        address=peer.host,
        ip=_parsed(peer.host),
        port=here.port,
        identity=identity,
        headers=render(forwarded),
        client_log=client_fragment(peer.host, peer.port),
        certificate_log=certificate_fragment(identity),
        tls_log=tls_fragment(facts.version, facts.cipher, facts.group, facts.resumed),
    )


def judge_again(caller: Caller, site: Site) -> Identity | None:
    """Who a caller is to another configuration's site; None where that cannot be said at once.

    Nothing of the earlier judgement counts, only what the client proved to hold the key of.
    """
    chain = caller.identity.chain
    if site.judge is None or chain is None:
        return ANONYMOUS
    sent = [certificate.der for certificate in chain.sent]
    answer: Identity | Deferred[Identity] = site.judge.settle(
        chain.leaf.der, sent, caller.server_name
    )
    if isinstance(answer, Identity):
        return answer
    answer.addErrback(lambda _: None)  # nobody is left to hear that it was cancelled
    answer.cancel()
    return None


def _parsed(address: str) -> IPv4Address | IPv6Address:
    """An address that came from the kernel, whose text needs no checks."""
    return ip_address(address) if ":" in address else IPv4Address(inet_aton(address))
