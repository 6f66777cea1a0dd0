"""NIST's Public Key Interoperability Test Suite (PKITS), as `cryptography-vectors` publishes it.

Whether a path should validate is in the names of its files; for those on certificate policies,
whose outcome depends on which policies are demanded, it is in the table here, after the suite's
document. What the edge refuses on purpose, and why, is in ``STRICTER``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.task import Clock

from mtlsedge.errors import BadCertificate, BadCrl
from mtlsedge.identity import Certificate, Identity
from mtlsedge.model import ClientCA, CrlSource
from mtlsedge.trust.certificates import NameKey, name_key, read_certificate
from mtlsedge.trust.crls import read_crls
from mtlsedge.trust.judge import ClientTrust
from support.needs import in_ci
from support.verifiers import find_verifier

if in_ci():
    import cryptography_vectors as vectors
else:
    vectors = pytest.importorskip("cryptography_vectors")
DATA = Path(vectors.__file__).parent / "x509" / "PKITS_data"
NOW = 1_780_000_000.0  # in 2026; nearly everything is valid from 2010 to 2030
ROOT = "TrustAnchorRootCertificate"
P1, P2, P3 = (f"2.16.840.1.101.3.2.1.48.{number}" for number in (1, 2, 3))

STRICTER = {
    "ValidDSASignaturesTest4EE": "DSA keys are not accepted",
    "ValidDSAParameterInheritanceTest5EE": "DSA keys are not accepted",
    "ValidcRLIssuerTest30EE": "the signer of a list alone vouches for its own certificate",
}
"""Paths that should validate and do not."""

POLICIES = [
    # file, policies demanded, whether it validates
    ("ValidCertificatePathTest1EE", (P1,), True),
    ("ValidCertificatePathTest1EE", (P2,), False),
    ("ValidCertificatePathTest1EE", (P1, P2), True),
    ("AllCertificatesNoPoliciesTest2EE", (), True),
    ("AllCertificatesNoPoliciesTest2EE", (P1,), False),
    ("DifferentPoliciesTest3EE", (), True),
    ("DifferentPoliciesTest3EE", (P1,), False),
    ("DifferentPoliciesTest3EE", (P1, P2), False),
    ("DifferentPoliciesTest4EE", (), False),
    ("DifferentPoliciesTest5EE", (), False),
    ("OverlappingPoliciesTest6EE", (), True),
    ("OverlappingPoliciesTest6EE", (P1,), True),
    ("OverlappingPoliciesTest6EE", (P2,), False),
    ("DifferentPoliciesTest7EE", (), False),
    ("DifferentPoliciesTest8EE", (), False),
    ("DifferentPoliciesTest9EE", (), False),
    ("AllCertificatesSamePoliciesTest10EE", (), True),
    ("AllCertificatesSamePoliciesTest10EE", (P1,), True),
    ("AllCertificatesSamePoliciesTest10EE", (P2,), True),
    ("AllCertificatesanyPolicyTest11EE", (), True),
    ("AllCertificatesanyPolicyTest11EE", (P1,), True),
    ("DifferentPoliciesTest12EE", (), False),
    ("AllCertificatesSamePoliciesTest13EE", (P1,), True),
    ("AllCertificatesSamePoliciesTest13EE", (P2,), True),
    ("AllCertificatesSamePoliciesTest13EE", (P3,), True),
    ("AnyPolicyTest14EE", (P1,), True),
    ("AnyPolicyTest14EE", (P2,), False),
    ("UserNoticeQualifierTest15EE", (), True),
    ("UserNoticeQualifierTest16EE", (), True),
    ("UserNoticeQualifierTest17EE", (), True),
    ("UserNoticeQualifierTest18EE", (P1,), True),
    ("UserNoticeQualifierTest18EE", (P2,), True),
    ("UserNoticeQualifierTest19EE", (), True),
    ("CPSPointerQualifierTest20EE", (), True),
    ("ValidPolicyMappingTest1EE", (P1,), True),
    ("ValidPolicyMappingTest1EE", (P2,), False),
    ("ValidPolicyMappingTest3EE", (P1,), False),
    ("ValidPolicyMappingTest3EE", (P2,), True),
    ("ValidPolicyMappingTest5EE", (P1,), True),
    ("ValidPolicyMappingTest5EE", (P2,), False),
    ("ValidPolicyMappingTest6EE", (P1,), True),
    ("ValidPolicyMappingTest6EE", (P2,), False),
]


def _outcome(stem: str) -> bool:
    return stem.startswith("Valid")


def _named() -> Iterator[str]:
    for file in sorted((DATA / "certs").glob("*EE.crt")):
        if re.match(r"(Valid|Invalid)", file.stem):
            yield file.stem


@cache
def _certificates() -> dict[str, Certificate]:
    found = {}
    for file in sorted((DATA / "certs").glob("*.crt")):
        try:
            found[file.stem] = read_certificate(file.read_bytes())
        except BadCertificate:
            continue
    return found


@cache
def _authorities() -> dict[NameKey, list[Certificate]]:
    found: dict[NameKey, list[Certificate]] = {}
    for stem, certificate in _certificates().items():
        if not stem.endswith("EE"):
            found.setdefault(name_key(certificate.x509.subject), []).append(certificate)
    return found


def _above(leaf: Certificate) -> list[Certificate]:
    """Every certificate by whose name a chain could go on, the root's excepted."""
    found: list[Certificate] = []
    waiting = [leaf]
    while waiting:
        issuers = _authorities().get(name_key(waiting.pop().x509.issuer), [])
        new = [each for each in issuers if each not in found]
        found += new
        waiting += new
    root = _certificates()[ROOT]
    return [each for each in found if each.der != root.der]


@cache
def _lists() -> tuple[CrlSource, ...]:
    found = []
    for file in sorted((DATA / "crls").glob("*.crl")):
        try:
            read_crls(file.name, file.read_bytes())
        except BadCrl:
            continue
        found.append(CrlSource(file.name, file.read_bytes()))
    return tuple(found)


def _pem(*certificates: Certificate) -> bytes:
    return b"".join(each.x509.public_bytes(Encoding.PEM) for each in certificates)


@cache
def _crl_issuers() -> bytes:
    """Certificates that only sign lists, and those that CAs made for their other keys."""
    found = [
        certificate
        for stem, certificate in _certificates().items()
        if re.search(
            r"CRLSigningCert|CRLCert$|cRLIssuerCert|WithOld|WithNew|indirectCRLCA[15]Cert", stem
        )
        and not stem.endswith("EE")
    ]
    return _pem(*found)


def _settle(stem: str, policies: tuple[str, ...] = ()) -> Identity:
    leaf = _certificates()[stem]
    ca = ClientCA(
        "PKITS",
        _pem(_certificates()[ROOT]),
        ("a.example",),
        crls=_lists(),
        crl_issuers=_crl_issuers(),
        required_policies=policies,
    )
    trust = ClientTrust([ca], find_verifier, Clock(), lambda: NOW, 0)
    identity = trust.settle(leaf.der, [each.der for each in _above(leaf)], "a.example")
    assert isinstance(identity, Identity)
    return identity


@pytest.mark.parametrize("stem", list(_named()))
def test_a_path_of_the_suite(stem: str) -> None:
    """With every list of the suite at hand, and no policy demanded."""
    if stem not in _certificates():
        assert stem in STRICTER
        return
    identity = _settle(stem)
    expected = _outcome(stem) and stem not in STRICTER
    assert expected == identity.verified, identity.detail


@pytest.mark.parametrize(("stem", "policies", "expected"), POLICIES)
def test_a_path_for_a_policy(stem: str, policies: tuple[str, ...], expected: bool) -> None:
    """§4.8 and §4.10 of the suite: which policies are demanded decides."""
    assert expected == _settle(stem, policies).verified
