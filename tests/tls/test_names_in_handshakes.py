"""Which host answers, by the server name that a ClientHello carries (invariant 2)."""

from __future__ import annotations

import ssl
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_twisted
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from tls_serving import (
    NAME,
    Intercepted,
    Scribe,
    Serve,
    aside,
    knock,
    terminator,
    tls_host,
    trusting,
    turns,
    until,
)
from twisted.internet.task import Clock

from mtlsedge.identity import ANONYMOUS
from mtlsedge.names import NameTable
from mtlsedge.tls.hosts import HostTable, TLSHost
from mtlsedge.tls.lobby import Lobby, choose
from support import certs

WILD = "*.wild.example.com"
IDNA = "bücher.example.com"
A_LABEL = "xn--bcher-kva.example.com"


@pytest.fixture
def hosts() -> dict[str, TLSHost]:
    return {NAME: tls_host(NAME), WILD: tls_host(WILD), A_LABEL: tls_host(A_LABEL)}


def hello(name: bytes | None, version: int | None = None) -> SSL.Connection:
    """A client with these bytes as its server name, whatever they are."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if version:
        context.set_max_proto_version(version)
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    if name is not None:
        connection.set_tlsext_host_name(name)
    return connection


def answered(port: int, name: bytes | None, version: int | None = None) -> tuple[str, bytes]:
    """The common name of the certificate that a name gets, and the last bytes off the wire."""
    connection = hello(name, version)
    wire = b""
    with knock(port) as sock:
        while True:
            try:
                connection.do_handshake()
            except SSL.WantReadError:
                sock.sendall(connection.bio_read(65536))
                wire = sock.recv(65536)
                if not wire:
                    return "", b""
                connection.bio_write(wire)
            except SSL.Error:
                return "", wire
            else:
                break
    certificate = connection.get_peer_certificate(as_cryptography=True)
    assert certificate is not None
    (common_name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common_name.value), wire


KNOWN = [
    (b"a.example.com", NAME, NAME),
    (b"A.eXample.COM", NAME, NAME),
    (b"a.example.com.", NAME, NAME),
    (b"x.wild.example.com", WILD, "x.wild.example.com"),
    (b"X.Wild.example.com.", WILD, "x.wild.example.com"),
    (b"xn--bcher-kva.example.com", A_LABEL, A_LABEL),
    (b"XN--BCHER-KVA.example.com", A_LABEL, A_LABEL),
]


@pytest.mark.parametrize(("sent", "expected", "canonical"), KNOWN)
@pytest_twisted.ensureDeferred
async def test_a_name_finds_its_host_in_every_spelling(
    serve: Serve, hosts: dict[str, TLSHost], sent: bytes, expected: str, canonical: str
) -> None:
    """Exact, by wildcard, in any case, with a final dot, as an A-label."""
    serving = serve(Scribe, hosts)
    common_name, _ = await aside(answered, serving.number, sent)
    assert expected == common_name
    assert canonical == serving.protocols[0].transport.server_name


UNKNOWN = [
    b"unknown.example.com",
    b"example.com",
    b"b.a.example.com",
    b"wild.example.com",
    b"x.y.wild.example.com",
    b"*.wild.example.com",
    b"a.example.com..",
    b".a.example.com",
    b"a_example.com",
    b"0x7f.1",
    b"1.2.3",
    b"a.example.com:443",
    b"a.example.com/",
    b"\xc3\xa9.example.com",
    IDNA.encode(),
    b"a" * 250,
    b"-",
    b"a\r\nb.example.com",
]
ALERT_112 = bytes((21, 3, 3, 0, 2, 2, 112))


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest_twisted.ensureDeferred
async def test_every_other_name_gets_the_alert_and_a_line(
    serve: Serve, hosts: dict[str, TLSHost], version: int
) -> None:
    """``unrecognized_name`` is on the wire, byte for byte, also where there is a default host."""
    serving = serve(Scribe, hosts, default=NAME)
    for place, name in enumerate(UNKNOWN, 1):
        _, wire = await aside(answered, serving.number, name, version)
        assert ALERT_112 == wire, name
        await until(lambda n=place: len(serving.failures) == n, "the failure")
        failure = serving.failures[-1]
        shown = repr(name.decode("ascii", "replace"))
        assert f"no host answers to the server name {shown}" == failure.reason
    await until(lambda: all(each.reasons for each in serving.protocols), "the end of all")
    assert {("made", "lost")} == {tuple(each.events) for each in serving.protocols}


@pytest.mark.parametrize(
    ("sent", "called"),
    [(b"127.0.0.1", "127.0.0.1"), (b"::1", "::1"), (b"[::1]", "::1"), (b"[0::0:1]", "::1")],
)
@pytest_twisted.ensureDeferred
async def test_an_address_is_no_server_name(
    serve: Serve, hosts: dict[str, TLSHost], sent: bytes, called: str
) -> None:
    """Whoever sends one gets the default host, as if nothing was sent, or a host of that name."""
    serving = serve(Scribe, hosts, default=A_LABEL)
    assert A_LABEL == (await aside(answered, serving.number, sent))[0]
    assert "" == serving.protocols[0].transport.server_name
    serving = serve(Scribe, hosts)
    assert ALERT_112 == (await aside(answered, serving.number, sent))[1]
    await until(lambda: serving.failures, "the failure")
    assert f"no host answers to the server name {sent.decode()!r}" == serving.failures[0].reason
    serving = serve(
        Scribe, {**hosts, called: tls_host(called, pair=certs.server(NAME))}, default=A_LABEL
    )
    assert NAME == (await aside(answered, serving.number, sent))[0]
    assert called == serving.protocols[0].transport.server_name


@pytest_twisted.ensureDeferred
async def test_a_name_with_a_nul_is_refused(serve: Serve, hosts: dict[str, TLSHost]) -> None:
    """C strings end there: what a look-up sees must be what was sent."""
    serving = serve(Scribe, hosts)
    connection = hello(b"a.example.comXtail")
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    data = connection.bio_read(65536).replace(b"comXtail", b"com\0tail")

    def send() -> bytes:
        with knock(serving.number) as sock:
            sock.sendall(data)
            return sock.recv(100)

    assert ALERT_112 == await aside(send)
    await until(lambda: serving.failures, "the failure")


@pytest_twisted.ensureDeferred
async def test_no_name_is_refused_unless_there_is_a_default(
    serve: Serve, hosts: dict[str, TLSHost]
) -> None:
    """With the same alert and its own reason; with a default, that host answers."""
    without = serve(Scribe, hosts)
    assert ("", ALERT_112) == await aside(answered, without.number, None)
    await until(lambda: without.failures, "the failure")
    assert "no server name was sent and there is no default_host" == without.failures[0].reason
    with_default = serve(Scribe, hosts, default=A_LABEL)
    common_name, _ = await aside(answered, with_default.number, None)
    assert (A_LABEL, "") == (common_name, with_default.protocols[0].transport.server_name)


def test_ten_thousand_hosts_are_a_dictionary_lookup() -> None:
    """No host is looked at that was not asked for, however many there are."""

    class Untouched(str):
        """A key that cannot be walked over without being noticed."""

    host = object()
    names: NameTable[Any] = NameTable()
    for number in range(10_000):
        names.add(Untouched(f"host-{number}.example.com"), host)
    names.add("*.apps.example.com", host)
    compared: list[str] = []

    def equal(self: str, other: object) -> bool:
        compared.append(self)
        return str.__eq__(self, other)

    Untouched.__eq__ = equal  # type: ignore[method-assign,assignment]
    Untouched.__hash__ = str.__hash__  # type: ignore[method-assign]
    table = HostTable(names)
    assert ("host-7777.example.com", host) == table.find(b"host-7777.example.com")
    assert ("x.apps.example.com", host) == table.find(b"x.apps.example.com")
    assert ("host-10000.example.com", None) == table.find(b"host-10000.example.com")
    assert len(compared) <= 3


# -- both are switched -------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest_twisted.ensureDeferred
async def test_a_demanding_host_demands_behind_a_default_that_does_not(
    serve: Serve, version: ssl.TLSVersion
) -> None:
    """The verify mode is the chosen host's, and so is the store; and never the other way round."""
    open_name = "open.example.com"
    demanding = tls_host(NAME, trust=trusting(), handshake="require")
    hosts = {open_name: tls_host(open_name), NAME: demanding}
    serving = serve(Scribe, hosts, default=open_name)
    for name, certificate, expected in [
        (NAME, None, False),
        (NAME, certs.client("x", certs.OTHER_CA), False),
        (NAME, certs.client(), True),
        (open_name, None, True),
        (open_name, certs.client(), True),
        (None, None, True),
    ]:
        before = len(serving.protocols)
        await aside(try_to_send, serving.number, name, certificate, version)
        await until(lambda n=before: len(serving.protocols) > n, "the connection")
        protocol = serving.protocols[-1]
        await until(lambda p=protocol: p.received or p.reasons, "an outcome")
        assert expected == bool(protocol.received), (name, certificate)
        identity = ANONYMOUS if name != NAME else protocol.transport.identity
        assert (name == NAME and expected) == identity.verified
        await until(lambda p=protocol: p.reasons, "the end")
    await turns()
    assert 2 == len(serving.failures)


def test_a_retried_hello_cannot_change_its_mind() -> None:
    """What the first name switched would partly remain: one that records is not one that requires.

    The names of a wildcard are different names, too.
    """
    hosts = {
        "open.example.com": tls_host("open.example.com"),
        NAME: tls_host(NAME, trust=trusting(), handshake="require"),
        WILD: tls_host(WILD),
    }
    for first, second, expected in [
        (b"open.example.com", NAME.encode(), False),
        (NAME.encode(), b"open.example.com", False),
        (NAME.encode(), None, False),
        (b"x.wild.example.com", b"y.wild.example.com", False),
        (NAME.encode(), b"A.example.com.", True),
    ]:
        answers = terminator(hosts, lambda _: None, Clock(), default="open.example.com")
        newcomer = SimpleNamespace(host=None, server_name="", refusal="", proved={})
        real = Lobby().receive(None, answers.hosts, newcomer)
        assert choose(named(real, first))
        assert expected == choose(named(real, second))
        assert expected == (newcomer.refusal == "")


def named(connection: SSL.Connection, name: bytes | None) -> Any:
    """A connection whose ClientHello has this server name."""
    return Intercepted(connection, get_servername=lambda: name)


@pytest_twisted.ensureDeferred
async def test_each_host_names_its_own_cas(serve: Serve) -> None:
    """The CertificateRequest lists the host's client CAs; a host without any sends none."""
    other, none = "b.example.com", "c.example.com"
    hosts = {
        NAME: tls_host(NAME, trust=trusting(certs.CLIENT_CA)),
        other: tls_host(other, trust=trusting(certs.OTHER_CA)),
        none: tls_host(none),
    }
    serving = serve(Scribe, hosts)

    def asked(name: str, version: int) -> list[str]:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(version)
        with knock(serving.number) as sock:
            sock.setblocking(True)
            connection = SSL.Connection(context, sock)
            connection.set_connect_state()
            connection.set_tlsext_host_name(name.encode())
            connection.do_handshake()
            return [str(each.CN) for each in connection.get_client_ca_list()]

    for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
        assert [certs.CLIENT_CA] == await aside(asked, NAME, version)
        assert [certs.OTHER_CA] == await aside(asked, other, version)
        assert [] == await aside(asked, none, version)


def try_to_send(
    port: int, name: str | None, certificate: certs.Pair | None, version: ssl.TLSVersion
) -> None:
    """Shake hands, send a byte, leave; refusals are seen from the other side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if certificate is not None:
        context.load_cert_chain(*certificate.files)
    raw = knock(port)
    try:
        with context.wrap_socket(raw, server_hostname=name) as sock:
            sock.send(b"x")
            sock.recv(1) if name == NAME and certificate is None else None
    except OSError:
        raw.close()
