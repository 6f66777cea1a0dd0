"""Is a chain valid for a certificate policy, where its CAs or the operator demand one?

RFC 5280 §6.1's policy processing, with any-policy allowed at first and no policy demanded unless
the operator or a CA's policy constraints do. The tree of §6.1.2 (a) is kept as RFC 9618 has it:
one node for each policy and depth, which knows the policies of the anchor's own domain that it
descends from; so no chain, however its mappings are woven, makes it grow without bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from cryptography import x509

from mtlsedge.identity import Certificate, Reason
from mtlsedge.trust.der import OBJECT_IDENTIFIER, SEQUENCE, BadDer, dotted, inside, value_at
from mtlsedge.trust.outcomes import Failed

ANY_POLICY = "2.5.29.32.0"
_CONSTRAINTS = b"\x06\x03\x55\x1d\x24"  # the object identifier's DER, 2.5.29.36
_MAPPINGS = b"\x06\x03\x55\x1d\x21"  # 2.5.29.33
_ROOT = frozenset({ANY_POLICY})


@dataclass(frozen=True, slots=True)
class _Node:
    """A policy that a path is valid for so far.

    Attributes:
        origins: the policies that it stands for in the anchor's domain; ``ANY_POLICY`` among
            them for all.
        expected: the policies of the next certificate that continue it.
    """

    origins: frozenset[str]
    expected: frozenset[str]


_Nodes = dict[str, _Node]


def policy_failure(chain: tuple[Certificate, ...], required: frozenset[str]) -> Failed | None:
    """Why a chain (leaf first, anchor last) is valid for no acceptable policy, or None.

    ``required`` has object identifiers, one of which will do; without any, only what the
    certificates demand counts.
    """
    path = chain[:-1]
    if not required and not any(_CONSTRAINTS in c.der or _MAPPINGS in c.der for c in path):
        return None
    failed = _Processing(len(path), required).run(path)
    return None if failed is None else replace(failed, chain=chain)


class _Processing:
    """The state variables of RFC 5280 §6.1.2, on the way from the anchor to the leaf."""

    def __init__(self, length: int, required: frozenset[str]) -> None:
        self._required = required
        self._nodes: _Nodes = {ANY_POLICY: _Node(_ROOT, _ROOT)}
        self._explicit = 0 if required else length + 1
        self._inhibit_any = length + 1
        self._mapping = length + 1

    def run(self, path: tuple[Certificate, ...]) -> Failed | None:
        for depth in range(len(path) - 1, -1, -1):
            certificate = path[depth]
            fault = self._process(certificate, last=depth == 0)
            if fault:
                return Failed(Reason.UNFIT, f"{certificate.subject}: {fault}", depth)
        return self._conclude(path[0]) if path else None

    def _process(self, certificate: Certificate, *, last: bool) -> str:
        self_issued = certificate.x509.subject == certificate.x509.issuer
        with_any = self._inhibit_any > 0 or (not last and self_issued)
        policies = _policies(certificate)
        self._nodes = _next(self._nodes, policies, with_any=with_any)  # §6.1.3 (d), (e)
        if not self._explicit and not self._nodes:  # (f)
            return "it is valid for no certificate policy, and one is demanded"
        if last:
            return ""
        fault = self._map(certificate)  # §6.1.4 (a), (b)
        if not self_issued:  # (h)
            self._explicit = max(self._explicit - 1, 0)
            self._inhibit_any = max(self._inhibit_any - 1, 0)
            self._mapping = max(self._mapping - 1, 0)
        self._constrain(certificate)
        return fault

    def _map(self, certificate: Certificate) -> str:
        mappings: dict[str, set[str]] = {}
        try:
            found = _mappings(certificate)
        except BadDer as error:
            return f"its policy mappings cannot be read: {error}"
        for issuers, subjects in found:
            if ANY_POLICY in (issuers, subjects):
                return "it maps a certificate policy to or from any policy"
            mappings.setdefault(issuers, set()).add(subjects)
        if not self._mapping:
            self._nodes = {p: node for p, node in self._nodes.items() if p not in mappings}
            return ""
        any_policy = self._nodes.get(ANY_POLICY)
        for policy, subjects_of in mappings.items():
            node = self._nodes.get(policy)
            if node is None and any_policy is None:
                continue
            origins = frozenset({policy}) if node is None else node.origins
            self._nodes[policy] = _Node(origins, frozenset(subjects_of))
        return ""

    def _constrain(self, certificate: Certificate) -> None:
        explicit, mapping = _constraints(certificate)  # §6.1.4 (i)
        if explicit is not None:
            self._explicit = min(self._explicit, explicit)
        if mapping is not None:
            self._mapping = min(self._mapping, mapping)
        skip = _inhibit_any(certificate)  # (j)
        if skip is not None:
            self._inhibit_any = min(self._inhibit_any, skip)

    def _conclude(self, leaf: Certificate) -> Failed | None:
        """The wrap-up of §6.1.5 (a), (b) and (g)."""
        self._explicit = max(self._explicit - 1, 0)
        explicit, _ = _constraints(leaf)
        if self._explicit and explicit != 0:
            return None
        acceptable = self._required | _ROOT
        for node in self._nodes.values():
            if not self._required or not acceptable.isdisjoint(node.origins):
                return None
        wanted = ", ".join(sorted(self._required)) or "any"
        fault = f"its chain is not valid for a certificate policy that is demanded ({wanted})"
        return Failed(Reason.UNFIT, f"{leaf.subject}: {fault}", 0)


def _next(nodes: _Nodes, policies: frozenset[str], *, with_any: bool) -> _Nodes:
    """The policies that are valid after one more certificate; §6.1.3 (d)."""
    found: dict[str, frozenset[str]] = {}
    any_policy = nodes.get(ANY_POLICY)
    parents: dict[str, list[_Node]] = {}
    for node in nodes.values():
        for expected in node.expected:
            parents.setdefault(expected, []).append(node)
    for policy in policies - _ROOT:
        if policy in parents:
            found[policy] = _origins(parents[policy])
        elif any_policy is not None:
            found[policy] = frozenset({policy})
    if ANY_POLICY in policies and with_any:
        for policy, above in parents.items():
            found.setdefault(policy, _origins(above))
    return {policy: _Node(origins, frozenset({policy})) for policy, origins in found.items()}


def _origins(nodes: Iterable[_Node]) -> frozenset[str]:
    return frozenset().union(*(node.origins for node in nodes))


def _policies(certificate: Certificate) -> frozenset[str]:
    try:
        found = certificate.x509.extensions.get_extension_for_class(x509.CertificatePolicies)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(policy.policy_identifier.dotted_string for policy in found.value)


def _mappings(certificate: Certificate) -> list[tuple[str, str]]:
    """Pairs of an issuer's policy and the subject's that it stands for (§4.2.1.5)."""
    if _MAPPINGS not in certificate.der:
        return []
    for extension in certificate.x509.extensions:
        if extension.oid.dotted_string == "2.5.29.33":
            return _pairs(extension.value.public_bytes())
    return []


def _pairs(data: bytes) -> list[tuple[str, str]]:
    outer = value_at(data, 0, len(data))
    if outer.end != len(data):
        raise BadDer("something stands after them")
    found = []
    for mapping in inside(data, outer, SEQUENCE):
        parts = inside(data, mapping, SEQUENCE)
        if [part.tag for part in parts] != [OBJECT_IDENTIFIER] * 2:
            raise BadDer("a mapping is not of two policies")
        issuers, subjects = (dotted(data[part.content : part.end]) for part in parts)
        found.append((issuers, subjects))
    return found


def _constraints(certificate: Certificate) -> tuple[int | None, int | None]:
    try:
        found = certificate.x509.extensions.get_extension_for_class(x509.PolicyConstraints).value
    except x509.ExtensionNotFound:
        return None, None
    return found.require_explicit_policy, found.inhibit_policy_mapping


def _inhibit_any(certificate: Certificate) -> int | None:
    try:
        found = certificate.x509.extensions.get_extension_for_class(x509.InhibitAnyPolicy)
    except x509.ExtensionNotFound:
        return None
    return found.value.skip_certs
