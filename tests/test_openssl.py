"""The calls that pyOpenSSL has no name for still do what they say, with this release of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.logger import LogEvent, globalLogPublisher

from mtlsedge.openssl import (
    NO_AUTO_CHAIN,
    RECORD,
    agreement,
    ask_without_verifying,
    load_certificate,
    on_server_name,
    peer_certificates,
    require_client_purpose,
    shake_hands,
    verified_chain,
    verify_error_text,
    was_resumed,
)
from mtlsedge.pki.mint import Authority, Issued

ROOT = Authority.make_root("Root")
SERVER = ROOT.issue_server(["a.example"])
CLIENT = ROOT.issue_client("c")


def key_of(issued: Issued) -> Any:
    return load_pem_private_key(issued.key, None)


def server_context(issued: Issued = SERVER) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(issued.x509)
    context.use_privatekey(key_of(issued))
    context.set_session_id(b"test")
    return context


def client_context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    return context


def client(session_of: SSL.Connection | None = None) -> SSL.Connection:
    context = session_of.get_context() if session_of else client_context()
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    connection.set_tlsext_host_name(b"a.example")
    session = session_of.get_session() if session_of else None
    if session is not None:
        connection.set_session(session)
    return connection


def shake(server: SSL.Connection, peer: SSL.Connection) -> None:
    """Let both talk until both are done; an alert is raised as the error it is."""
    server.set_accept_state()
    done: set[SSL.Connection] = set()
    for _ in range(10):
        for end, other in ((peer, server), (server, peer)):
            try:
                end.do_handshake()
                done.add(end)
            except SSL.WantReadError:
                pass
            finally:
                _carry(end, other)
        if len(done) == 2:
            return
    raise AssertionError("the handshake never ended")


def _carry(source: SSL.Connection, target: SSL.Connection) -> None:
    with suppress(SSL.WantReadError):
        target.bio_write(source.bio_read(65536))


def verifies(issued: Issued, demand: Callable[[crypto.X509Store], None]) -> bool:
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(ROOT.certificate))
    demand(store)
    leaf = crypto.X509.from_cryptography(issued.x509)
    try:
        crypto.X509StoreContext(store, leaf).verify_certificate()
    except crypto.X509StoreContextError:
        return False
    return True


def test_a_store_with_the_purpose_refuses_a_servers_certificate() -> None:
    """And one without it does not: the call is what makes the difference."""
    assert verifies(CLIENT, require_client_purpose)
    assert not verifies(SERVER, require_client_purpose)
    assert verifies(SERVER, lambda store: None)


def test_the_purpose_holds_for_a_contexts_own_store() -> None:
    """As hosts with `handshake = "require"` need it."""
    context = server_context()
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(ROOT.certificate))
    require_client_purpose(store)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, None)
    for issued, good in ((CLIENT, True), (SERVER, False)):
        peer = client()
        peer.use_certificate(issued.x509)
        peer.use_privatekey(key_of(issued))
        if good:
            shake(SSL.Connection(context, None), peer)
        else:
            with pytest.raises(SSL.Error):
                shake(SSL.Connection(context, None), peer)


def test_a_resumed_session_is_known_as_one() -> None:
    """No verify callback runs in it, so this is how the edge knows."""
    context = server_context()
    first, peer = SSL.Connection(context, None), client()
    shake(first, peer)
    second, again = SSL.Connection(context, None), client(session_of=peer)
    shake(second, again)
    assert (False, True) == (was_resumed(first), was_resumed(second))


def test_a_server_name_that_is_chosen_goes_on() -> None:
    """The callback gets the connection, with the name."""
    names: list[bytes | None] = []

    def choose(connection: SSL.Connection) -> bool:
        names.append(connection.get_servername())
        return True

    context = server_context()
    on_server_name(context, choose)
    shake(SSL.Connection(context, None), client())
    assert [b"a.example"] == names


def test_a_client_that_sends_no_name_is_asked_about_too() -> None:
    """There may be a default host, or not."""
    seen: list[bytes | None] = []
    context = server_context()
    on_server_name(context, lambda connection: bool(seen.append(connection.get_servername())))
    silent = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    silent.set_connect_state()
    with pytest.raises(SSL.Error):
        shake(SSL.Connection(context, None), silent)
    assert [None] == seen


def refused(choose: Callable[[SSL.Connection], Any]) -> str:
    """What a client hears when its name is not chosen."""
    context = server_context()
    on_server_name(context, choose)
    server, peer = SSL.Connection(context, None), client()
    with pytest.raises(SSL.Error):
        shake(server, peer)
    with pytest.raises(SSL.Error) as heard:
        peer.do_handshake()
    return str(heard.value)


def test_a_server_name_that_is_not_chosen_is_unrecognized() -> None:
    """The alert that RFC 6066 §3 has for it, and no handshake."""
    assert "unrecognized name" in refused(lambda _: False)


def test_an_exception_ends_the_handshake_and_is_logged() -> None:
    """Invariant 2; before pyOpenSSL 26 it let the connection through (CVE-2026-27448)."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)

    def choose(connection: SSL.Connection) -> bool:
        raise RuntimeError("a bug of ours")

    try:
        assert "unrecognized name" in refused(choose)
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert ["a bug of ours"] == [event["log_failure"].getErrorMessage() for event in events]


class Enough(BaseException):
    """What no handler for errors catches."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_worse_than_an_exception_ends_the_handshake_too() -> None:
    """Nothing that is raised lets a connection through."""

    def choose(connection: SSL.Connection) -> bool:
        raise Enough

    context = server_context()
    on_server_name(context, choose)
    with pytest.raises(SSL.Error):
        shake(SSL.Connection(context, None), client())


def chain_sent(mode: int) -> int:
    """How many certificates a server sends whose issuer lies in its clients' store."""
    context = server_context()
    context.set_mode(mode)
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(ROOT.certificate))
    peer = client()
    shake(SSL.Connection(context, None), peer)
    return len(peer.get_peer_cert_chain() or [])


def test_without_the_mode_a_client_ca_is_sent_as_the_servers_chain() -> None:
    """The store of client CAs is for verifying, never for presenting."""
    assert 1 == chain_sent(NO_AUTO_CHAIN)
    assert 2 == chain_sent(0)


def test_verify_errors_have_words() -> None:
    """OpenSSL's, for the log."""
    assert "certificate has expired" == verify_error_text(10)


def test_a_store_keeps_the_first_time_it_is_given() -> None:
    """Why `trust.authorities` makes a store anew for another second; if this fails, it need not."""
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(ROOT.certificate))
    leaf = crypto.X509.from_cryptography(CLIENT.x509)
    store.set_time(CLIENT.x509.not_valid_after_utc - timedelta(days=1))
    crypto.X509StoreContext(store, leaf).verify_certificate()
    store.set_time(CLIENT.x509.not_valid_after_utc + timedelta(days=1))
    crypto.X509StoreContext(store, leaf).verify_certificate()


# -- a server's handshake, without pyOpenSSL's objects --------------------------------------------


def der(issued: Issued) -> bytes:
    return issued.x509.public_bytes(Encoding.DER)


def dump(certificate: crypto.X509) -> bytes:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)


def shaken(issued: Issued | None = CLIENT, chain: tuple[Issued, ...] = ()) -> Any:
    """A server connection that asked for a certificate, after the handshake."""
    server = SSL.Connection(server_context(), None)
    ask_without_verifying(server, SSL.VERIFY_PEER)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if issued is not None:
        context.use_certificate(issued.x509)
        context.use_privatekey(key_of(issued))
        for link in chain:
            context.add_extra_chain_cert(link.x509)
    peer = SSL.Connection(context, None)
    peer.set_connect_state()
    shake(server, peer)
    return server


def test_a_handshake_says_whether_it_is_done() -> None:
    """And that it wants to read is no exception."""
    server, peer = SSL.Connection(server_context(), None), client()
    server.set_accept_state()
    assert not shake_hands(server)
    with suppress(SSL.WantReadError):
        peer.do_handshake()
    server.bio_write(peer.bio_read(65536))
    assert not shake_hands(server)
    peer.bio_write(server.bio_read(65536))
    with suppress(SSL.WantReadError):
        peer.do_handshake()
    server.bio_write(peer.bio_read(65536))
    assert shake_hands(server)


def test_a_handshake_that_fails_raises_what_pyopenssl_would() -> None:
    """With OpenSSL's words for it."""
    server = SSL.Connection(server_context(), None)
    server.set_accept_state()
    server.bio_write(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(SSL.Error, match="http request"):
        shake_hands(server)


def test_certificates_come_as_they_were_sent() -> None:
    """The leaf apart; byte for byte what pyOpenSSL finds, however large, time and again."""
    large = ROOT.issue_client("large", [f"n{number}.example" for number in range(3000)])
    for leaf in (CLIENT, large, CLIENT):
        server = shaken(leaf, (SERVER, large))
        assert (der(leaf), [der(SERVER), der(large)]) == peer_certificates(server)
        found = server.get_peer_certificate()
        assert found is not None
        assert der(leaf) == crypto.dump_certificate(crypto.FILETYPE_ASN1, found)
    assert len(der(large)) > 2 * RECORD
    assert (der(CLIENT), []) == peer_certificates(shaken())
    assert (None, []) == peer_certificates(shaken(None))


def test_the_latest_leaf_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when its connection is gone; any other certificate is parsed."""
    leaf, _ = peer_certificates(shaken())
    assert leaf is not None
    with monkeypatch.context() as patched:
        patched.setattr(crypto, "load_certificate", None)
        kept = load_certificate(bytes(bytearray(leaf)))
        with pytest.raises(TypeError):
            load_certificate(der(SERVER))
    for issued in (SERVER, CLIENT):
        assert der(issued) == dump(load_certificate(der(issued)))
        peer_certificates(shaken(issued))
    assert der(CLIENT) == dump(kept)
    with pytest.raises(crypto.Error):
        load_certificate(b"")


def test_a_verified_chain_is_pyopenssls() -> None:
    """From the leaf to the anchor, or the same error; time and again."""
    store, root = crypto.X509Store(), crypto.X509.from_cryptography(ROOT.certificate)
    leaf, other = load_certificate(der(CLIENT)), load_certificate(der(SERVER))
    for _ in range(50):
        with pytest.raises(crypto.X509StoreContextError, match="unable to get local issuer"):
            verified_chain(store, leaf, [other])
    store.add_cert(root)
    for _ in range(50):
        found = crypto.X509StoreContext(store, leaf, [other]).get_verified_chain()
        assert tuple(map(dump, found)) == verified_chain(store, leaf, [other])
    assert (der(CLIENT), dump(root)) == verified_chain(store, leaf, [])


def test_what_was_agreed_on_is_the_same_where_all_of_it_is() -> None:
    """It is a key for what pyOpenSSL says in words."""
    one, other = shaken(), shaken(None)
    assert agreement(one) == agreement(other)
    assert hash(agreement(one)) == hash(agreement(other))
    assert agreement(one)[2].decode() == one.get_group_name()
    context = server_context()
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    old = SSL.Connection(context, None)
    shake(old, client())
    assert agreement(one)[:2] != agreement(old)[:2]
