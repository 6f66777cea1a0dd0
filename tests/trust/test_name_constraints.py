"""Name constraints (RFC 5280 §4.2.1.10, §6.1.3 (b) and (c)), for clients. See also PKITS §4.13.

OpenSSL judges them; these cases hold it, and the way chains are built here, to both answers.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from trust_pki import NOW, Minted, authority, client, client_ca, p256
from twisted.internet.task import Clock

from mtlsedge.identity import Identity, Reason
from mtlsedge.trust.judge import ClientTrust
from support.verifiers import find_verifier

ROOT = authority("Root", key=p256(0))
DNS, EMAIL, URI = x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier


def address(text: str) -> x509.IPAddress:
    return x509.IPAddress(ip_network(text) if "/" in text else ip_address(text))


def directory(*parts: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])


ORGANISATION = (NameOID.ORGANIZATION_NAME, "Example")
OTHER_ORGANISATION = (NameOID.ORGANIZATION_NAME, "Other")
SOMEBODY = (NameOID.COMMON_NAME, "somebody")


def settle(constrained: Minted, leaf: Minted, *between: Minted) -> Identity:
    trust = ClientTrust([client_ca(ROOT)], find_verifier, Clock(), lambda: NOW, 0)
    sent = [each.der for each in (*between, constrained)]
    identity = trust.settle(leaf.der, sent, "a.example")
    assert isinstance(identity, Identity)
    return identity


def constrained_ca(
    permitted: list[x509.GeneralName] | None = None,
    excluded: list[x509.GeneralName] | None = None,
    *,
    critical: bool = True,
) -> Minted:
    constraints = x509.NameConstraints(permitted, excluded)
    return authority("Constrained", ROOT, key=p256(7), more_extensions=[(constraints, critical)])


def below(ca: Minted, *names: x509.GeneralName, subject: Any = "somebody") -> Minted:
    return client(subject, ca, key=p256(1), names=names)


CASES: list[tuple[x509.GeneralName, x509.GeneralName, bool]] = [
    # the constraint, a name, whether the name is within it
    (DNS("example.com"), DNS("example.com"), True),
    (DNS("example.com"), DNS("a.b.example.com"), True),
    (DNS("example.com"), DNS("EXAMPLE.com"), True),
    (DNS("example.com"), DNS("badexample.com"), False),
    (DNS("example.com"), DNS("example.org"), False),
    (EMAIL("example.com"), EMAIL("a@example.com"), True),
    (EMAIL("example.com"), EMAIL("a@sub.example.com"), False),
    (EMAIL(".example.com"), EMAIL("a@sub.example.com"), True),
    (EMAIL(".example.com"), EMAIL("a@example.com"), False),
    (EMAIL("a@example.com"), EMAIL("a@example.com"), True),
    (EMAIL("a@example.com"), EMAIL("b@example.com"), False),
    (URI("example.com"), URI("https://example.com/path"), True),
    (URI("example.com"), URI("spiffe://example.com/device"), True),
    (URI("example.com"), URI("https://sub.example.com/"), False),
    (URI(".example.com"), URI("https://sub.example.com/"), True),
    (URI("example.com"), URI("https://example.org/example.com"), False),
    (address("192.0.2.0/24"), address("192.0.2.7"), True),
    (address("192.0.2.0/24"), address("192.0.3.7"), False),
    (address("2001:db8::/32"), address("2001:db8::1"), True),
    (address("2001:db8::/32"), address("2001:db9::1"), False),
    (
        x509.DirectoryName(directory(ORGANISATION)),
        x509.DirectoryName(directory(ORGANISATION, SOMEBODY)),
        True,
    ),
    (
        x509.DirectoryName(directory(ORGANISATION)),
        x509.DirectoryName(directory(OTHER_ORGANISATION, SOMEBODY)),
        False,
    ),
]


@pytest.mark.parametrize(("constraint", "name", "within"), CASES)
@pytest.mark.parametrize("critical", [True, False])
def test_a_name_is_held_to_the_constraints_of_its_kind(
    constraint: x509.GeneralName, name: x509.GeneralName, within: bool, critical: bool
) -> None:
    """Permitted and excluded subtrees are each other's opposite, critical or not."""
    subject = "somebody"
    if isinstance(name, x509.DirectoryName):
        subject = directory(ORGANISATION, SOMEBODY)  # the subject itself is held to it, too
    permitting = constrained_ca([constraint], critical=critical)
    identity = settle(permitting, below(permitting, name, subject=subject))
    assert within == identity.verified, identity.detail
    if not within:
        assert Reason.UNFIT is identity.reason
        assert "permitted subtree violation" in identity.detail
    excluding = constrained_ca(None, [constraint], critical=critical)
    identity = settle(excluding, below(excluding, name))
    assert within != identity.verified
    assert not within or "excluded subtree violation" in identity.detail


def test_names_of_other_kinds_are_free() -> None:
    """A constraint on DNS names says nothing of e-mail addresses."""
    ca = constrained_ca([DNS("example.com")])
    assert settle(ca, below(ca, EMAIL("a@example.org"))).verified


def test_every_name_must_be_within() -> None:
    """One good name does not carry a bad one."""
    ca = constrained_ca([DNS("example.com")])
    assert settle(ca, below(ca, DNS("a.example.com"), DNS("b.example.com"))).verified
    assert not settle(ca, below(ca, DNS("a.example.com"), DNS("b.example.org"))).verified


def test_what_is_excluded_is_out_though_it_is_permitted() -> None:
    """§6.1.4 (g): the exclusion is the stronger word."""
    ca = constrained_ca([DNS("example.com")], [DNS("bad.example.com")])
    assert settle(ca, below(ca, DNS("good.example.com"))).verified
    assert not settle(ca, below(ca, DNS("x.bad.example.com"))).verified


def test_a_common_name_that_is_a_host_name_is_held_to_constraints_on_dns_names() -> None:
    """Rules may name it as one, where the certificate has no alternative DNS name."""
    ca = constrained_ca([DNS("example.com")])
    assert settle(ca, below(ca, subject="device.example.com")).verified
    assert not settle(ca, below(ca, subject="device.example.org")).verified
    assert settle(ca, below(ca, subject="James Royal")).verified


def test_an_e_mail_address_in_the_subject_is_held_to_constraints() -> None:
    """§4.2.1.10: the attribute emailAddress of old certificates."""
    ca = constrained_ca([EMAIL("example.com")])
    for host, expected in (("example.com", True), ("example.org", False)):
        name = directory(SOMEBODY, (NameOID.EMAIL_ADDRESS, f"a@{host}"))
        assert expected == settle(ca, below(ca, subject=name)).verified


@pytest.mark.parametrize(
    ("organisation", "expected"), [(ORGANISATION, True), (OTHER_ORGANISATION, False)]
)
def test_the_subject_is_held_to_constraints_on_directory_names(
    organisation: tuple[x509.ObjectIdentifier, str], expected: bool
) -> None:
    """The subject is a directory name like any other."""
    ca = constrained_ca([x509.DirectoryName(directory(ORGANISATION))])
    leaf = below(ca, subject=directory(organisation, SOMEBODY))
    assert expected == settle(ca, leaf).verified


def test_constraints_hold_for_everything_below() -> None:
    """An intermediate cannot widen what the CA above it may name."""
    ca = constrained_ca([DNS("example.com")])
    wide = x509.NameConstraints([DNS("org"), DNS("com")], None), True
    lower = authority("Lower", ca, key=p256(8), more_extensions=[wide])
    assert settle(ca, below(lower, DNS("a.example.com")), lower).verified
    assert not settle(ca, below(lower, DNS("a.example.org")), lower).verified


def test_a_constraint_of_a_kind_that_is_not_known_forbids_names_of_that_kind() -> None:
    """§4.2.1.10: whoever cannot process it must reject what it could be about."""
    registered = x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))
    ca = constrained_ca([registered])
    assert settle(ca, below(ca, DNS("a.example.com"))).verified
    assert not settle(ca, below(ca, registered)).verified


def test_a_roots_own_constraints_hold() -> None:
    """RFC 5280 leaves it to the trust anchor's owner; here they hold."""
    constraint = x509.NameConstraints([DNS("example.com")], None), True
    root = authority("Careful root", key=p256(9), more_extensions=[constraint])
    trust = ClientTrust([client_ca(root)], find_verifier, Clock(), lambda: NOW, 0)
    for host, expected in (("a.example.com", True), ("a.example.org", False)):
        identity = trust.settle(below(root, DNS(host)).der, [], "a.example")
        assert isinstance(identity, Identity)
        assert expected == identity.verified
