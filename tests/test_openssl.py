"""The calls that pyOpenSSL has no name for still do what they say, with this release of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.logger import LogEvent, globalLogPublisher

from mtlsedge.openssl import (
    NO_AUTO_CHAIN,
    on_server_name,
    require_client_purpose,
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
