"""Which CRLs speak of which certificates? Distribution points and the scopes of lists.

RFC 5280 §4.2.1.13 (the certificate's side), §5.2.5 (the list's) and §6.3.3 (b), (d), (e).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509

from mtlsedge.identity import Certificate, NameKey
from mtlsedge.trust.certificates import name_key

Reasons = frozenset[x509.ReasonFlags]
GeneralNameKey = tuple[object, ...]

ALL_REASONS: Reasons = frozenset(x509.ReasonFlags) - {
    x509.ReasonFlags.unspecified,
    x509.ReasonFlags.remove_from_crl,
}
"""Every reason that a distribution point can name; a status is known once all are covered."""

_POINTS = b"\x06\x03\x55\x1d\x1f"  # the object identifier's DER, 2.5.29.31


@dataclass(frozen=True, slots=True)
class Point:
    """One distribution point of a certificate: where it says that its status is told.

    Attributes:
        names: the point's names; empty where only ``issuers`` are given.
        reasons: what lists from there cover.
        issuers: who signs them, if not the certificate's own issuer; they are indirect lists.
    """

    names: frozenset[GeneralNameKey]
    reasons: Reasons = ALL_REASONS
    issuers: frozenset[NameKey] = frozenset()


@dataclass(frozen=True, slots=True)
class Scope:
    """What a list is about: its issuing distribution point, or everything where it has none.

    ``names`` is None where the list has no name to match.
    """

    names: frozenset[GeneralNameKey] | None = None
    only_users: bool = False
    only_cas: bool = False
    only_attributes: bool = False
    reasons: Reasons = ALL_REASONS
    indirect: bool = False

    def covers(self, point: Point, *, is_ca: bool) -> bool:
        """Whether a list of this scope speaks of a certificate with this point; §6.3.3 (b)."""
        if self.only_attributes or (self.only_users and is_ca) or (self.only_cas and not is_ca):
            return False
        if point.issuers and not self.indirect:
            return False
        if self.names is None:
            return True
        names = point.names or frozenset(("name", issuer) for issuer in point.issuers)
        return not self.names.isdisjoint(names)


WHOLE = Scope()
"""Every certificate of the list's issuer, for every reason."""


def points_of(certificate: Certificate) -> tuple[Point, ...]:
    """The distribution points of a certificate and, last, the one that every certificate has.

    That one stands for any list of the certificate's own issuer (§6.3.3, last paragraph).
    """
    last = Point(frozenset({("name", certificate.issuer_key)}))
    if _POINTS not in certificate.der:
        return (last,)
    try:
        found = certificate.x509.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    except x509.ExtensionNotFound:
        return (last,)
    issuer = certificate.x509.issuer
    return (*(_point(each, issuer) for each in found.value), last)


def scope_of(crl: x509.CertificateRevocationList) -> Scope:
    """The scope of a list."""
    try:
        found = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return WHOLE
    names: frozenset[GeneralNameKey] | None = None
    if found.full_name is not None:
        names = _keys(found.full_name)
    elif found.relative_name is not None:
        names = frozenset({_relative(crl.issuer, found.relative_name)})
    return Scope(
        names,
        found.only_contains_user_certs,
        found.only_contains_ca_certs,
        found.only_contains_attribute_certs,
        _reasons(found.only_some_reasons),
        found.indirect_crl,
    )


def _point(point: x509.DistributionPoint, issuer: x509.Name) -> Point:
    issuers = [n.value for n in point.crl_issuer or () if isinstance(n, x509.DirectoryName)]
    names: frozenset[GeneralNameKey] = frozenset()
    if point.full_name is not None:
        names = _keys(point.full_name)
    elif point.relative_name is not None:
        names = frozenset(_relative(each, point.relative_name) for each in issuers or [issuer])
    return Point(names, _reasons(point.reasons), frozenset(map(name_key, issuers)))


def _reasons(named: Reasons | None) -> Reasons:
    return ALL_REASONS if named is None else named & ALL_REASONS


def _keys(names: Iterable[x509.GeneralName]) -> frozenset[GeneralNameKey]:
    return frozenset(map(_key, names))


def _key(name: x509.GeneralName) -> GeneralNameKey:
    if isinstance(name, x509.DirectoryName):
        return ("name", name_key(name.value))
    return (type(name).__name__, name)


def _relative(issuer: x509.Name, rdn: x509.RelativeDistinguishedName) -> GeneralNameKey:
    return ("name", name_key(x509.Name([*issuer.rdns, rdn])))
