"""Contexts: shared by hosts that are alike, and the CA names that a handshake carries."""

from __future__ import annotations

import gc
import ssl
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import SSL
from tls_serving import NAME, model_host, shake_in_memory, tls_host, trusting
from twisted.internet.task import Clock

from mtlsedge.model import ADVERTISED_AT_MOST, ADVERTISED_UNASKED, ClientCA, names_size
from mtlsedge.tls.contexts import build_host
from mtlsedge.tls.hosts import TLSHost
from mtlsedge.trust.judge import ClientTrust
from support import certs, long_names


def trust_of(*cas: ClientCA) -> ClientTrust:
    return ClientTrust(cas, lambda _: None, Clock(), lambda: 0.0, 0)  # type: ignore[arg-type, return-value]


def ca(pem: bytes, name: str = "ca", **more: Any) -> ClientCA:
    return ClientCA(name, pem, (NAME,), **more)


def names_in_handshake(host: TLSHost, version: int) -> list[str]:
    """The CA names that a client is told, in order; shakes hands in memory until it is."""
    server = SSL.Connection(host.context, None)
    server.set_accept_state()
    server.set_verify(host.verify_mode, lambda *_: True)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    for _ in range(3):
        for here, there in ((client, server), (server, client)):
            with suppress(SSL.Error):  # a host that requires a certificate gets none here
                here.do_handshake()
            with suppress(SSL.WantReadError):
                while True:
                    there.bio_write(here.bio_read(65536))
    return [name.CN or name.OU for name in client.get_client_ca_list()]


def test_hosts_that_are_alike_share_a_context() -> None:
    """Also when all of it was read anew, as a reload does; names and policy are no part of it."""
    pair = certs.server(NAME)
    first = tls_host(NAME, pair=pair, trust=trusting())
    assert first.context is tls_host("b.example.com", pair=pair, trust=trusting()).context
    assert first.context is tls_host(NAME, pair=pair, trust=trusting(crl_policy="warn")).context
    again = tls_host(NAME, pair=pair, trust=trusting(), unprotected="pass", resumption="recheck")
    assert first.context is again.context
    assert (False, True) == (first.resumption, again.resumption)


def test_hosts_that_differ_do_not() -> None:
    """By certificate, key, client CAs, what is required, or the names they tell."""
    pair = certs.server(NAME)
    both = trust_of(ca(certs.ca_file().read_bytes(), "a"), ca(long_names.bundle(1), "b"))
    alike: dict[str, Any] = {"pair": pair, "trust": trusting()}
    different = [
        alike,
        {**alike, "pair": certs.server("b.example.com")},
        {**alike, "trust": None},
        {**alike, "trust": trusting(certs.OTHER_CA)},
        {**alike, "trust": both},
        {**alike, "handshake": "require"},
        {**alike, "trust": both, "handshake": "require"},
        {**alike, "advertise_cas": "never"},
    ]
    contexts = [tls_host(NAME, **each).context for each in different]
    assert len(different) == len(set(map(id, contexts)))


def test_a_context_goes_with_its_last_host() -> None:
    """A year of reloads keeps no context that nobody serves with."""
    host = tls_host(NAME, pair=certs.server("short.example.com"))
    gone = weakref.ref(host.context)
    del host
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize("handshake", ["record", "require"])
@pytest.mark.parametrize(
    ("word", "many", "few"),
    [("auto", False, True), ("always", True, True), ("never", False, False)],
)
def test_the_names_of_cas_are_told_while_they_are_few(
    word: str, many: bool, few: bool, handshake: str, version: int
) -> None:
    """Unless the operator says otherwise. An empty list stands for any (RFC 8446 §4.2.4)."""
    kilobytes = ADVERTISED_UNASKED // 1024
    for count, told in ((kilobytes // 2, few), (kilobytes + 2, many)):
        assert (count if told else 0) == len(
            names_in_handshake(host_with(ca(long_names.bundle(count)), word, handshake), version)
        )


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_the_most_that_is_told_fits_a_handshake(version: int) -> None:
    """Were it more than OpenSSL takes, no client could connect."""
    each = names_size([x509.load_pem_x509_certificate(long_names.bundle(1)).subject.public_bytes()])
    most = ADVERTISED_AT_MOST // each
    for count, told in ((most, most), (most + 1, 0)):
        host = host_with(ca(long_names.bundle(count)), "always")
        assert told == len(names_in_handshake(host, version))


def test_a_name_is_told_once() -> None:
    """Several client CAs may hold the same certificate, and a renewed one has the same name."""
    pem = certs.ca_file().read_bytes()
    host = build_host(NAME, model_host(NAME), trust_of(ca(pem, "a"), ca(pem + pem, "b")))
    assert [certs.CLIENT_CA] == names_in_handshake(host, SSL.TLS1_3_VERSION)


def host_with(one: ClientCA, word: str, handshake: str = "record") -> TLSHost:
    return tls_host(NAME, trust=trust_of(one), advertise_cas=word, handshake=handshake)


def test_certificates_count_though_their_names_are_not_told() -> None:
    """What is told is no part of what is verified."""
    pair = certs.client()
    one = ca(long_names.bundle(20) + certs.ca_file().read_bytes())
    for handshake in ("record", "require"):
        assert admitted(host_with(one, "auto", handshake), [pair.certificate, pair.key])


def admitted(host: TLSHost, files: Sequence[Any]) -> bool:
    """Whether OpenSSL lets a client through that presents a certificate unasked by name."""
    server = SSL.Connection(host.context, None)
    server.set_accept_state()
    errors: list[int] = []

    def verify(_: Any, __: Any, error: int, ___: int, ok: int) -> bool:
        errors.append(error)
        return bool(ok) or not host.require

    server.set_verify(host.verify_mode, verify)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(*files)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing)
    shake_in_memory(client, incoming, outgoing, server, 3)
    leaf = server.get_peer_certificate()
    return leaf is not None and (not host.require or set(errors) == {0})
