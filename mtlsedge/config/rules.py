"""What does a rule say? One selector, its values made canonical, or why it cannot be judged.

A selector that the edge cannot evaluate is a problem here and never a rule that is skipped:
a skipped ``exclude`` would let in, and a skipped ``require`` too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mtlsedge.config.certificate_values import distinguished_name, email, serial, uri
from mtlsedge.config.network import host_pattern, network
from mtlsedge.config.reader import Convert, Place, Table, Wrong, declared, kind, meant, show
from mtlsedge.config.values import boolean, hexadecimal, many, text, token, verifier
from mtlsedge.model import Rule, RuleSet

_UNREAD = Rule("unread")  # the stand-in of a wrong rule; nothing evaluates it

_NEEDS_LOGIN = (
    "asks who logged in at an identity provider; this edge knows certificates and service "
    "tokens only, so the rule could never be judged: take it out"
)
_LOGIN_SELECTORS = (
    *("email", "emails", "email_domain", "email_list", "login_method", "device_posture"),
    *("saml", "okta", "github", "azure_ad", "gsuite", "oidc", "auth_method", "auth_context"),
)
_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(_LOGIN_SELECTORS, _NEEDS_LOGIN),
    **dict.fromkeys(
        ("geo", "country", "ip_list"),
        "needs a list that this edge does not have; write the networks with 'ip'",
    ),
}


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that rules may refer to."""

    groups: frozenset[str]
    service_tokens: frozenset[str]
    client_cas: frozenset[str]


def scope_of(mapping: Mapping[str, object]) -> Scope:
    """What a whole configuration declares."""
    return Scope(
        groups=declared(mapping, "group"),
        service_tokens=declared(mapping, "service_token"),
        client_cas=declared(mapping, "client_ca"),
    )


def read_rule_set(table: Table, scope: Scope) -> RuleSet:
    """The ``include``, ``require`` and ``exclude`` of a policy or group."""

    def read(value: object, place: Place) -> tuple[Rule, ...]:
        return _rules(value, place, scope)

    remedy = "say whom it is for, such as include = [{ certificate = true }]"

    def read_some(value: object, place: Place) -> tuple[Rule, ...]:
        if value == []:
            raise Wrong(f"is empty and matches nobody; {remedy}")
        return read(value, place)

    found = RuleSet(
        include=table.need("include", read_some, (), remedy),
        require=table.take("require", read, ()),
        exclude=table.take("exclude", read, ()),
    )
    _warn_of_exclusions(table.at("exclude"), found.exclude)
    return found


def _warn_of_exclusions(place: Place, rules: tuple[Rule, ...]) -> None:
    """Who is meant to be kept out by what does not surely do so."""
    if any(rule.selector == "fingerprint_sha256" for rule in rules):
        place.warn(
            "names a fingerprint_sha256, and whoever has such a certificate can change its "
            "fingerprint: an ECDSA signature can be written in two ways. Use spki_sha256 or "
            "serial, or revoke it in a CRL"
        )


def _rules(value: object, place: Place, scope: Scope) -> tuple[Rule, ...]:
    if not isinstance(value, list):
        raise Wrong(f"must be an array of rules, [{{ selector = value }}], and is {kind(value)}")
    return tuple(
        place.item(index).read(lambda one, at: _rule(one, at, scope), item, _UNREAD)
        for index, item in enumerate(value)
    )


def _rule(value: object, place: Place, scope: Scope) -> Rule:
    if not isinstance(value, Mapping):
        raise Wrong(f"must be a rule, {{ selector = value }}, and is {kind(value)}")
    if not value:
        raise Wrong("is an empty rule; give it a selector, such as { certificate = true }")
    if len(value) > 1:
        keys = ", ".join(show(key) for key in value)
        raise Wrong(f"holds several selectors ({keys}); split it in two rules, one selector each")
    ((selector, said),) = value.items()
    at = place.key(selector)
    if selector not in _SELECTORS:
        at.problem(_REFUSED.get(selector) or f"is not a selector; {meant(selector, SELECTORS)}")
        return _UNREAD
    return at.read(
        lambda given, here: _SELECTORS[selector](selector, given, here, scope), said, _UNREAD
    )


Reading = Callable[[str, object, Place, Scope], Rule]


def _flag(selector: str, value: object, place: Place, _: Scope) -> Rule:
    if not boolean(value, place):
        raise Wrong(f"must be true; to say the opposite, put {{ {selector} = true }} in 'exclude'")
    return Rule(selector)


def _strings(convert: Convert[str]) -> Reading:
    def read(selector: str, value: object, place: Place, _: Scope) -> Rule:
        return Rule(selector, many(convert)(value, place))

    return read


def _networks(selector: str, value: object, place: Place, _: Scope) -> Rule:
    return Rule(selector, networks=many(network)(value, place))


def _reference(names_in: Callable[[Scope], frozenset[str]], what: str) -> Reading:
    def read(selector: str, value: object, place: Place, scope: Scope) -> Rule:
        known = names_in(scope)

        def name(one: object, at: Place) -> str:
            word = text(one, at)
            if word not in known:
                raise Wrong(f"{show(word)} is the name of no [[{what}]]; {meant(word, known)}")
            return word

        return Rule(selector, many(name)(value, place))

    return read


def _method(value: object, place: Place) -> str:
    return token(value, place).upper()


def _attribute(value: object, place: Place) -> str:
    word = text(value, place)
    name, equals, said = word.partition("=")
    if not (equals and name.strip() and said):
        raise Wrong(f"{show(word)} is not NAME=VALUE, such as department=radiology")
    return word


def _external_evaluation(selector: str, value: object, place: Place, _: Scope) -> Rule:
    """Cloudflare's selector; a verifier does the work, and reads what it is told."""
    if not isinstance(value, Mapping):
        raise Wrong(
            f"must be a table, {{ evaluate_url = '...', keys_url = '...' }}, and is {kind(value)}"
        )
    said = []
    for key, one in value.items():
        if key not in _EVALUATION_KEYS:
            raise Wrong(f"holds {show(key)}, which is not a key; {meant(key, _EVALUATION_KEYS)}")
        try:
            plain = text(one, place)
        except Wrong as wrong:
            raise Wrong(f"holds {key}, which {wrong}") from wrong
        escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
        said.append(f'{key}="{escaped}"')
    return Rule(selector, (verifier(f"external:{','.join(said)}", place),))


_EVALUATION_KEYS = frozenset(
    ("evaluate_url", "keys_url", "ca", "timeout", "on_error", "concurrency", "queue")
)

_SELECTORS: Mapping[str, Reading] = {
    "certificate": _flag,
    "everyone": _flag,
    "any_valid_service_token": _flag,
    "common_name": _strings(text),
    "organization": _strings(text),
    "organizational_unit": _strings(text),
    "issuer": _strings(distinguished_name),
    "san_dns": _strings(host_pattern),
    "san_uri": _strings(uri),
    "san_email": _strings(email),
    "san_ip": _networks,
    "ip": _networks,
    "serial": _strings(serial),
    "fingerprint_sha256": _strings(hexadecimal(64)),
    "spki_sha256": _strings(hexadecimal(64)),
    "method": _strings(_method),
    "verifier": _strings(verifier),
    "external_evaluation": _external_evaluation,
    "attribute": _strings(_attribute),
    "group": _reference(lambda scope: scope.groups, "group"),
    "service_token": _reference(lambda scope: scope.service_tokens, "service_token"),
    "client_ca": _reference(lambda scope: scope.client_cas, "client_ca"),
}
SELECTORS = frozenset(_SELECTORS)
"""Every selector that a rule may have."""

FLAGS = frozenset(word for word, reading in _SELECTORS.items() if reading is _flag)
"""The selectors whose only value is ``true``."""
