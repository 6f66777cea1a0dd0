"""From what the operator wrote to endpoints that connect."""

from __future__ import annotations

from typing import Any

import pytest
from http_bench import LIMITS, TIMEOUTS
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from mtlsedge import model
from mtlsedge.http.upstreams import origin_group
from mtlsedge.ops.deadlines import Deadlines
from support import certs


def host(*upstreams: model.Upstream, tls: model.UpstreamTLS | None = None) -> model.Host:
    """A host before these origins."""
    return model.Host(
        ("a.example.com",),
        model.KeyPair(b"", b""),
        upstreams,
        tls or model.UpstreamTLS(),
        limits=LIMITS,
        timeouts=TIMEOUTS,
    )


def origins(*upstreams: model.Upstream, reactor: Any = None) -> list[Any]:
    """The origins that are made of them."""
    group: Any = origin_group(host(*upstreams), Deadlines(Clock()), reactor or MemoryReactorClock())
    made: list[Any] = group._origins
    return made


@pytest.mark.parametrize(
    "upstream, authority",
    [
        (model.Upstream("http", "app.test", 80), b"app.test"),
        (model.Upstream("http", "app.test", 8080), b"app.test:8080"),
        (model.Upstream("http", "::1", 8080), b"[::1]:8080"),
        (model.Upstream("unix", path="/run/app.sock"), b"localhost"),
    ],
)
def test_an_origin_has_its_own_authority(upstream: model.Upstream, authority: bytes) -> None:
    """For the Host field, where the client's is not kept (RFC 9110 §7.2)."""
    (origin,) = origins(upstream)
    assert (authority, str(upstream)) == (origin.authority, origin.name)


def test_a_default_port_is_not_said() -> None:
    """443 for https, as 80 for http."""
    tls = model.UpstreamTLS(certs.ca_file().read_bytes())
    wanted = host(model.Upstream("https", "app.test", 443), tls=tls)
    group: Any = origin_group(wanted, Deadlines(Clock()), MemoryReactorClock())
    assert b"app.test" == group._origins[0].authority


def test_every_limit_and_time_arrives() -> None:
    """Each under its own name."""
    limits = model.Limits(response_head=1, origin_connections=2, origin_idle=3, origin_queue=4)
    timeouts = model.Timeouts(
        origin_connect=5, origin_response=6, origin_keep_alive=7, origin_retry=8, queue=9
    )
    wanted = model.Host(
        ("a.example.com",),
        model.KeyPair(b"", b""),
        (model.Upstream("http", "app.test", 80),),
        limits=limits,
        timeouts=timeouts,
    )
    group: Any = origin_group(wanted, Deadlines(Clock()), MemoryReactorClock())
    found = group._origins[0].settings
    assert (1, 2, 3, 4) == (found.head_limit, found.connections, found.idle, found.queue)
    assert (5, 6, 7, 8, 9) == (
        found.connect,
        found.response,
        found.keep_alive,
        found.retry,
        found.queue_wait,
    )


@pytest.mark.parametrize(
    "upstream, attempt",
    [
        (model.Upstream("http", "192.0.2.1", 8080), ("192.0.2.1", 8080)),
        (model.Upstream("http", "2001:db8::1", 8080), ("2001:db8::1", 8080)),
    ],
)
def test_an_address_is_connected_to_without_a_resolver(
    upstream: model.Upstream, attempt: tuple[str, int]
) -> None:
    """At once, with the operator's time-out."""
    reactor: Any = MemoryReactorClock()
    (origin,) = origins(upstream, reactor=reactor)
    origin._connect(None, lambda detail: None)
    ((address, port, _, timeout, _),) = reactor.tcpClients
    assert (*attempt, TIMEOUTS.origin_connect) == (address, port, timeout)


def test_a_ca_that_cannot_be_used_is_a_value_error() -> None:
    """When the service is assembled, not at the first request."""
    tls = model.UpstreamTLS(b"not a certificate")
    with pytest.raises(ValueError, match=r"(?i)pem|certificate"):
        origin_group(
            host(model.Upstream("https", "app.test", 443), tls=tls),
            Deadlines(Clock()),
            MemoryReactorClock(),
        )
