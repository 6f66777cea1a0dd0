"""How does a handshake end that fails? In time, alone, and with a word in the log."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from tls_serving import NAME, Scribe, Serve, aside, greet, knock, tls_host, trusting, turns, until
from twisted.internet.task import Clock

from mtlsedge.identity import Reason
from mtlsedge.ops.deadlines import BUCKET
from support import certs


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
