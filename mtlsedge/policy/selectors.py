"""What can a rule ask? One table, from a selector's name to the maker of its predicate.

Rules this file keeps: every certificate selector goes through ``_of_identity`` and is false
unless the certificate verified; the empty text and anything with a NUL in it match nothing;
all that can be worked out at load is, so that a request costs a few look-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from mtlsedge.errors import BadHostName
from mtlsedge.identity import Certificate, Identity
from mtlsedge.model import Rule
from mtlsedge.names import canonical_host, canonical_pattern, wildcard_of
from mtlsedge.policy.addresses import AddressSet
from mtlsedge.policy.question import Question
from mtlsedge.policy.texts import UriPatterns, canonical_email, canonical_name

Predicate = Callable[[Question], bool]
Groups = Mapping[str, Predicate]
Maker = Callable[[Rule, Groups], Predicate]
OfIdentity = Callable[[Identity], bool]
OfCertificate = Callable[[Certificate], bool]


def compile_selector(rule: Rule, groups: Groups) -> Predicate:
    """The predicate of one rule; ``groups`` has that of every group it may name.

    Raises:
        ValueError: the edge cannot evaluate the selector or one of its values.
    """
    maker = SELECTORS.get(rule.selector)
    if maker is None:
        raise ValueError(f"there is no selector {rule.selector!r}; use one of {known()}")
    return maker(rule, groups)


def known() -> str:
    """The names of all selectors, for messages."""
    return ", ".join(sorted(SELECTORS))


# What every certificate selector goes through.


def _of_identity(make: Callable[[Rule], OfIdentity]) -> Maker:
    def maker(rule: Rule, groups: Groups) -> Predicate:
        test = make(rule)

        def predicate(question: Question) -> bool:
            identity = question.identity
            return identity.verified and test(identity)

        return predicate

    return maker


def _of_leaf(make: Callable[[Rule], OfCertificate]) -> Maker:
    def make_of_identity(rule: Rule) -> OfIdentity:
        test = make(rule)
        return lambda identity: identity.chain is not None and test(identity.chain.leaf)

    return _of_identity(make_of_identity)


def _text(read: Callable[[Certificate], str], form: Callable[[str], str] = str) -> Maker:
    """A selector on one text of the leaf; ``form`` brings the rule's values to its form."""

    def make(rule: Rule) -> OfCertificate:
        wanted = _usable(form(value) for value in rule.values)
        return lambda leaf: read(leaf) in wanted

    return _of_leaf(make)


def _texts(read: Callable[[Certificate], tuple[str, ...]]) -> Maker:
    """A selector on several texts of the leaf, any of which will do."""

    def make(rule: Rule) -> OfCertificate:
        wanted = _usable(rule.values)
        return lambda leaf: not wanted.isdisjoint(read(leaf))

    return _of_leaf(make)


def _usable(values: Iterable[str]) -> frozenset[str]:
    return frozenset(value for value in values if value and "\0" not in value)


# Selectors that ask for more than equality.


def _client_ca(rule: Rule) -> OfIdentity:
    wanted = _usable(rule.values)
    return lambda identity: not wanted.isdisjoint(identity.client_cas)


def _san_dns(rule: Rule) -> OfCertificate:
    """``*`` in a rule is one label; ``*`` in a certificate is a text and equals only itself."""
    wanted = frozenset(canonical_pattern(value) for value in rule.values)

    def test(leaf: Certificate) -> bool:
        names = filter(None, map(_canonical_san, leaf.san_dns))
        return any(name in wanted or wildcard_of(name) in wanted for name in names)

    return test


def _canonical_san(text: str) -> str:
    try:
        return "*." + canonical_host(text[2:]) if text.startswith("*.") else canonical_host(text)
    except BadHostName:
        return ""


def _san_uri(rule: Rule) -> OfCertificate:
    patterns = UriPatterns(rule.values)
    return lambda leaf: any(uri in patterns for uri in leaf.san_uri)


def _san_email(rule: Rule) -> OfCertificate:
    wanted = {canonical_email(value) for value in rule.values}
    if "" in wanted or any("*" in value for value in rule.values):
        raise ValueError("a value is not a mail address (there are no wildcards for those)")
    return lambda leaf: any(canonical_email(text) in wanted for text in leaf.san_email)


def _san_ip(rule: Rule) -> OfCertificate:
    addresses = AddressSet.of_texts(rule.values, rule.networks)
    return lambda leaf: any(addresses.has_text(text) for text in leaf.san_ip)


def _ip(rule: Rule, groups: Groups) -> Predicate:
    addresses = AddressSet.of_texts(rule.values, rule.networks)
    return lambda question: question.client_ip in addresses


def _everyone(rule: Rule, groups: Groups) -> Predicate:
    return lambda question: True


def _group(rule: Rule, groups: Groups) -> Predicate:
    missing = [name for name in rule.values if name not in groups]
    if missing:
        raise ValueError(f"there is no group {missing[0]!r}")
    tests = tuple(groups[name] for name in rule.values)
    return lambda question: any(test(question) for test in tests)


def _service_token(rule: Rule, groups: Groups) -> Predicate:
    wanted = _usable(rule.values)
    return lambda question: question.service_token in wanted


def _any_valid_service_token(rule: Rule, groups: Groups) -> Predicate:
    return lambda question: question.service_token != ""


def _method(rule: Rule, groups: Groups) -> Predicate:
    """Without regard to case: an origin that has none must not be reached by ``delete``."""
    wanted = _usable(value.upper() for value in rule.values)
    return lambda question: question.target.method.upper() in wanted


VERIFIER_SELECTORS = frozenset({"verifier", "external_evaluation"})
"""Selectors whose values are the strings of verifiers, which the request waits for."""


def _verifier(rule: Rule, groups: Groups) -> Predicate:
    """They are asked about verified certificates only, so that it is false without one."""
    specs = tuple(rule.values)

    def predicate(question: Question) -> bool:
        for spec in specs:
            verdict = question.verdicts.get(spec)
            if verdict is not None and verdict.accepted is True:
                return True
        return False

    return predicate


def _attribute(rule: Rule, groups: Groups) -> Predicate:
    """What accepting verifiers attached: the client CA's, or those that the application asks."""
    wanted = tuple((name, value) for name, _, value in (one.partition("=") for one in rule.values))
    if not all(name and value for name, value in wanted):
        raise ValueError("an attribute is written NAME=VALUE")

    def predicate(question: Question) -> bool:
        if not question.identity.verified:
            return False
        found = [question.identity.attributes]
        found += [said.attributes for said in question.verdicts.values() if said.accepted is True]
        return any(each.get(name) == value for name, value in wanted for each in found)

    return predicate


def _hexadecimal(text: str) -> str:
    return text.replace(":", "").lower()


def _serial(text: str) -> str:
    return text.replace(":", "").upper().lstrip("0") or "0"


CERTIFICATE_SELECTORS: Mapping[str, Maker] = MappingProxyType(
    {
        "certificate": _of_identity(lambda rule: lambda identity: True),
        "client_ca": _of_identity(_client_ca),
        "common_name": _text(lambda leaf: leaf.common_name),
        "issuer": _text(lambda leaf: leaf.issuer, canonical_name),
        "serial": _text(lambda leaf: leaf.serial, _serial),
        "fingerprint_sha256": _text(lambda leaf: leaf.fingerprint_sha256, _hexadecimal),
        "spki_sha256": _text(lambda leaf: leaf.spki_sha256, _hexadecimal),
        "organization": _texts(lambda leaf: leaf.organizations),
        "organizational_unit": _texts(lambda leaf: leaf.organizational_units),
        "san_dns": _of_leaf(_san_dns),
        "san_uri": _of_leaf(_san_uri),
        "san_email": _of_leaf(_san_email),
        "san_ip": _of_leaf(_san_ip),
        "attribute": _attribute,
        "verifier": _verifier,
        "external_evaluation": _verifier,
    }
)
"""The selectors that are about the certificate, and false without a verified one."""

SELECTORS: Mapping[str, Maker] = MappingProxyType(
    {
        **CERTIFICATE_SELECTORS,
        "ip": _ip,
        "everyone": _everyone,
        "group": _group,
        "service_token": _service_token,
        "any_valid_service_token": _any_valid_service_token,
        "method": _method,
    }
)
"""Every selector that a rule may use."""
