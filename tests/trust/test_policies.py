"""Certificate policies, RFC 5280 §6.1: what CAs and the operator demand. See also PKITS."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from trust_pki import NOW, Minted, authority, client, client_ca, p256
from twisted.internet.task import Clock

from mtlsedge.identity import Identity, Reason
from mtlsedge.trust.judge import ClientTrust
from mtlsedge.trust.policies import ANY_POLICY, policy_failure
from support.needs import needs
from support.verifiers import find_verifier

P1, P2, P3 = "1.2.3.1", "1.2.3.2", "1.2.3.3"
ROOT = authority("Root", key=p256(0))


def policies(*identifiers: str) -> tuple[x509.ExtensionType, bool]:
    found = [x509.PolicyInformation(x509.ObjectIdentifier(each), None) for each in identifiers]
    return x509.CertificatePolicies(found), False


def constraints(
    explicit: int | None = None, mapping: int | None = None
) -> tuple[x509.ExtensionType, bool]:
    return x509.PolicyConstraints(explicit, mapping), True


def inhibit_any(skip: int) -> tuple[x509.ExtensionType, bool]:
    return x509.InhibitAnyPolicy(skip), True


def mapping(*pairs: tuple[str, str]) -> tuple[x509.ExtensionType, bool]:
    """Policy mappings, for which `cryptography` has no class."""
    body = b"".join(_tlv(0x30, _oid(first) + _oid(second)) for first, second in pairs)
    oid = x509.ObjectIdentifier("2.5.29.33")
    return x509.UnrecognizedExtension(oid, _tlv(0x30, body)), True


def _oid(dotted: str) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.ObjectIdentifier(dotted), "x")]).public_bytes()
    at = name.index(b"\x06")
    return name[at : at + 2 + name[at + 1]]


def _tlv(tag: int, content: bytes) -> bytes:
    return bytes((tag, len(content))) + content


def chain(*extensions: tuple[Any, ...]) -> tuple[Minted, ...]:
    """A chain, leaf first, of certificates with these extensions, the leaf's last."""
    *cas, last = extensions
    found = [ROOT]
    for number, more in enumerate(cas):
        found.append(
            authority(f"CA {number}", found[-1], key=p256(20 + number), more_extensions=more)
        )
    found.append(client("leaf", found[-1], key=p256(1), more_extensions=last))
    return tuple(reversed(found))


def valid(minted: tuple[Minted, ...], *required: str) -> bool:
    return None is policy_failure(tuple(each.read for each in minted), frozenset(required))


@pytest.mark.parametrize(
    ("extensions", "required", "expected"),
    [
        ([(), ()], (), True),
        ([(), ()], (P1,), False),
        ([(policies(P1),), (policies(P1),)], (P1,), True),
        ([(policies(P1),), (policies(P1),)], (P2, P1), True),
        ([(policies(P1),), (policies(P1),)], (P2,), False),
        ([(policies(P1),), (policies(P2),)], (P1,), False),
        ([(policies(P1),), (policies(P2),)], (), True),
        ([(policies(P1),), ()], (P1,), False),
        ([(), (policies(P1),)], (P1,), False),
        ([(policies(ANY_POLICY),), (policies(P1),)], (P1,), True),
        ([(policies(ANY_POLICY),), (policies(P1),)], (P2,), False),
        ([(policies(ANY_POLICY),), (policies(ANY_POLICY),)], (P1,), True),
        ([(policies(P1),), (policies(ANY_POLICY),)], (P1,), True),
        ([(policies(P1),), (policies(ANY_POLICY),)], (P2,), False),
        # requireExplicitPolicy
        ([(constraints(0), policies(P1)), (policies(P1),)], (), True),
        ([(constraints(0), policies(P1)), (policies(P2),)], (), False),
        ([(constraints(0), policies(P1)), ()], (), False),
        ([(constraints(1), policies(P1)), ()], (), False),
        ([(constraints(2), policies(P1)), ()], (), True),
        ([(constraints(1),), (), ()], (), False),
        ([(), (constraints(0),)], (), False),
        ([(policies(P1),), (policies(P1), constraints(0))], (), True),
        # inhibitAnyPolicy
        ([(inhibit_any(0), policies(P1)), (policies(ANY_POLICY),)], (P1,), False),
        ([(inhibit_any(1), policies(P1)), (policies(ANY_POLICY),)], (P1,), True),
        ([(inhibit_any(1), policies(P1)), (policies(P1),), (policies(ANY_POLICY),)], (P1,), False),
        # policyMappings and inhibitPolicyMapping
        ([(policies(P1), mapping((P1, P2))), (policies(P2),)], (P1,), True),
        ([(policies(P1), mapping((P1, P2))), (policies(P2),)], (P2,), False),
        ([(policies(P1), mapping((P1, P2))), (policies(P1),)], (P1,), False),
        ([(policies(P1), mapping((P1, P2), (P1, P3))), (policies(P3),)], (P1,), True),
        ([(policies(ANY_POLICY), mapping((P1, P2))), (policies(P2),)], (P1,), True),
        (
            [
                (constraints(None, 0), policies(P1)),
                (policies(P1), mapping((P1, P2))),
                (policies(P2),),
            ],
            (P1,),
            False,
        ),
        (
            [
                (constraints(None, 1), policies(P1)),
                (policies(P1), mapping((P1, P2))),
                (policies(P2),),
            ],
            (P1,),
            True,
        ),
        ([(policies(P1), mapping((ANY_POLICY, P2))), (policies(P2),)], (), False),
        ([(policies(P1), mapping((P1, ANY_POLICY))), (policies(P1),)], (), False),
    ],
)
def test_a_chain_is_valid_for_a_policy_or_not(
    extensions: list[tuple[Any, ...]], required: tuple[str, ...], expected: bool
) -> None:
    """§6.1.3 (d) to (f), §6.1.4 (a) to (j), §6.1.5 (a), (b), (g); CAs first, the leaf last."""
    assert expected == valid(chain(*extensions), *required)


def test_mappings_that_cannot_be_read_make_the_chain_unfit() -> None:
    """What is critical and damaged is not passed over."""
    oid = x509.ObjectIdentifier("2.5.29.33")
    for body in (b"", b"\x30\x02\x30\x00", b"\x30\x03\x30\x01\x06", b"\x30\x00\x00", b"\x04\x00"):
        damaged = x509.UnrecognizedExtension(oid, body), True
        assert not valid(chain((damaged,), ()))


def test_a_client_ca_may_demand_a_policy() -> None:
    """``required_policies``: the log says which, and who lacks it is unfit, not unknown."""
    ca = client_ca(ROOT, required_policies=(P1,))
    trust = ClientTrust([ca], find_verifier, Clock(), lambda: NOW, 0)
    good = client("good", ROOT, key=p256(1), more_extensions=(policies(P1),))
    bare = client("bare", ROOT, key=p256(1))
    accepted, refused = (trust.settle(each.der, [], "a.example") for each in (good, bare))
    assert isinstance(accepted, Identity)
    assert isinstance(refused, Identity)
    assert accepted.verified
    assert (False, Reason.UNFIT) == (refused.verified, refused.reason)
    assert "no certificate policy, and one is demanded" in refused.detail


def test_what_one_client_ca_demands_is_not_remembered_for_another() -> None:
    """Two of the same certificates and name, in two configurations."""
    bare = client("bare", ROOT, key=p256(1))
    for required, expected in (((), True), ((P1,), False), ((), True)):
        ca = client_ca(ROOT, required_policies=required)
        trust = ClientTrust([ca], find_verifier, Clock(), lambda: NOW, 0)
        identity = trust.settle(bare.der, [], "a.example")
        assert isinstance(identity, Identity)
        assert expected == identity.verified


_some = st.lists(st.sampled_from([P1, P2, P3, ANY_POLICY]), max_size=3, unique=True)
_maps = st.lists(
    st.tuples(st.sampled_from([P1, P2, P3]), st.sampled_from([P1, P2, P3])), max_size=3
)


@st.composite
def _extensions(draw: Any) -> tuple[Any, ...]:
    found = []
    named = draw(_some)
    if named:
        found.append(policies(*named))
    pairs = draw(_maps)
    if pairs:
        found.append(mapping(*dict.fromkeys(pairs)))
    explicit = draw(st.none() | st.integers(0, 2))
    if explicit is not None:
        found.append(constraints(explicit, draw(st.none() | st.integers(0, 1))))
    skip = draw(st.none() | st.integers(0, 2))
    if skip is not None:
        found.append(inhibit_any(skip))
    return tuple(found)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(_extensions(), min_size=2, max_size=4),
    st.lists(st.sampled_from([P1, P2, P3]), max_size=2, unique=True),
)
def test_openssl_agrees(extensions: list[tuple[Any, ...]], required: list[str]) -> None:
    """Its `verify` command takes the policies that are demanded, which its Python binding cannot.

    Without mappings in the leaf: they map nothing (§6.1.4 is for CAs), and OpenSSL heeds them;
    and without those that the test below is about.
    """
    needs("openssl")
    *cas, leaf = extensions
    assume(not _maps_beside_an_inhibited_any_policy(cas))
    leaf = tuple(each for each in leaf if not isinstance(each[0], x509.UnrecognizedExtension))
    minted = chain(*cas, leaf)
    assert _openssl(minted, required) == valid(minted, *required)


def test_any_policy_that_is_inhibited_carries_no_mapping() -> None:
    """§6.1.3 (d) (2) comes before §6.1.4 (b): where any-policy does not count, nothing is mapped.

    OpenSSL 3.0 maps all the same, and takes the chain. No is the RFC's answer, and ours.
    """
    upper = (policies(P1), constraints(0), inhibit_any(0))
    lower = (policies(ANY_POLICY), mapping((P1, P1)))
    assert not valid(chain(upper, lower, (policies(P1),)))
    assert valid(chain((policies(P1), constraints(0)), lower, (policies(P1),)))


def _maps_beside_an_inhibited_any_policy(cas: list[tuple[Any, ...]]) -> bool:
    inhibited = False
    for extensions in cas:
        values = [value for value, _ in extensions]
        maps = any(isinstance(each, x509.UnrecognizedExtension) for each in values)
        if inhibited and maps and any(map(_names_any_policy, values)):
            return True
        inhibited |= any(isinstance(each, x509.InhibitAnyPolicy) for each in values)
    return False


def _names_any_policy(value: x509.ExtensionType) -> bool:
    return isinstance(value, x509.CertificatePolicies) and ANY_POLICY in {
        each.policy_identifier.dotted_string for each in value
    }


def _openssl(minted: tuple[Minted, ...], required: list[str]) -> bool:
    leaf, *above = minted
    with tempfile.TemporaryDirectory() as directory:
        files = {"leaf": leaf.pem, "root": above.pop().pem, "cas": b"".join(a.pem for a in above)}
        for name, data in files.items():
            (Path(directory) / name).write_bytes(data)
        demands = [word for each in required or [ANY_POLICY] for word in ("-policy", each)]
        demands += ["-explicit_policy"] if required else ["-policy_check"]
        command = ["openssl", "verify", "-attime", str(int(NOW)), "-CAfile", "root", *demands]
        command += ["-untrusted", "cas", "leaf"] if above else ["leaf"]
        done = subprocess.run(command, cwd=directory, capture_output=True, check=False)
    return done.returncode == 0
