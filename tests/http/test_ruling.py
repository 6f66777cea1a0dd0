"""What is asked for, and who may have it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mtlsedge import model
from mtlsedge.http.admission import ask_verifiers, open_session
from mtlsedge.http.messages import Refuse, RequestHead
from mtlsedge.http.ruling import (
    decide,
    denial,
    find_route,
    governing,
    proved_service_token,
    read_target,
)
from mtlsedge.identity import ANONYMOUS, Identity, PeerChain, Reason, Verdict
from mtlsedge.policy import service_tokens
from mtlsedge.policy.question import Decision
from mtlsedge.session.keys import KeyRing
from support.memory import NAME, MemoryEdge, application, holder

TOKEN, SECRET = service_tokens.mint("robot")


@pytest.fixture
def edge(ring: KeyRing) -> Iterator[MemoryEdge]:
    made = MemoryEdge(
        ring,
        (application("/ingest", "service_auth"), application("/open", "bypass"),
         application("/shut", "block")),
        service_tokens=(TOKEN,),
    )  # fmt: skip
    yield made
    made.close()


def head(
    target: bytes, method: str = "GET", host: bytes | None = NAME.encode(), version: str = "1.1"
) -> RequestHead:
    return RequestHead(method, target, version, host=host)


def refused(edge: MemoryEdge, asked: RequestHead, server_name: str = NAME) -> tuple[int, bool]:
    """The status of the refusal, and whether it closes the connection."""
    with pytest.raises(Refuse) as caught:
        read_target(asked, edge.connect(server_name=server_name).caller)
    return caught.value.status, caught.value.close


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a/./b/../c?d=/../e", "/a/c", "?d=/../e"),
        (b"https://iot.example.com/a?b", "/a", "?b"),
        (b"HTTPS://IOT.EXAMPLE.COM/a", "/a", ""),
        (b"https://iot.example.com", "/", ""),
        (b"/%61%2f", "/a%2F", ""),
        (b"//other.example/a", "//other.example/a", ""),
    ],
)
def test_a_target_is_read_once(edge: MemoryEdge, target: bytes, path: str, query: str) -> None:
    """In origin form or absolute form (RFC 9112 §3.2), and canonical from then on."""
    host = b"IOT.EXAMPLE.COM" if target.startswith(b"HTTPS") else NAME.encode()
    read = read_target(head(target, host=host), edge.connect().caller)
    assert (NAME, path, query) == (read.host, read.request_path.path, read.request_path.query)


@pytest.mark.parametrize(
    "target",
    [b"*", b"iot.example.com:443", b"http://iot.example.com/", b"ftp://iot.example.com/",
     b"https://other.example.com/", b"https:///a", b"https://?a", b"https://iot.example.com?a",
     b"https://iot.example.com:8443/", b"https://user@iot.example.com/", b"https:/a", b"",
     b"https://iot.example.com#/a", b"/a#b", b"/%", b"/%0", b"/%zz", b"/a%00", b"/%250a", b"/\xe9",
     b"/a b"],
)  # fmt: skip
def test_any_other_target_is_malformed_and_closes(edge: MemoryEdge, target: bytes) -> None:
    """Nobody is to guess what it meant."""
    assert (400, True) == refused(edge, head(target))


def test_userinfo_is_no_host_even_if_both_say_so(edge: MemoryEdge) -> None:
    """An authority that Host repeats is still not a host."""
    odd = b"user@" + NAME.encode()
    assert (400, True) == refused(edge, head(b"https://" + odd + b"/", host=odd))


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "DESCRIBE", "SETUP", "REDIRECT"])
def test_methods_that_nobody_is_served(edge: MemoryEdge, method: str) -> None:
    """Tunnels and echoes are none of an edge's business, RTSP even less."""
    assert (405, True) == refused(edge, head(b"/", method))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"iot.example.com:8443", 0), (b"IOT.example.com.", 0), (b"iot.example.com:", 0),
        (b"other.example.com", 421), (b"example.com", 421), (b"a.iot.example.com", 421),
        (b"127.0.0.1", 421), (b"[::1]:443", 421),
        (b"", 400), (b"iot.example.com:x", 400), (b"iot.example.com:99999", 400),
        (b"iot.example.com, other.example.com", 400), (b"iot.example.com/a", 400),
        (b"iot.example.com@other.example.com", 400), (b"iot.example.com\t", 400),
        (b"iot_example.com\xff", 400), (b"iot.example.com..", 400), (None, 400),
    ],
)  # fmt: skip
def test_host_is_the_name_of_the_handshake(
    edge: MemoryEdge, host: bytes | None, status: int
) -> None:
    """421 for another name, 400 for none at all; one reading of names everywhere."""
    asked = head(b"/", host=host)
    if not status:
        assert NAME == read_target(asked, edge.connect().caller).host
    else:
        assert (status, status == 400) == refused(edge, asked)


def test_without_a_server_name_host_must_be_one_of_this_hosts(edge: MemoryEdge) -> None:
    """The default host answers for its own names only."""
    assert NAME == read_target(head(b"/"), edge.connect(server_name="").caller).host
    assert (421, False) == refused(edge, head(b"/", host=b"other.example.com"), server_name="")
    assert (400, True) == refused(edge, head(b"/", host=None, version="1.0"), server_name="")


def test_http_1_0_without_host_is_for_the_name_of_the_handshake(edge: MemoryEdge) -> None:
    """And the origin is told which, else it would answer for its own default."""
    asked = head(b"/", host=None, version="1.0")
    assert NAME == read_target(asked, edge.connect().caller).host
    assert NAME.encode() == asked.host


@pytest.mark.parametrize(
    ("path", "name"),
    [(b"/", None), (b"/ingest", "/ingest"), (b"/ingest/a", "/ingest"), (b"/ingested", None)],
)
def test_the_application_of_a_path_governs(edge: MemoryEdge, path: bytes, name: str | None) -> None:
    """Or none."""
    caller = edge.connect().caller
    found = governing(read_target(head(path), caller), caller)
    assert name == (found.name if found is not None else None)


def test_an_ambiguous_path_is_refused_and_closes(edge: MemoryEdge) -> None:
    """Exactly where the readings differ in who governs them."""
    caller = edge.connect().caller
    with pytest.raises(Refuse) as caught:
        governing(read_target(head(b"/open/..%2fingest"), caller), caller)
    assert (400, "ambiguous_path", True) == (
        caught.value.status,
        caught.value.reason,
        caught.value.close,
    )
    assert "/open" == governing(read_target(head(b"/open/a%2fb"), caller), caller).name  # type: ignore[union-attr]


def decided(edge: MemoryEdge, path: bytes, identity: Identity = ANONYMOUS) -> Decision:
    caller = edge.connect(identity).caller
    target = read_target(head(path), caller)
    return decide(target, governing(target, caller), caller, "")


def test_the_policies_decide(edge: MemoryEdge) -> None:
    """And no certificate is no door for service_auth."""
    assert ("bypass", True) == (decided(edge, b"/open").word, decided(edge, b"/open").admitted)
    assert not decided(edge, b"/ingest").admitted
    assert decided(edge, b"/ingest", holder()).admitted
    assert not decided(edge, b"/shut", holder()).admitted


@pytest.mark.parametrize(("unprotected", "admitted"), [("deny", False), ("pass", True)])
def test_a_path_under_no_application_follows_the_host(
    ring: KeyRing, unprotected: str, admitted: bool
) -> None:
    """deny unless the operator wrote pass."""
    edge = MemoryEdge(ring, (application("/a", "allow"),), host={"unprotected": unprotected})
    decision = decided(edge, b"/elsewhere")
    edge.close()
    assert ("unprotected", admitted) == (decision.word, decision.admitted)


def test_a_service_token_is_proved_by_its_secret(edge: MemoryEdge) -> None:
    """Id and secret, both."""
    caller = edge.connect().caller
    cases = {("", ""): "", (TOKEN.client_id, ""): "", (TOKEN.client_id, "x"): "",
             ("x", SECRET): "", ("", SECRET): "", (TOKEN.client_id, SECRET): "robot"}  # fmt: skip
    for (client_id, secret), name in cases.items():
        asked = RequestHead("GET", b"/", "1.1", client_id=client_id, client_secret=secret)
        assert name == proved_service_token(asked, caller)


def test_a_denial_tells_the_client_only_what_it_can_mend(ring: KeyRing) -> None:
    """What is wrong with the certificate, where that is what was missing; never which policy."""
    decision = Decision("block", False, None, "secret policy", "policy 'secret policy' blocks")
    expired = Identity(True, False, Reason.EXPIRED, "expired yesterday")
    edge = MemoryEdge(ring)
    site = edge.front.sites[NAME]
    judged: Any = object()
    for identity, judge, reason in (
        (ANONYMOUS, None, "policy_denied"),
        (ANONYMOUS, judged, "no_certificate"),
        (expired, judged, "certificate_expired"),
        (holder(), judged, "policy_denied"),
    ):
        caller = edge.connect(identity).caller
        caller.site = replace(site, judge=judge)
        refusal = denial(decision, caller, RequestHead("GET", b"/", "1.1"), "")
        assert (403, reason, False) == (refusal.status, refusal.reason, refusal.close)
        assert "secret policy" in refusal.detail
        assert ("expired yesterday" in refusal.detail) is (
            identity is expired and judge is not None
        )
    unprotected = Decision("unprotected", False, None, "", "x")
    head = RequestHead("GET", b"/", "1.1")
    assert "host_denied" == denial(unprotected, edge.connect().caller, head, "").reason
    edge.close()


# -- what a connection remembers -----------------------------------------------------------------


def test_a_request_without_host_is_not_answered_from_memory(edge: MemoryEdge) -> None:
    """HTTP/1.0 may leave Host out (RFC 9112 §3.2); the same line of HTTP/1.1 still may not."""
    caller = edge.connect().caller
    assert NAME == find_route(head(b"/", host=None, version="1.0"), caller).target.host
    with pytest.raises(Refuse) as caught:
        find_route(head(b"/", host=None), caller)
    assert (400, True) == (caught.value.status, caught.value.close)


def test_a_path_with_many_readings_is_not_kept(edge: MemoryEdge) -> None:
    """They take a hundred times the room of the path."""
    caller = edge.connect().caller
    assert find_route(head(b"/open/a;b//c"), caller).target.request_path.readings
    assert {} == caller.routes
    find_route(head(b"/open/a"), caller)
    assert 1 == len(caller.routes)


class Particular:
    """Accepts every chain, at one host."""

    def __init__(self, host: str) -> None:
        self._host = host

    def settle(self, leaf: bytes | None, sent: Any, server_name: str) -> Any:
        raise AssertionError("nobody asks for it here")

    def judge(self, spec: str, peer: PeerChain, server_name: str) -> Verdict:
        return Verdict(server_name == self._host, "another host")


@pytest.fixture
def wild(ring: KeyRing) -> Iterator[MemoryEdge]:
    """A default host of any name below example.com; one application, which asks a verifier."""
    rules = model.RuleSet((model.Rule("verifier", ("particular",)),))
    policy = model.Policy("one", "allow", rules)
    everywhere = model.Application("all", (model.Domain("*.example.com"),), (policy,), "aud")
    made = MemoryEdge(ring, (everywhere,))
    site = replace(made.front.sites[NAME], judge=Particular("a.example.com"))
    made.front.sites[NAME] = made.front.default = site
    made.front.names = type(made.front.names)()
    made.front.names.add("*.example.com", site)
    yield made
    made.close()


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_a_verdict_is_of_the_host_that_it_was_asked_for(
    wild: MemoryEdge, order: tuple[str, ...]
) -> None:
    """A connection without a server name may ask for several hosts of one application."""
    caller = wild.connect(holder(), server_name="").caller
    for name in order:
        asked = head(b"/", host=f"{name}.example.com".encode())
        route = find_route(asked, caller)
        assert None is ask_verifiers(route.application, caller, route.target.host)
        decision = decide(route.target, route.application, caller, "")
        assert (name == "a") is decision.admitted


def test_a_connection_does_not_remember_every_host_that_it_named(wild: MemoryEdge) -> None:
    """Where a wildcard answers without a server name, a client may make up any number."""
    caller = wild.connect(holder(), server_name="").caller
    for number in range(100):
        asked = head(b"/", host=b"h%d.example.com" % number)
        route = find_route(asked, caller)
        assert route.application is not None
        ask_verifiers(route.application, caller, route.target.host)
        decide(route.target, route.application, caller, "")
        if number < 40:  # each one signs a token
            open_session(route.application, caller, route.target.host, "")
    kept = (caller.routes, caller.verdicts, caller.decisions, caller.sessions)
    assert max(map(len, kept)) <= 32


def test_a_name_that_another_host_has_is_not_its_wildcards(wild: MemoryEdge) -> None:
    """Without a server name, too: that host's client CAs and origins are others."""
    wild.front.names.add("shut.example.com", replace(wild.front.sites[NAME], judge=None))
    assert (421, False) == refused(wild, head(b"/", host=b"shut.example.com"), server_name="")
    asked = head(b"/", host=b"open.example.com")
    caller = wild.connect(server_name="").caller
    assert "open.example.com" == read_target(asked, caller).host


def test_a_service_token_that_is_not_good_is_told_in_the_log(edge: MemoryEdge) -> None:
    """To the operator; the client hears what everybody hears."""
    caller = edge.connect(ANONYMOUS).caller
    decision = Decision("block", False, None, "", "no policy matched")
    head = RequestHead("GET", b"/", "1.1", client_id="x.access", client_secret="guess")
    assert "service token is unknown" in denial(decision, caller, head, "").detail
    assert "service token" not in denial(decision, caller, head, "robot").detail
