"""Nothing reaches the protocol before its client's identity is settled (invariant 1)."""

from __future__ import annotations

from typing import Any

import pytest_twisted
from thoughtful import Thoughtful, Witness, thoughtful_host
from tls_serving import NAME, Scribe, Serve, aside, greet, tls_host, trusting, turns, until
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from mtlsedge.identity import ANONYMOUS, Reason, Verdict
from mtlsedge.ops.deadlines import BUCKET
from support import certs


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
