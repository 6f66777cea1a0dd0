"""A verifier that fails lets nobody in, on whichever side of a policy a rule names it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from explaining import explained_all

from mtlsedge.explain.account import PolicyFound, RuleFound
from mtlsedge.explain.asked import Asked, read_certificates, read_url
from support import certs, odd_verifiers, tables
from support.client import Client
from support.edge import Edge
from support.origin import CountingOrigin

NAME = "iot.example.com"
TEMPERS = {
    "sync-raise": "the verifier 'odd' failed: RuntimeError: the database is gone",
    "sync-garbage": "the verifier 'odd' answered str, which is no verdict",
    "sync-unsure": "the verifier 'odd' cannot tell: two of that name",
    "deferred-raise": "the verifier 'odd' failed: RuntimeError: the database is gone",
    "coroutine-garbage": "the verifier 'odd' answered str, which is no verdict",
    "deferred-hang": "the verifier 'odd' did not answer within 0.1 seconds",
}
WORDS = ("allow", "bypass", "service_auth", "block")
CLAUSES = ("include", "require", "exclude")
KINDS = ("plain", "grouped", "excluded")
EVERYONE = {"everyone": True}
PLACES = [
    place
    for place in product(TEMPERS, WORDS, CLAUSES, KINDS)
    if place[0].startswith("sync") or place[-1] == "plain"  # the others take their time
]


def path(temper: str, *place: str) -> str:
    return f"/{'/'.join((temper, *place))}"


def rule(temper: str, kind: str) -> dict[str, Any]:
    """A rule on the verifier: by itself, in a group, or in what a group leaves out."""
    spec = f"odd:{temper},timeout=100ms" if "hang" in temper else f"odd:{temper}"
    return {"verifier": spec} if kind == "plain" else {"group": f"{kind} {temper}"}


def config(origin: str) -> dict[str, Any]:
    """Each place has an application; behind a block everybody is let in."""
    applications = []
    for temper, word, clause, kind in PLACES:
        clauses = {"include": [EVERYONE], clause: [rule(temper, kind)]}
        policies = [tables.policy(word, **clauses)]
        if word == "block":
            policies.append(tables.policy("allow", include=[EVERYONE]))
        applications.append(tables.application(NAME + path(temper, word, clause, kind), *policies))
    groups = [
        {"name": f"{kind} {temper}", "include": [EVERYONE], **more}
        for temper in TEMPERS
        for kind, more in (
            ("grouped", {"require": [rule(temper, "plain")]}),
            ("excluded", {"exclude": [rule(temper, "plain")]}),
        )
    ]
    return {**tables.one_host(NAME, origin), "application": applications, "group": groups}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for all of it; the directory beside it has the plugins."""
    directory = tmp_path_factory.mktemp("doubt")
    env = odd_verifiers.install(directory / "plugins")
    with (
        CountingOrigin() as origin,
        Edge(directory / "edge", config(origin.url), env=env, clean_log=False) as running,
    ):
        yield running


@pytest.mark.parametrize("temper", TEMPERS)
def test_whoever_a_verifier_fails_for_is_refused_and_the_log_has_its_name(
    edge: Edge, temper: str
) -> None:
    """In every clause of every decision, by itself and in groups."""
    places = [place for place in PLACES if place[0] == temper]
    before = len(edge.access_log())
    with Client(certs.client()).connect(edge.port, NAME) as connection:
        found = [connection.get(NAME, path(*place)).status for place in places]
    assert [] == [place for place, got in zip(places, found, strict=True) if got != 403]
    lines = edge.access_log(before + len(places))[before:]
    assert [] == [line for line in lines if TEMPERS[temper] not in line["reason"]]


def test_explain_says_that_it_is_in_doubt(edge: Edge) -> None:
    """And refuses as the edge does, for the same reason."""
    places = [place for place in PLACES if place[0].startswith("sync")]
    leaf, sent = read_certificates(certs.client().certificate)
    questions = []
    before = len(edge.access_log())
    with Client(certs.client()).connect(edge.port, NAME) as connection:
        for place in places:
            name, authority, port, target = read_url(edge.url(NAME, path(*place)))
            asked = Asked(path(*place), name, authority, port, target)
            asked = replace(asked, at=time.time(), leaf=leaf, sent=sent)
            questions.append(asked)
            connection.get(NAME, path(*place))
    reasons = [line["reason"] for line in edge.access_log(before + len(places))[before:]]
    with odd_verifiers.found_here(edge.directory.parent / "plugins"):
        accounts = explained_all(edge.config_path, questions)
    assert reasons == [account.answer.reason for account in accounts]
    for (temper, word, clause, kind), account in zip(places, accounts, strict=True):
        (said,) = account.rule_verifiers
        assert (False, True, TEMPERS[temper]) == (said.accepted, said.failed, said.reason)
        (doubted,) = doubts(account.policies[0])
        counts = (word == "block") ^ (clause == "exclude") ^ (kind == "excluded")
        assert (counts, (TEMPERS[temper],)) == (doubted.true, doubted.doubts)


def doubts(policy: PolicyFound) -> list[RuleFound]:
    """The rules of a policy that are in doubt."""

    def within(rules: tuple[RuleFound, ...]) -> Iterator[RuleFound]:
        for rule in rules:
            if rule.doubts:
                yield rule
            for _, inner in rule.within:
                yield from within(inner)

    return list(within(policy.rules))


def test_a_verifier_that_has_too_much_to_do_lets_nobody_in(tmp_path: Path) -> None:
    """Who stands behind the queue is refused at once; the one before is, when it is too late."""
    env = odd_verifiers.install(tmp_path / "plugins")
    spec = "odd:deferred-hang,timeout=500ms,concurrency=1,queue=0"
    policy = tables.policy("allow", include=[EVERYONE], exclude=[{"verifier": spec}])
    with CountingOrigin() as origin:
        table = {
            **tables.one_host(NAME, origin.url),
            "application": [tables.application(NAME, policy)],
        }
        with Edge(tmp_path / "edge", table, env=env, clean_log=False) as edge:
            one, two = (Client(certs.client(each)) for each in ("device-1", "device-2"))
            with one.connect(edge.port, NAME) as first, two.connect(edge.port, NAME) as second:
                first.send(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
                statuses = [second.get(NAME).status]
                statuses.append(first.read().status)
            reasons = [line["reason"] for line in edge.access_log(2)]
    assert [403, 403] == statuses
    assert ["the verifier 'odd' is overloaded", "the verifier 'odd' did not answer"] == [
        reason.partition("(")[2].partition(":")[0].partition(" within")[0] for reason in reasons
    ]
