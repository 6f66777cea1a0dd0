"""Shadow policies beside a request: what they would decide is noted, and opens no door."""

from __future__ import annotations

from dataclasses import replace

from mtlsedge import model
from mtlsedge.http.admission import heeded
from mtlsedge.http.messages import RequestHead
from mtlsedge.http.passage import Passage
from mtlsedge.http.ruling import decide, find_route, proved_service_token
from mtlsedge.http.site import Verdicts
from mtlsedge.identity import Verdict
from mtlsedge.policy import service_tokens
from mtlsedge.policy.question import Decision
from mtlsedge.session.keys import KeyRing
from support.memory import NAME, MemoryEdge, application, holder

TOKEN, SECRET = service_tokens.mint("robot")
HEAD = RequestHead("GET", b"/a", "1.1", host=NAME.encode())


def policy(name: str, *rules: model.Rule, shadow: bool = False) -> model.Policy:
    """A policy that admits whoever fits one of these rules."""
    return model.Policy(name, "allow", model.RuleSet(rules), shadow)


def decided(
    ring: KeyRing, *policies: model.Policy, head: RequestHead = HEAD, **verdicts: Verdict
) -> Decision:
    """What a verified client gets at an application of these policies."""
    one = replace(application("/", "allow"), policies=policies)
    edge = MemoryEdge(ring, (one,), service_tokens=(TOKEN,))
    try:
        caller = edge.connect(holder()).caller
        caller.verdicts[NAME] = Verdicts()
        for spec, verdict in verdicts.items():
            caller.verdicts[NAME][spec] = verdict
        route = find_route(head, caller)
        token = proved_service_token(head, caller)
        return decide(route.target, route.application, caller, token)
    finally:
        edge.close()


def test_what_a_shadow_would_decide_is_on_the_decision(ring: KeyRing) -> None:
    """Beside what was decided, for the log."""
    decision = decided(ring, policy("dark", model.Rule("everyone"), shadow=True))
    assert (False, "block") == (decision.admitted, decision.word)
    assert [("dark", "allow")] == [(would.policy, would.word) for would in decision.shadow]


def test_without_shadows_and_tokens_a_decision_is_the_policy_s_own(ring: KeyRing) -> None:
    """Nothing is made for each client that nobody asked for."""
    decision = decided(ring, policy("all", model.Rule("everyone")))
    assert decision.application is not None
    assert decision is decision.application.policies[0].decision


def test_what_a_shadow_s_verifier_attached_admits_nobody(ring: KeyRing) -> None:
    """Though a policy that is enforced asks for just that."""
    policies = (
        policy("staff", model.Rule("attribute", ("team=staff",))),
        policy("new", model.Rule("verifier", ("directory",)), shadow=True),
    )
    said = Verdict(True, attributes={"team": "staff"})
    assert not decided(ring, *policies, directory=said).admitted
    enforced = (policies[0], replace(policies[1], shadow=False))
    assert "staff" == decided(ring, *enforced, directory=said).policy


def test_a_service_token_is_named_where_one_was_proved(ring: KeyRing) -> None:
    """By its name, never by what proves it."""
    everyone = policy("all", model.Rule("everyone"))
    proving = replace(HEAD, client_id=TOKEN.client_id, client_secret=SECRET)
    assert "robot" == decided(ring, everyone, head=proving).service_token
    wrong = replace(HEAD, client_id=TOKEN.client_id, client_secret="x")
    assert "" == decided(ring, everyone, head=wrong).service_token


def test_what_another_application_s_verifier_attached_counts_there_alone(ring: KeyRing) -> None:
    """Else a kept connection would be let in, or not, as its history has it."""
    staff = policy("staff", model.Rule("attribute", ("team=staff",)))
    said = Verdict(True, attributes={"team": "staff"})
    assert not decided(ring, staff, directory=said).admitted


def test_the_origin_hears_the_attributes_of_verifiers_that_are_enforced(ring: KeyRing) -> None:
    """Not those of shadows, nor of other applications."""
    policies = (
        policy("known", model.Rule("verifier", ("known",))),
        policy("new", model.Rule("verifier", ("new",)), shadow=True),
    )
    one = replace(application("/", "allow"), policies=policies)
    edge = MemoryEdge(ring, (one,), host={"forward_attributes": ("known", "new", "other")})
    caller = edge.connect(holder()).caller
    caller.verdicts[NAME] = Verdicts()
    for spec in ("known", "new", "other"):
        caller.verdicts[NAME][spec] = Verdict(True, attributes={spec: "yes"})
    route = find_route(HEAD, caller)
    decision = decide(route.target, route.application, caller, "")
    heard = heeded(route.application, caller, NAME)
    passage = Passage(HEAD, route.target, decision, None, [], b"", heard, 0.0)
    head = passage.request(caller, b"origin", "id").lower()
    edge.close()
    assert [True, False, False] == [
        b"-%b: yes" % name in head for name in (b"known", b"new", b"other")
    ]


def test_an_ambiguous_path_is_logged_as_a_decision(ring: KeyRing) -> None:
    """Which other refusals before any policy are not."""
    edge = MemoryEdge(ring, (application("/a", "allow"), application("/b", "block")))
    for path in (b"/a/..%2fb", b"/%zz"):
        client = edge.connect(holder())
        client.send(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path, NAME.encode()))
    said = [(line["status"], line["decision"]) for line in edge.lines()]
    edge.close()
    assert [(400, "ambiguous"), (400, "")] == said
