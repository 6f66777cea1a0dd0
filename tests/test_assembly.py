"""Wiring: what hosts share, and what a reload does not build again."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.task import Clock

from mtlsedge import model
from mtlsedge.assembly import Assembled, Surroundings, assemble
from mtlsedge.http.site import Crowd
from mtlsedge.ops.deadlines import Deadlines
from mtlsedge.tls.lobby import Lobby
from support import certs

A, B, C = "a.example.com", "b.example.com", "c.example.com"


def surroundings(lobby: Lobby | None = None) -> Surroundings:
    """A process with no log and no keys."""
    clock = Clock()
    return Surroundings(
        clock,
        time.time,
        lobby or Lobby(),
        Deadlines(clock),
        cast(Any, None),
        cast(Any, SimpleNamespace(enabled=False)),
        Crowd(),
        lambda _: None,
    )


def host(*names: str, **more: Any) -> model.Host:
    pair = certs.server(*names)
    key_pair = model.KeyPair(pair.certificate.read_bytes(), pair.key.read_bytes())
    upstream = (model.Upstream("http", "127.0.0.1", 8080),)
    return model.Host(names, key_pair, more.pop("upstream", upstream), **more)


def client_ca(*hosts: str, name: str = certs.CLIENT_CA) -> model.ClientCA:
    return model.ClientCA(name, certs.ca_file(name).read_bytes(), hosts)


def built(*hosts: model.Host, cas: tuple[model.ClientCA, ...] = (), **more: Any) -> Assembled:
    edge = model.Edge((), cast(Any, None))
    return assemble(model.Configuration(edge, hosts, cas), surroundings(**more))


def test_hosts_with_the_same_client_cas_have_one_judge() -> None:
    """And what one learns of a certificate, the others know; another patience is another's."""
    slow = model.Timeouts(verifier=1.0)
    hosts = (host(A), host(B), host(C, timeouts=slow))
    made = built(*hosts, cas=(client_ca(A, B, C),))
    sites = made.front.sites
    assert sites[A].judge is sites[B].judge
    assert sites[A].judge is not sites[C].judge
    assert 2 == len(made.trusts)


def test_names_of_one_host_are_judged_by_their_own_client_cas() -> None:
    """A client CA is associated with names, not with hosts."""
    cas = (client_ca(A, B), client_ca(B, name=certs.OTHER_CA))
    sites = built(host(A, B, C), cas=cas).front.sites
    assert [A, B, C] == list(sites)
    judges = [sites[name].judge for name in (A, B, C)]
    assert judges[0] is not judges[1]
    assert judges[2] is None


def test_hosts_that_say_the_same_of_their_origins_share_them() -> None:
    """A limit of connections to one origin is that, however many hosts it stands behind."""
    other = (model.Upstream("http", "127.0.0.1", 8081),)
    few = model.Limits(origin_connections=1)
    hosts = (host(A), host(B), host(C, upstream=other), host("d.example.com", limits=few))
    sites = built(*hosts).front.sites
    assert sites[A].origins is sites[B].origins
    assert 3 == len({id(site.origins) for site in sites.values()})


def test_another_configuration_shares_no_origin_with_the_one_before() -> None:
    """Its connections are closed when it retires."""
    first, second = built(host(A)), built(host(A))
    assert first.front.sites[A].origins is not second.front.sites[A].origins


def test_the_next_configuration_finds_the_contexts_of_this_one() -> None:
    """Where the certificate is another, the context is, too."""
    before = built(host(A), host(B), cas=(client_ca(A, B),))
    renewed = replace(host(B), key_pair=host(B, C).key_pair)
    after = built(host(A), renewed, cas=(client_ca(A, B),))
    tables = (before.terminator.hosts.names, after.terminator.hosts.names)
    found = [[cast(Any, table.find(name)).context for table in tables] for name in (A, B)]
    assert found[0][0] is found[0][1]
    assert found[1][0] is not found[1][1]


def test_the_lobby_learns_where_sessions_resume() -> None:
    """Its ticket keys are thrown away when a host takes no sessions any more, and only then."""
    lobby = Lobby()
    keys = [lobby.context]
    for resumption in ("off", "recheck", "recheck", "off", "off"):
        built(host(A, resumption=resumption), host(B, resumption="recheck"), lobby=lobby)
        keys.append(lobby.context)
    changed = [one is not other for one, other in pairwise(keys)]
    assert [False, False, False, True, False] == changed
