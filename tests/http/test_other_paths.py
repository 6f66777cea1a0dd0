"""What a request for a new path takes over from one for another path, and what it never may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtlsedge import model
from mtlsedge.http import passage, server
from mtlsedge.policy.service_tokens import mint
from mtlsedge.session.keys import KeyRing
from support.memory import NAME, MemoryEdge, application, holder

TOKEN, SECRET = mint("robot")
APPLICATIONS = (
    application("/", "service_auth"),
    application("/a", "service_auth"),
    application("/a/open", "bypass"),
)


def get(path: str, fields: str = "", method: str = "GET", version: str = "1.1") -> bytes:
    """A request head."""
    return f"{method} {path} HTTP/{version}\r\nHost: {NAME}\r\n{fields}\r\n".encode("latin-1")


@pytest.fixture
def edge(ring: KeyRing) -> Iterator[MemoryEdge]:
    made = MemoryEdge(ring, APPLICATIONS, service_tokens=(TOKEN,))
    yield made
    made.close()


def test_new_paths_take_over_what_was_decided(edge: MemoryEdge, decided: list[Any]) -> None:
    """One decision for as many paths as are asked for; the origin and the log hear of each."""
    client = edge.connect(holder())
    for number in range(100):
        assert client.send(get(f"/{number}?n={number}")).startswith(b"HTTP/1.1 200 ")
    assert 1 == len(decided)
    assert [f"/{n}?n={n}" for n in range(100)] == [each.target for each in edge.origin.requests]
    assert [f"/{number}" for number in range(100)] == [line["path"] for line in edge.lines()]
    assert len(client.caller.passages) <= 12


def test_an_exchange_knows_what_it_was_asked_for(edge: MemoryEdge) -> None:
    """When something changes while it is under way, its own path is judged again."""
    client = edge.connect(holder())
    client.send(get("/one"))
    client.transport.deliver(get("/two"))
    edge._soon.popleft()()
    under_way = client.transport.protocol.exchange
    assert (b"/two", "GET") == (under_way.head.target, under_way.head.method)
    assert "/two" == under_way.record.target.request_path.path
    edge.turn()


@pytest.mark.parametrize(
    "other",
    [
        get("/a/x"),
        get("/x", method="HEAD"),
        get("/x", "Accept: */*\r\n"),
        get("/x", version="1.0"),
        get("/x;y"),
        get("/x//y"),
        get("/x%2Fy"),
    ],
)
def test_only_the_path_may_differ_and_only_plainly(
    edge: MemoryEdge, decided: list[Any], other: bytes
) -> None:
    """Another application, method, field or version; or a path with more than one reading."""
    client = edge.connect(holder())
    client.send(get("/x"))
    client.send(other)
    assert 2 == len(decided)


@pytest.mark.parametrize(
    ("other", "status"),
    [
        ("/cdn-cgi/access/certs", 200),
        ("/x/../cdn-cgi/access/nothing", 404),
        ("/%63dn-cgi/access/nothing", 404),
        ("/A/x", 400),
        ("/x%0", 400),
        ("/x%00", 400),
        ("/a;/x", 400),
        ("/" + "x" * 9000, 414),
    ],
)
def test_what_the_edge_answers_itself_it_goes_on_answering(
    edge: MemoryEdge, other: str, status: int
) -> None:
    """Its own pages, and its refusals."""
    client = edge.connect(holder())
    client.send(get("/x"))
    assert client.send(get(other)).startswith(b"HTTP/1.1 %d " % status)
    assert 1 == len(edge.origin.requests)


@pytest.mark.parametrize("limits", [{"request_line": 10}, {"request_head": 60}])
def test_limits_hold_for_new_paths(ring: KeyRing, limits: dict[str, int]) -> None:
    """The host's own, however small."""
    edge = MemoryEdge(ring, APPLICATIONS, host={"limits": model.Limits(**limits)})
    client = edge.connect(holder())
    assert client.send(get("/x")).startswith(b"HTTP/1.1 200 ")
    refused = client.send(get("/" + "x" * 40))[:13]
    assert refused in (b"HTTP/1.1 414 ", b"HTTP/1.1 431 ")
    edge.close()


def test_it_lasts_a_minute_from_the_decision(ring: KeyRing, decided: list[Any]) -> None:
    """Not from the last path that took it over; nor does it outlive a clock that is set back."""
    edge = MemoryEdge(ring, host={"unprotected": "pass"})
    client, now = edge.connect(holder()), [1_800_000_000.0]
    edge.front.now = lambda: now[0]
    for step, decisions in ((0, 1), (36, 1), (18, 1), (12, 2), (54, 2), (-300, 3)):
        now[0] += step
        client.send(get(f"/{now[0]}"))
        assert decisions == len(decided), step
    edge.close()


def test_another_client_takes_nothing_over(edge: MemoryEdge, decided: list[Any]) -> None:
    """Nor one whose certificate did not verify."""
    edge.connect(holder()).send(get("/1"))
    edge.connect(replace(holder())).send(get("/2"))
    assert b"HTTP/1.1 403 " == edge.connect().send(get("/3"))[:13]
    assert 3 == len(decided)


@pytest.mark.parametrize(
    "fields",
    [
        "Cookie: a=b\r\n",
        f"CF-Access-Client-Id: {TOKEN.client_id}\r\nCF-Access-Client-Secret: {SECRET}\r\n",
    ],
)
def test_what_rests_on_more_than_who_asks_is_asked_each_time(
    edge: MemoryEdge, decided: list[Any], fields: str
) -> None:
    """Cookies, service tokens."""
    client = edge.connect(holder())
    for number in range(3):
        client.send(get(f"/{number}", fields))
    assert 3 == len(decided)


def test_shadow_policies_are_asked_each_time(ring: KeyRing, decided: list[Any]) -> None:
    """What they would decide is in each line of the log."""
    shadow = model.Policy("dark", "bypass", model.RuleSet((model.Rule("everyone"),)), True)
    one = application("/", "service_auth")
    edge = MemoryEdge(ring, (replace(one, policies=(shadow, *one.policies)),))
    client = edge.connect(holder())
    for number in range(3):
        client.send(get(f"/{number}"))
    assert 3 == len(decided)
    assert ["dark"] * 3 == [line["shadow"][0]["policy"] for line in edge.lines()]
    edge.close()


def test_an_application_with_verifiers_of_its_own_is_asked_each_time(
    edge: MemoryEdge, decided: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their verdicts are one connection's, and end when they say."""
    tree = edge.front.sites[NAME].policy
    monkeypatch.setattr(tree.applications[0], "verifiers", ("spec",))
    client = edge.connect(holder())
    for number in range(3):
        client.send(get(f"/{number}"))
    assert 3 == len(decided)


def test_long_requests_are_asked_each_time(edge: MemoryEdge, decided: list[Any]) -> None:
    """Memory of a client stays small."""
    client = edge.connect(holder())
    client.send(get("/1"))
    client.send(get("/" + "x" * 2048))
    assert 2 == len(decided)
    assert all(len(asked) < 2048 for asked in client.caller.passages)


PATHS = st.lists(
    st.sampled_from(
        ["/", "/a", "/A", "/open", "/x", "/..", "/.", "//", "%2F", "%2f", "%61", "%", "%00", ";y",
         "/cdn-cgi", "/access", "/certs", "/get-identity", "\\", "$", "~", "#", "*", "\"", "\xe4"]
    ),
    max_size=5,
).map(lambda parts: "/" + "".join(parts).removeprefix("/"))  # fmt: skip
QUERIES = st.sampled_from(["", "", "?", "?q=1", "?/cdn-cgi/access/certs", "?a=%00", "?a b"])
FIELDS = st.sampled_from(
    ["", "", "", "Accept: */*\r\n", "Cookie: a=b\r\n", "Connection: close\r\n", "X-A: 1\r\n",
     "Content-Length: 0\r\n", "TE: trailers\r\n", "Host: other\r\n", "Expect: 100-continue\r\n",
     f"CF-Access-Client-Id: {TOKEN.client_id}\r\nCF-Access-Client-Secret: {SECRET}\r\n"]
)  # fmt: skip
METHODS = st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "TRACE", "PURGE"])
REQUESTS = st.builds(
    lambda path, query, *rest: get(path + query, *rest),
    PATHS, QUERIES, FIELDS, METHODS, st.sampled_from(["1.1", "1.1", "1.1", "1.0"]),
)  # fmt: skip
HOSTS = ({}, {"unprotected": "pass"}, {"preserve_host": False, "forward_certificate": "xfcc"})


def _played(ring: KeyRing, tables: Any, host: Any, requests: list[bytes]) -> Any:
    """All that came of these requests: for the client, the origin and the log."""
    edge = MemoryEdge(ring, tables, service_tokens=(TOKEN,), host=host)
    try:
        client, answers = edge.connect(holder()), []
        for request in requests:
            if client.closed:
                client = edge.connect(holder())
            answers.append(client.send(request))
        lines = edge.lines()
        ids = [line.pop("request_id") for line in lines]
        answers = [_without(answer, ids) for answer in answers]
        asked = [
            (each.method, each.target, [f for f in each.fields if f[0] != "X-Request-Id"])
            for each in edge.origin.requests
        ]
        assert [] == edge.errors
        return answers, asked, lines
    finally:
        edge.close()


def _without(answer: bytes, ids: list[str]) -> bytes:
    for each in ids:
        answer = answer.replace(each.encode(), b"ID")
    return answer


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(REQUESTS, min_size=1, max_size=12),
    st.sampled_from([APPLICATIONS, APPLICATIONS[1:], (APPLICATIONS[0],), ()]),
    st.sampled_from([0, 1]),
)
def test_all_is_as_if_each_path_were_asked_alone(
    ring: KeyRing, requests: list[bytes], tables: Any, host: int
) -> None:
    """Byte for byte the same answers, requests and log lines as without the short cut."""
    with patch.object(server, "recall_elsewhere", lambda *_: None):
        expected = _played(ring, tables, HOSTS[host], requests)
    assert expected == _played(ring, tables, HOSTS[host], requests)


def test_the_short_cut_is_one(edge: MemoryEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the comparison above would compare nothing."""
    taken: list[Any] = []
    recall = passage.recall_elsewhere

    def noted(*args: Any) -> Any:
        taken.append(recall(*args))
        return taken[-1]

    monkeypatch.setattr(server, "recall_elsewhere", noted)
    client = edge.connect(holder())
    for path in ("/1", "/2?q", "/3/..", "/%61b"):
        client.send(get(path))
    assert [True] * 3 == [each is not None for each in taken]
