"""A connection leaves nothing behind: not for the collector, not in OpenSSL's error queue."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import pytest_twisted
from thoughtful import Thoughtful, Witness, thoughtful_host
from tls_serving import (
    NAME,
    Intercepted,
    Scribe,
    Serve,
    aside,
    greet,
    knock,
    tls_host,
    trusting,
    turns,
    until,
)
from twisted.internet.task import Clock

from mtlsedge import openssl
from mtlsedge.identity import Verdict
from mtlsedge.ops.deadlines import BUCKET
from mtlsedge.pki.mint import Authority
from support import certs

# -- what is left behind -----------------------------------------------------------------------


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


# -- OpenSSL's error queue ---------------------------------------------------------------------


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
