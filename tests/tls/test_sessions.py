"""Sessions: who gets tickets, and who a resumed client is (invariant 1)."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_twisted
from tls_serving import NAME, Scribe, Serve, Serving, aside, knock, tls_host, trusting, until

from mtlsedge.identity import ANONYMOUS, Identity, Reason
from mtlsedge.model import CrlSource
from mtlsedge.tls.hosts import TLSHost
from support import certs

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
OTHER, OPEN = "b.example.com", "open.example.com"
BOTH = pytest.mark.parametrize("version", VERSIONS)


class Echo(Scribe):
    """Sends back what comes."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)


@dataclass
class Seen:
    """What one connection was, from both ends."""

    session: ssl.SSLSession | None
    reused: bool
    tickets: int
    identity: Identity
    resumed: bool
    server_name: str


class Resumer:
    """A client with one certificate that keeps the sessions it is given."""

    def __init__(self, version: ssl.TLSVersion, certificate: certs.Pair | None = None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.context.minimum_version = self.context.maximum_version = version
        if certificate is not None:
            self.context.load_cert_chain(*certificate.files)
        self.messages: list[bytes] = []
        # Python's own debugging hook; nothing else shows a message and not only its effect.
        self.context._msg_callback = self._message  # type: ignore[attr-defined]

    def _message(
        self, _: Any, direction: str, version: Any, content: Any, kind: Any, data: bytes
    ) -> None:
        if direction == "read" and getattr(kind, "name", "") == "NEWSESSION_TICKET":
            self.messages.append(data)

    async def visit(
        self, serving: Serving, name: str | None, session: ssl.SSLSession | None = None
    ) -> Seen | None:
        """One connection with an echo on it; None where the edge refused."""
        place = len(serving.protocols)
        self.messages.clear()

        def client() -> tuple[ssl.SSLSession | None, bool] | None:
            raw = knock(serving.number)
            try:
                with self.context.wrap_socket(raw, server_hostname=name, session=session) as sock:
                    sock.send(b"x")
                    if not sock.recv(1):
                        return None
                    return sock.session, bool(sock.session_reused)
            except OSError:
                raw.close()
                return None

        seen = await aside(client)
        protocol = await serving.protocol(place)
        await until(lambda: protocol.reasons, "the end")
        transport = protocol.transport
        if seen is None:
            assert not protocol.received
            return None
        facts = transport.facts
        tickets = len(self.messages)
        return Seen(*seen, tickets, transport.identity, facts.resumed, transport.server_name)


def hosts(
    a: str = "recheck", b: str = "recheck", none: str = "recheck", **trusts: Any
) -> dict[str, TLSHost]:
    """Hosts with CAs of their own and one that asks for nothing, each with its resumption."""
    return {
        NAME: tls_host(NAME, trust=trusting(certs.CLIENT_CA, **trusts), resumption=a),
        OTHER: tls_host(OTHER, trust=trusting(certs.OTHER_CA), resumption=b),
        OPEN: tls_host(OPEN, resumption=none),
    }


@BOTH
@pytest.mark.parametrize("others", ["off", "recheck"])
@pytest_twisted.ensureDeferred
async def test_a_host_without_resumption_sends_no_tickets(
    serve: Serve, version: ssl.TLSVersion, others: str
) -> None:
    """Not even useless ones, which cost their making; whatever other hosts allow."""
    serving = serve(Echo, hosts("off", others, others), default=NAME)
    for certificate in (certs.client(), None):
        for name in (NAME, None):
            client = Resumer(version, certificate)
            first = await client.visit(serving, name)
            assert first is not None
            assert (0, False) == (first.tickets, bool(first.session and first.session.has_ticket))
            again = await client.visit(serving, name, first.session)
            assert again is not None
            assert (False, False) == (again.reused, again.resumed)


@pytest_twisted.ensureDeferred
async def test_no_ticket_invites_early_data(serve: Serve) -> None:
    """What is replayed could be a request: RFC 8446 §8, and no way round it."""
    serving = serve(Echo, hosts())
    client = Resumer(ssl.TLSVersion.TLSv1_3, certs.client())
    await client.visit(serving, NAME)
    assert client.messages
    for ticket in client.messages:
        at = 4 + 4 + 4  # header, lifetime, age
        at += 1 + ticket[at]  # nonce
        at += 2 + int.from_bytes(ticket[at : at + 2], "big")  # ticket
        assert b"\0\0" == ticket[at:], "an extension, and early_data is the only one there is"


@BOTH
@pytest_twisted.ensureDeferred
async def test_a_resumed_client_is_judged_again(serve: Serve, version: ssl.TLSVersion) -> None:
    """It sends no chain and no verify callback runs: the leaf of its session is what counts."""
    serving = serve(Echo, hosts())
    client = Resumer(version, certs.client())
    first = await client.visit(serving, NAME)
    assert first is not None
    assert (True, False, True) == (first.identity.verified, first.resumed, first.tickets > 0)
    again = await client.visit(serving, NAME, first.session)
    assert again is not None
    assert (True, True, True) == (again.reused, again.resumed, again.identity.verified)
    assert again.identity.chain is not None
    assert certs.client().fingerprint == again.identity.chain.leaf.fingerprint_sha256


@BOTH
@pytest_twisted.ensureDeferred
async def test_an_intermediate_of_the_first_handshake_still_counts(
    serve: Serve, version: ssl.TLSVersion
) -> None:
    """A session holds the leaf alone; what it was proved with is remembered."""
    middle = certs.intermediate("Device Intermediate")
    pair = certs.store("behind-device-intermediate", middle.issue_client("device-7"))
    serving = serve(Echo, hosts())
    client = Resumer(version, pair)
    first = await client.visit(serving, NAME)
    assert first is not None
    assert first.identity.verified
    again = await client.visit(serving, NAME, first.session)
    assert again is not None
    assert (True, True) == (again.resumed, again.identity.verified)
    elsewhere = await client.visit(serving, OTHER, first.session)
    assert elsewhere is None or not elsewhere.identity.verified or elsewhere.server_name == NAME


@BOTH
@pytest_twisted.ensureDeferred
async def test_a_certificate_that_expires_between_is_refused(
    serve: Serve, version: ssl.TLSVersion
) -> None:
    """The session outlives it; the identity does not."""
    issued = certs.authority().issue("short-lived", lifetime=timedelta(hours=1))
    clock = [time.time()]
    serving = serve(Echo, hosts(now=lambda: clock[0]))
    client = Resumer(version, certs.store("short-lived", issued))
    first = await client.visit(serving, NAME)
    assert first is not None
    assert first.identity.verified
    clock[0] += 7200
    again = await client.visit(serving, NAME, first.session)
    assert again is not None
    assert (True, False) == (again.resumed, again.identity.verified)
    assert Reason.EXPIRED is again.identity.reason


@BOTH
@pytest.mark.parametrize("handshake", ["record", "require"])
@pytest_twisted.ensureDeferred
async def test_a_list_that_goes_stale_between_refuses(
    serve: Serve, version: ssl.TLSVersion, handshake: str
) -> None:
    """A resumed session gets no more credit than a full handshake; required, it gets nowhere."""
    path = certs.crl_file("sessions.crl")
    clock = [time.time()]
    crls = (CrlSource(str(path), path.read_bytes()),)
    trust = trusting(now=lambda: clock[0], crls=crls)
    host = tls_host(NAME, trust=trust, resumption="recheck", handshake=handshake)
    serving = serve(Echo, {NAME: host})
    client = Resumer(version, certs.client())
    first = await client.visit(serving, NAME)
    assert first is not None
    assert first.identity.verified
    clock[0] += 86400 * 3650
    again = await client.visit(serving, NAME, first.session)
    if handshake == "require":
        assert again is None
        (failure,) = serving.failures
        assert failure.facts.resumed
        assert not failure.identity.verified
    else:
        assert again is not None
        assert (True, False) == (again.resumed, again.identity.verified)


@BOTH
@pytest_twisted.ensureDeferred
async def test_required_certificates_are_required_of_resumed_sessions(
    serve: Serve, version: ssl.TLSVersion
) -> None:
    """A session without one, made where none is asked for, does not get in."""
    demanding = tls_host(NAME, trust=trusting(), resumption="recheck", handshake="require")
    serving = serve(Echo, {NAME: demanding, OPEN: tls_host(OPEN, resumption="recheck")})
    for certificate in (None, certs.client("x", certs.OTHER_CA)):
        client = Resumer(version, certificate)
        first = await client.visit(serving, OPEN)
        assert first is not None
        seen = await client.visit(serving, NAME, first.session)
        # In TLS 1.2 a session keeps the name it was made for, and the edge answers as that host.
        assert seen is None or (OPEN, ANONYMOUS) == (seen.server_name, seen.identity)


@BOTH
@pytest.mark.parametrize("source", [NAME, OTHER, OPEN])
@pytest.mark.parametrize("target", [NAME, OTHER, OPEN])
@pytest.mark.parametrize("owner", [certs.CLIENT_CA, certs.OTHER_CA])
@pytest_twisted.ensureDeferred
async def test_no_session_carries_an_identity_to_another_host(
    serve: Serve, version: ssl.TLSVersion, source: str, target: str, owner: str
) -> None:
    """Whatever is resumed where: only a host's own CA makes a client verified there."""
    serving = serve(Echo, hosts())
    client = Resumer(version, certs.client("traveller", owner))
    first = await client.visit(serving, source)
    assert first is not None
    seen = await client.visit(serving, target, first.session)
    if seen is None:
        return
    expected = (seen.server_name, owner) in [(NAME, certs.CLIENT_CA), (OTHER, certs.OTHER_CA)]
    if source == OPEN and seen.resumed:
        expected = False  # that session never saw a certificate
    assert expected == seen.identity.verified
    assert (owner,) == seen.identity.client_cas if expected else not seen.identity.client_cas
    assert seen.reused == seen.resumed


@BOTH
@pytest.mark.parametrize("source", [NAME, OPEN])
@pytest_twisted.ensureDeferred
async def test_a_session_is_not_welcome_where_resumption_is_off(
    serve: Serve, version: ssl.TLSVersion, source: str
) -> None:
    """Made at a host with ``recheck``, presented at one without: refused, or not that host."""
    serving = serve(Echo, hosts("recheck", "off", "recheck"))
    client = Resumer(version, certs.client())
    first = await client.visit(serving, source)
    assert first is not None
    seen = await client.visit(serving, OTHER, first.session)
    if version is ssl.TLSVersion.TLSv1_3:
        assert seen is None
        assert ["a session of another host was resumed"] == [f.reason for f in serving.failures]
    else:
        assert seen is not None
        assert (True, source) == (seen.resumed, seen.server_name)
    fresh = await client.visit(serving, OTHER)
    assert fresh is not None
    assert (OTHER, False) == (fresh.server_name, fresh.resumed)


@BOTH
@pytest_twisted.ensureDeferred
async def test_a_session_of_another_process_is_a_full_handshake(
    serve: Serve, version: ssl.TLSVersion
) -> None:
    """Ticket keys belong to one terminator: a reload or a restart makes new ones."""
    old, new = serve(Echo, hosts()), serve(Echo, hosts())
    client = Resumer(version, certs.client())
    first = await client.visit(old, NAME)
    assert first is not None
    seen = await client.visit(new, NAME, first.session)
    assert seen is not None
    assert (False, False, True) == (seen.reused, seen.resumed, seen.identity.verified)
