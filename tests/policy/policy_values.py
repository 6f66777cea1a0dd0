"""Short ways to write the values that policy tests are about."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any, cast

from cryptography import x509
from hypothesis import strategies as st

from mtlsedge.identity import Certificate, Identity, PeerChain, Reason, Verdict
from mtlsedge.model import Application, DecisionWord, Domain, Policy, Rule, RuleSet
from mtlsedge.policy.question import Question
from mtlsedge.target import Target, read_path

FINGERPRINT = "ab" * 32
SPKI = "cd" * 32


def certificate(**fields: Any) -> Certificate:
    """A certificate that every selector in the tables of these tests is true of."""
    values: dict[str, Any] = {
        "der": b"",
        "subject": "CN=device-1",
        "issuer": "CN=Access Testing CA,O=Example",
        "serial": "1F2E",
        "common_names": ("device-1",),
        "organizations": ("Example",),
        "organizational_units": ("Field", "Lab"),
        "san_dns": ("device-1.example.com",),
        "san_uri": ("spiffe://example.org/ns/prod/device-1",),
        "san_email": ("ops@example.com",),
        "san_ip": ("192.0.2.7", "2001:db8::7"),
        "not_before": 0.0,
        "not_after": 4e9,
        "fingerprint_sha256": FINGERPRINT,
        "spki_sha256": SPKI,
        "x509": cast(x509.Certificate, None),
    }
    return Certificate(**{**values, **fields})


def identity(
    *, verified: bool = True, client_cas: tuple[str, ...] = ("A",), **fields: Any
) -> Identity:
    """A connection that presented a certificate with these fields."""
    return Identity(
        presented=True,
        verified=verified,
        reason=Reason.NONE if verified else Reason.UNTRUSTED,
        chain=PeerChain(certificate(**fields)),
        client_cas=client_cas,
    )


def question(
    who: Identity | None = None,
    *,
    path: str = "/",
    method: str = "GET",
    ip: str = "198.51.100.1",
    token: str = "",
    verdicts: dict[str, Verdict] | None = None,
) -> Question:
    """A request; from a verified device unless said otherwise."""
    return Question(
        identity=identity() if who is None else who,
        target=Target(method, "iot.example.com", read_path(path.encode())),
        client_ip=ip_address(ip),
        service_token=token,
        verdicts=verdicts or {},
    )


def rule(selector: str, *values: str) -> Rule:
    """A rule; the values of ``ip`` and ``san_ip`` become networks, as the loader makes them."""
    if selector in ("ip", "san_ip"):
        return Rule(selector, networks=tuple(map(ip_network, values)))
    return Rule(selector, values)


EVERYONE = rule("everyone")
CERTIFICATE = rule("certificate")


def rules(
    *include: Rule, require: tuple[Rule, ...] = (), exclude: tuple[Rule, ...] = ()
) -> RuleSet:
    """A rule set."""
    return RuleSet(include, require, exclude)


def policy(name: str, decision: DecisionWord, *include: Rule, **more: tuple[Rule, ...]) -> Policy:
    """A policy with these rules."""
    return Policy(name, decision, rules(*include, **more))


def application(name: str, *domains: str, policies: tuple[Policy, ...] = ()) -> Application:
    """An application at domains written as an operator does."""
    places = [domain.partition("/") for domain in domains]
    return Application(
        name=name,
        domains=tuple(Domain(host, slash + path or "/") for host, slash, path in places),
        policies=policies,
        aud=name,
    )


def any_policies(one: st.SearchStrategy[Rule]) -> st.SearchStrategy[list[Policy]]:
    """A few policies of every decision, made of such rules."""
    clause = st.lists(one, max_size=2).map(tuple)
    return st.lists(
        st.builds(
            lambda word, include, require, exclude: policy(
                "p", word, *include, require=require, exclude=exclude
            ),
            st.sampled_from(["allow", "block", "bypass", "service_auth"]),
            clause,
            clause,
            clause,
        ),
        max_size=4,
    )
