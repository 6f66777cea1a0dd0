"""What a handshake may agree on, and what it may not."""

from __future__ import annotations

import ssl
import subprocess
import warnings
from typing import Any, cast

import pytest
import pytest_twisted
from OpenSSL import SSL
from tls_serving import NAME, Scribe, Serve, aside, knock, model_host, tls_host, trusting, until

from mtlsedge import model
from mtlsedge.pki.mint import KeyType
from mtlsedge.tls.contexts import build_host
from mtlsedge.tls.facts import HandshakeFacts
from support import certs
from support.needs import needs


class Echo(Scribe):
    """Sends back what comes."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


def shake(port: int, **settings: Any) -> SSL.Connection:
    """A pyOpenSSL client, handshake done. Settings are methods of its context.

    Raises:
        SSL.Error: the handshake failed.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_cipher_list(b"ALL:COMPLEMENTOFALL:eNULL:@SECLEVEL=0")
    for method, value in settings.items():
        getattr(context, method)(value)
    sock = knock(port)
    sock.setblocking(True)
    connection = SSL.Connection(context, sock)
    connection.set_connect_state()
    connection.set_tlsext_host_name(NAME.encode())
    try:
        connection.do_handshake()
    except BaseException:
        sock.close()
        raise
    return connection


@pytest.mark.parametrize("newest", [SSL.TLS1_VERSION, SSL.TLS1_1_VERSION])
@pytest_twisted.ensureDeferred
async def test_old_protocols_are_refused(serve: Serve, newest: int) -> None:
    """TLS 1.0 and 1.1, by a client that wants nothing newer, with ``protocol_version`` (70)."""
    serving = serve()
    with pytest.raises(SSL.Error, match="protocol version"):
        await aside(lambda: shake(serving.number, set_max_proto_version=newest))
    await until(lambda: serving.failures, "the failure")
    assert "unsupported protocol" in serving.failures[0].reason


@pytest_twisted.ensureDeferred
async def test_ssl3_is_refused(serve: Serve) -> None:
    """By hand: no client of today can say it."""
    serving = serve()
    suites = b"\0\x04\0\x35\0\x0a"
    body = b"\x03\0" + b"r" * 32 + b"\0" + suites + b"\x01\0"
    hello = b"\x01\0\0" + bytes([len(body)]) + body
    sock = await aside(knock, serving.number)
    await aside(sock.sendall, b"\x16\x03\0\0" + bytes([len(hello)]) + hello)
    assert (await aside(sock.recv, 100))[0] in (21,)
    assert b"" == await aside(sock.recv, 100)
    sock.close()


WEAK = [
    b"AES128-SHA",  # no forward secrecy
    b"AES256-GCM-SHA384",
    b"ECDHE-RSA-AES128-SHA",  # CBC
    b"ECDHE-ECDSA-AES256-SHA384",
    b"DHE-RSA-AES128-GCM-SHA256",
    b"ECDHE-ECDSA-NULL-SHA",
    b"AECDH-AES128-SHA",
    b"ECDHE-ECDSA-AES128-CCM8",
    b"ECDHE-ECDSA-CAMELLIA128-SHA256",
    b"PSK-AES128-GCM-SHA256",
]


@pytest.mark.parametrize("key_type", ["ec-p256", "rsa-2048"])
@pytest_twisted.ensureDeferred
async def test_weak_ciphers_are_refused(serve: Serve, key_type: KeyType) -> None:
    """Whatever has no forward secrecy or no AEAD, for both kinds of key."""
    pair = certs.server(NAME, key_type=key_type)
    serving = serve(hosts={NAME: tls_host(NAME, pair=pair)})
    for suite in WEAK:
        with pytest.raises(SSL.Error):
            await aside(
                lambda s=suite: shake(
                    serving.number,
                    set_max_proto_version=SSL.TLS1_2_VERSION,
                    set_cipher_list=s + b":@SECLEVEL=0",
                )
            )


SERVER_KEYS: list[KeyType] = ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "ed25519"]


@pytest.mark.parametrize("key_type", SERVER_KEYS)
@pytest_twisted.ensureDeferred
async def test_every_kind_of_server_key_works(serve: Serve, key_type: KeyType) -> None:
    """In both versions, with an AEAD and forward secrecy, and the facts say so."""
    pair = certs.server(NAME, key_type=key_type)
    serving = serve(Echo, {NAME: tls_host(NAME, pair=pair)})
    for place, version in enumerate((SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)):
        connection = await aside(lambda v=version: shake(serving.number, set_max_proto_version=v))
        await aside(connection.send, b"ping")
        assert b"ping" == await aside(connection.recv, 10)
        protocol = await serving.protocol(place)
        facts = protocol.transport.facts
        assert connection.get_protocol_version_name() == facts.version
        assert connection.get_cipher_name() == facts.cipher
        assert "GCM" in facts.cipher or "CHACHA20" in facts.cipher
        assert (connection.get_group_name() or "", False) == (facts.group, facts.resumed)
        connection.sock_shutdown(2)


@pytest_twisted.ensureDeferred
async def test_the_hybrid_key_exchange_is_taken_where_it_is_offered(serve: Serve) -> None:
    """X25519MLKEM768 for clients of today, and X25519 for those without it."""
    serving = serve()
    connection = await aside(shake, serving.number)
    assert "X25519MLKEM768" == connection.get_group_name()
    protocol = await serving.protocol(0)
    await until(lambda: "handshake" in protocol.events, "the handshake")
    assert "X25519MLKEM768" == protocol.transport.facts.group
    old = await aside(lambda: shake(serving.number, set_max_proto_version=SSL.TLS1_2_VERSION))
    assert "x25519" == (old.get_group_name() or "").lower()


@pytest_twisted.ensureDeferred
async def test_chacha_goes_to_those_who_put_it_first(serve: Serve) -> None:
    """They have no AES in hardware; all others get AES-128."""
    serving = serve()
    chacha, aes = b"TLS_CHACHA20_POLY1305_SHA256", b"TLS_AES_128_GCM_SHA256"
    for order, expected in [(chacha + b":" + aes, chacha), (aes + b":" + chacha, aes)]:
        connection = await aside(lambda o=order: shake(serving.number, set_tls13_ciphersuites=o))
        assert expected.decode() == connection.get_cipher_name()
    plain = await aside(shake, serving.number)
    assert aes.decode() == plain.get_cipher_name()


@pytest_twisted.ensureDeferred
async def test_renegotiation_is_refused(serve: Serve) -> None:
    """TLS 1.2: the client is told no, and the connection goes on as it was."""
    serving = serve(Echo)
    connection = await aside(
        lambda: shake(serving.number, set_max_proto_version=SSL.TLS1_2_VERSION)
    )
    protocol = await serving.protocol()
    await until(lambda: "handshake" in protocol.events, "the handshake")
    assert connection.renegotiate()

    def again() -> None:
        connection.do_handshake()
        connection.recv(1)

    with pytest.raises(SSL.Error, match="no renegotiation"):
        await aside(again)
    assert 0 == protocol.transport._tls.total_renegotiations()
    assert ["made", "handshake"] == protocol.events[:2]


@pytest_twisted.ensureDeferred
async def test_there_is_no_compression(serve: Serve) -> None:
    """CRIME: none in either version, whatever is offered."""
    serving = serve(Echo)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):

        def compression(version: ssl.TLSVersion = version) -> str | None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.options &= ~ssl.OP_NO_COMPRESSION
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.minimum_version = context.maximum_version = version
            with context.wrap_socket(knock(serving.number), server_hostname=NAME) as sock:
                return sock.compression()

        assert await aside(compression) is None


@pytest_twisted.ensureDeferred
async def test_the_intermediates_are_sent_and_nothing_else(serve: Serve) -> None:
    """The chain as the operator wrote it: never one that is built from the client CAs."""
    middle = certs.intermediate("Server Intermediate", certs.SERVER_CA)
    pair = certs.store("behind-intermediate", middle.issue_server([NAME]))
    serving = serve(hosts={NAME: tls_host(NAME, pair=pair)})
    connection = await aside(shake, serving.number)
    sent = connection.get_peer_cert_chain(as_cryptography=True)
    assert sent is not None
    assert [pair.issued.x509, middle.certificate] == sent


@pytest_twisted.ensureDeferred
async def test_a_client_ca_that_also_issued_the_server_is_not_sent(serve: Serve) -> None:
    """``SSL_MODE_NO_AUTO_CHAIN``: the store is for verifying, never for presenting."""
    pair = certs.server(NAME, ca=certs.CLIENT_CA)
    host = tls_host(NAME, pair=pair, trust=trusting(), handshake="require")
    serving = serve(hosts={NAME: host})
    connection = await aside(shake, serving.number)
    sent = connection.get_peer_cert_chain(as_cryptography=True)
    assert [pair.issued.x509] == sent


@pytest_twisted.ensureDeferred
async def test_a_hello_that_is_retried_finds_its_host_again(serve: Serve) -> None:
    """HelloRetryRequest: the server name is read twice, and the demands are the host's still."""
    open_name = "open.example.com"
    demanding = tls_host(NAME, trust=trusting(), handshake="require")
    serving = serve(Scribe, {NAME: demanding, open_name: tls_host(open_name)}, default=open_name)
    certificate, key = certs.client().files
    command = [needs("openssl"), "s_client", "-connect", f"127.0.0.1:{serving.number}"]
    command += ["-servername", NAME, "-groups", "ffdhe4096:P-256", "-tls1_3", "-msg"]

    def client(*more: str) -> str:
        done = subprocess.run([*command, *more], input=b"ping\n", capture_output=True, timeout=20)
        return done.stdout.decode("latin-1")

    said = await aside(client, "-cert", certificate, "-key", key)
    assert 2 == said.count(", ClientHello")
    protocol = await serving.protocol(0)
    await until(lambda: protocol.reasons, "the end")
    assert (b"ping\n", True) == (protocol.received, protocol.transport.identity.verified)
    assert 2 == (await aside(client)).count(", ClientHello")
    await until(lambda: serving.failures, "the refusal")
    assert "peer did not return a certificate" == serving.failures[0].reason


def test_a_group_without_a_name_is_no_reason_to_refuse() -> None:
    """OpenSSL before 3.2 cannot tell it, and pyOpenSSL raises."""

    class Old:
        def get_protocol_version_name(self) -> str:
            return "TLSv1.3"

        def get_cipher_name(self) -> str:
            return "TLS_AES_128_GCM_SHA256"

        def get_group_name(self) -> str:
            raise NotImplementedError

    facts = HandshakeFacts.of(cast(Any, Old()), False)
    assert ("TLSv1.3", "") == (facts.version, facts.group)


def test_a_key_that_is_not_the_certificates_is_refused() -> None:
    """When the host is built, not when the first client comes."""
    host = model_host(NAME)
    other = certs.server("b.example.com").key.read_bytes()
    mixed = model.Host(host.names, model.KeyPair(host.key_pair.certificate, other), ())
    with pytest.raises(SSL.Error):
        build_host(NAME, mixed, None)


@pytest.fixture(autouse=True)
def old_versions_are_meant() -> Any:
    """This file asks for deprecated protocols on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
