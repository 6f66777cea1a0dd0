"""Nothing reaches the protocol before its client's identity is settled (invariant 1)."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import pytest_twisted
from tls_serving import (
    NAME,
    Intercepted,
    Scribe,
    Serving,
    aside,
    greet,
    knock,
    tls_host,
    trusting,
    turns,
    until,
)
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from zope.interface import implementer

from mtlsedge import openssl
from mtlsedge.identity import ANONYMOUS, Reason, Verdict
from mtlsedge.interfaces import IVerifier
from mtlsedge.ops.deadlines import BUCKET
from mtlsedge.pki.mint import Authority
from support import certs

Serve = Callable[..., Serving]


@implementer(IVerifier)
class Thoughtful:
    """A verifier that answers when it is told to."""

    def __init__(self) -> None:
        self.answers: list[Deferred[Verdict]] = []
        self.cancelled = 0

    def verify(self, peer: Any, host: str) -> Deferred[Verdict]:
        self.answers.append(Deferred(lambda _: self._cancel()))
        return self.answers[-1]

    def _cancel(self) -> None:
        self.cancelled += 1


@pytest.fixture
def verifier() -> Thoughtful:
    return Thoughtful()


class Witness(Scribe):
    """Writes down who its client was known to be at each event."""

    def handshakeCompleted(self) -> None:
        super().handshakeCompleted()
        self.known = self.transport.identity

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        assert self.known is self.transport.identity


def thoughtful_host(verifier: Thoughtful, **more: Any) -> dict[str, Any]:
    return {NAME: tls_host(NAME, trust=trusting(verifier=verifier), **more)}


# -- verifiers that take their time -------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_data_waits_until_a_slow_verifier_has_spoken(
    serve: Serve, verifier: Thoughtful
) -> None:
    """The request is there, the verdict is not: the protocol hears nothing at all."""
    serving = serve(Witness, thoughtful_host(verifier))
    sock = await aside(greet, serving.number, NAME, certs.client())
    await aside(sock.sendall, b"request" * 10_000)
    protocol = await serving.protocol()
    await until(lambda: verifier.answers, "the verifier to be asked")
    protocol.transport.resumeProducing()  # no protocol may shorten the wait
    await turns()
    assert (["made"], ANONYMOUS) == (protocol.events, protocol.transport.identity)
    verifier.answers[0].callback(Verdict(True, attributes={"team": "doors"}))
    await until(lambda: len(protocol.received) == 70_000, "the request")
    assert ["made", "handshake", "data"] == protocol.story
    assert (True, "doors") == (protocol.known.verified, protocol.known.attributes["team"])


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_while_a_verifier_thinks(
    serve: Serve, verifier: Thoughtful
) -> None:
    """Its data is not acted on later under an identity it never had."""
    serving = serve(Witness, thoughtful_host(verifier))
    sock = await aside(greet, serving.number, NAME, certs.client())
    await until(lambda: verifier.answers, "the verifier to be asked")
    protocol = await serving.protocol()
    sock.close()
    await turns()
    verifier.answers[0].callback(Verdict(False, "gone anyway"))
    await until(lambda: protocol.reasons, "the end")
    assert ["made", "handshake", "lost"] == protocol.events
    assert (True, False) == (protocol.known.presented, protocol.known.verified)


@pytest_twisted.ensureDeferred
async def test_a_verifier_that_never_answers_is_given_up_with_the_handshake(
    serve: Serve, verifier: Thoughtful
) -> None:
    """The handshake timeout ends it, the verifier is told, and a late verdict changes nothing."""
    clock = Clock()
    serving = serve(Witness, thoughtful_host(verifier), clock=clock, handshake_timeout=3.0)
    sock = await aside(greet, serving.number, NAME, certs.client())
    await until(lambda: verifier.answers, "the verifier to be asked")
    clock.pump([BUCKET] * 6)
    protocol = await serving.protocol()
    await until(lambda: protocol.reasons, "the end")
    assert (1, ["made", "lost"]) == (verifier.cancelled, protocol.events)
    if not verifier.answers[0].called:
        verifier.answers[0].callback(Verdict(True))
    await turns()
    assert ["made", "lost"] == protocol.events
    assert ["the handshake took too long"] == [each.reason for each in serving.failures]
    sock.close()


@pytest_twisted.ensureDeferred
async def test_a_verdict_in_the_same_turn_as_the_abort_opens_nothing(
    serve: Serve, verifier: Thoughtful
) -> None:
    """Aborted, and the loss not yet delivered: the verdict must not bring it back to life."""
    serving = serve(Witness, thoughtful_host(verifier))
    sock = await aside(greet, serving.number, NAME, certs.client())
    await until(lambda: verifier.answers, "the verifier to be asked")
    protocol = await serving.protocol()
    protocol.transport.abortConnection()
    verifier.answers[0].callback(Verdict(True))
    await until(lambda: protocol.reasons, "the end")
    assert ["made", "lost"] == protocol.events
    sock.close()


@pytest_twisted.ensureDeferred
async def test_an_error_after_a_late_verdict_ends_the_connection(
    serve: Serve, verifier: Thoughtful
) -> None:
    """Nobody else is there to catch it: no half-made protocol stays connected."""

    class Broken(Scribe):
        def handshakeCompleted(self) -> None:
            raise ZeroDivisionError("on purpose")

    logged: list[LogEvent] = []
    globalLogPublisher.addObserver(logged.append)
    try:
        serving = serve(Broken, thoughtful_host(verifier))
        sock = await aside(greet, serving.number, NAME, certs.client())
        await until(lambda: verifier.answers, "the verifier to be asked")
        verifier.answers[0].callback(Verdict(True))
        protocol = await serving.protocol()
        await until(lambda: protocol.reasons, "the end")
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert [ZeroDivisionError] == [e["log_failure"].type for e in logged if "log_failure" in e]
    sock.close()


@pytest_twisted.ensureDeferred
async def test_a_judge_that_breaks_refuses(serve: Serve) -> None:
    """Whatever is raised while an identity is settled, the connection ends without one."""

    class Breaking:
        authorities, digest = trusting().authorities, trusting().digest

        def settle(self, *_: Any) -> Any:
            raise ZeroDivisionError("on purpose")

    serving = serve(Witness, {NAME: tls_host(NAME, trust=Breaking())})
    sock = await aside(greet, serving.number, NAME, certs.client())
    protocol = await serving.protocol()
    await until(lambda: protocol.reasons, "the end")
    assert (["made", "lost"], [ZeroDivisionError]) == (protocol.events, protocol.reasons)
    sock.close()


@pytest_twisted.ensureDeferred
async def test_a_host_that_requires_also_requires_its_verifiers(
    serve: Serve, verifier: Thoughtful
) -> None:
    """The handshake could not ask them; afterwards their no ends the connection."""
    serving = serve(Witness, thoughtful_host(verifier, handshake="require"))
    sock = await aside(greet, serving.number, NAME, certs.client())
    await until(lambda: verifier.answers, "the verifier to be asked")
    verifier.answers[0].callback(Verdict(False, "not today"))
    protocol = await serving.protocol()
    await until(lambda: protocol.reasons, "the end")
    assert ["made", "lost"] == protocol.events
    (failure,) = serving.failures
    assert "certificate_rejected: the verifier 'told' says no: not today" == failure.reason
    assert (Reason.REJECTED, "TLSv1.3") == (failure.identity.reason, failure.facts.version)
    sock.close()


# -- handshakes that stall ---------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_handshakes_that_stall_are_cut(serve: Serve) -> None:
    """One that says nothing and one that stops half-way, both in time and with a log line."""
    clock = Clock()
    serving = serve(clock=clock, handshake_timeout=10.0)
    silent, halting = knock(serving.number), knock(serving.number)
    await aside(halting.sendall, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    await until(lambda: len(serving.protocols) == 2, "both")
    await turns()
    clock.pump([BUCKET] * 9)
    await turns()
    assert [] == [each for each in serving.protocols if each.reasons]
    clock.pump([BUCKET] * 4)
    await until(lambda: all(each.reasons for each in serving.protocols), "the end of both")
    assert ["the handshake took too long"] * 2 == [each.reason for each in serving.failures]
    with pytest.raises(ConnectionResetError):
        await aside(silent.recv, 1)


@pytest_twisted.ensureDeferred
async def test_the_handshakes_time_does_not_run_on_after_it(serve: Serve) -> None:
    """An idle connection is the protocol's affair."""
    clock = Clock()
    serving = serve(clock=clock, handshake_timeout=3.0)
    sock = await aside(greet, serving.number)
    protocol = await serving.protocol()
    await until(lambda: "handshake" in protocol.events, "the handshake")
    clock.pump([BUCKET] * 30)
    await aside(sock.send, b"still here")
    await until(lambda: protocol.received, "data")


@pytest_twisted.ensureDeferred
async def test_an_error_in_the_verify_callback_refuses_this_client_only(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyOpenSSL would raise it again in the next connection that has to wait for something."""
    host = tls_host(NAME, trust=trusting(), handshake="require")
    broken = [True]
    objection = host.trust.objection  # type: ignore[union-attr]

    def once(chain: Any) -> Any:
        if broken:
            broken.pop()
            raise ZeroDivisionError("on purpose")
        return objection(chain)

    monkeypatch.setattr(host.trust, "objection", once)
    serving = serve(Scribe, {NAME: host})
    first = await aside(greet, serving.number, NAME, certs.client())
    await until(lambda: serving.failures, "the refusal")
    assert "internal error while the client certificate was verified" == serving.failures[0].reason
    second = await aside(greet, serving.number, NAME, certs.client())
    protocol = await serving.protocol(1)
    await until(lambda: "handshake" in protocol.events, "the second's handshake")
    assert protocol.transport.identity.verified
    first.close()
    second.close()


@pytest_twisted.ensureDeferred
async def test_a_handshake_that_refused_a_certificate_says_whose(serve: Serve) -> None:
    """The log of a host that requires one tells a stranger from a client that had none."""
    serving = serve(Scribe, {NAME: tls_host(NAME, trust=trusting(), handshake="require")})
    stranger = await aside(greet, serving.number, NAME, certs.client("x", certs.OTHER_CA))
    await until(lambda: serving.failures, "the refusal")
    found = serving.failures[0].identity
    assert (True, False, Reason.UNTRUSTED) == (found.presented, found.verified, found.reason)
    assert found.chain is not None
    assert "CN=x" == found.chain.leaf.subject
    stranger.close()


# -- what is left behind -------------------------------------------------------------------------


ENDINGS: dict[str, Callable[[int], Any]] = {
    "served": lambda port: greet(port, NAME, certs.client()).close(),
    "goodbye": lambda port: greet(port, NAME, certs.client()).unwrap(),
    "stranger": lambda port: greet(port, NAME, certs.client("x", certs.OTHER_CA)).close(),
    "unknown name": lambda port: greet(port, "unknown.example.com"),
    "no TLS": lambda port: knock(port).sendall(b"GET / HTTP/1.1\r\n\r\n"),
    "nothing": lambda port: knock(port).close(),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("handshake", ["record", "require"])
@pytest_twisted.ensureDeferred
async def test_a_connection_leaves_nothing_for_the_collector(
    serve: Serve, ending: str, handshake: str
) -> None:
    """With the garbage collector off, the transport dies with its connection."""
    serving = serve(Scribe, {NAME: tls_host(NAME, trust=trusting(), handshake=handshake)})
    gc.collect()
    gc.disable()
    try:

        def client() -> None:
            with suppress(OSError):
                ENDINGS[ending](serving.number)

        await aside(client)
        await until(lambda: serving.protocols and serving.protocols[0].reasons, "the end")
        protocol = serving.protocols.pop()
        left = weakref.ref(protocol.transport)
        tls = weakref.ref(protocol.transport._tls)
        del protocol
        await until(lambda: left() is None and tls() is None, "the transport to be freed")
    finally:
        gc.enable()


@pytest.mark.parametrize("end", ["abort", "timeout", "verdict"])
@pytest_twisted.ensureDeferred
async def test_neither_does_one_that_waited_for_a_verifier(
    serve: Serve, verifier: Thoughtful, end: str
) -> None:
    """Also where the verdict never comes; but cancelling it leaves the collector some work."""
    clock = Clock()
    serving = serve(Scribe, thoughtful_host(verifier), clock=clock, handshake_timeout=3.0)
    sock = await aside(greet, serving.number, NAME, certs.client())
    await until(lambda: verifier.answers, "the verifier to be asked")
    left = weakref.ref(serving.protocols[0].transport)
    if end == "abort":
        serving.protocols[0].transport.abortConnection()
    elif end == "timeout":
        clock.pump([BUCKET] * 6)
    else:
        verifier.answers[0].callback(Verdict(True))
        sock.close()
    await until(lambda: serving.protocols[0].reasons, "the end")
    serving.protocols.clear()
    await turns(1)
    if end != "verdict":
        gc.collect()
    await until(lambda: left() is None, "the transport to be freed")
    sock.close()


# -- OpenSSL's error queue -----------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_no_call_finds_the_errors_of_another_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue is the thread's and not the connection's; each call starts with an empty one."""
    found: list[tuple[str, int]] = []
    lib = openssl._lib

    def watch(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any) -> Any:
            found.append((name, lib.ERR_peek_error()))
            try:
                return call(*args)
            finally:
                lib.ERR_put_error(6, 0, 100, b"somebody else", 1)

        return watched

    names = {"SSL_do_handshake", "SSL_read", "SSL_write"}
    monkeypatch.setattr(
        openssl, "_lib", Intercepted(lib, **{n: watch(n, getattr(lib, n)) for n in names})
    )

    class Watched(Scribe):
        def handshakeCompleted(self) -> None:
            real = self.transport._tls
            watched = watch("shutdown", real.shutdown)
            self.transport._tls = Intercepted(real, shutdown=watched)

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.write(data)
            self.transport.loseConnection()

    serving = serve(Watched)
    sock = await aside(greet, serving.number)
    await aside(sock.send, b"echo")
    assert b"echo" == await aside(sock.recv, 10)
    await until(lambda: serving.protocols[0].reasons, "the end")
    lib.ERR_clear_error()
    assert {*names, "shutdown"} == {name for name, _ in found}
    assert [] == [each for each in found if each[1]]


@pytest_twisted.ensureDeferred
async def test_a_chain_with_a_false_signature_is_recorded_and_judged(serve: Serve) -> None:
    """It leaves errors in OpenSSL's queue, and the handshake goes on all the same."""
    namesake = Authority.make_root(certs.CLIENT_CA)
    pair = certs.store("forged", namesake.issue("forged"))
    pair.certificate.write_bytes(pair.issued.certificate + certs.authority().pem)
    serving = serve(Witness, {NAME: tls_host(NAME, trust=trusting())})
    sock = await aside(greet, serving.number, NAME, pair)
    await aside(sock.send, b"x")
    protocol = await serving.protocol()
    await until(lambda: protocol.received, "data")
    assert (True, False) == (protocol.known.presented, protocol.known.verified)
    good = await aside(greet, serving.number, NAME, certs.client())
    protocol = await serving.protocol(1)
    await until(lambda: "handshake" in protocol.events, "the good one's handshake")
    assert protocol.known.verified
    sock.close()
    good.close()
