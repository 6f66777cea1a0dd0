"""What the log says of a certificate, and what it does not, under another configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtlsedge.model import ClientCA, Configuration, CrlSource, Edge, Ocsp
from mtlsedge.replay.grounds import Grounds
from mtlsedge.replay.logged import Shown
from mtlsedge.trust.certificates import read_certificate
from support import certs

HOST = "iot.example.com"
LEAF = read_certificate(certs.client().der)
SECOND = "Second Client CA"


def ca(name: str = certs.CLIENT_CA, *hosts: str, bundle: str = "", **more: Any) -> ClientCA:
    """A client CA of the host, and which one's certificate it has."""
    pem = certs.ca_file(bundle or name).read_bytes()
    return ClientCA(name, pem, hosts or (HOST,), **more)


def configured(*cas: ClientCA) -> Configuration:
    """A configuration of which only the client CAs count here."""
    return Configuration(Edge((), Path("state")), (), cas)


def shown(**more: Any) -> Shown:
    """What the log has of a client that verified."""
    return replace(
        Shown(
            True,
            True,
            "",
            LEAF.subject,
            LEAF.issuer,
            LEAF.serial,
            LEAF.fingerprint_sha256,
            (certs.CLIENT_CA,),
        ),
        **more,
    )


UNTRUSTED = shown(verified=False, reason="certificate_untrusted", client_cas=())
BOTH = (ca(), ca(SECOND))


@pytest.mark.parametrize(
    ("line", "new", "old", "expected"),
    [
        (shown(), (ca(),), None, True),
        (shown(), (ca(),), (ca(),), True),
        (shown(), (), None, False),  # nobody asks
        (shown(), (ca(certs.CLIENT_CA, "b.example.com"),), None, False),
        (shown(), (ca(SECOND),), None, False),  # of another issuer
        (shown(), (ca(SECOND, bundle=certs.CLIENT_CA),), None, None),  # perhaps renamed
        (shown(), (ca(bundle=SECOND),), (ca(),), None),  # the same name, another CA
        (shown(), (ca(verifiers=("chain",)),), (ca(),), None),
        (shown(client_cas=None), (ca(),), None, None),  # a line that does not say
        (Shown(False, False), (ca(),), None, False),
        (Shown(False, False), (ca(),), (), None),  # nobody asked it then
        (Shown(False, False), (ca(),), (ca(),), False),
        (UNTRUSTED, (ca(SECOND),), None, False),
        (UNTRUSTED, (ca(),), None, None),
        (UNTRUSTED, (ca(SECOND),), (ca(SECOND),), False),
        (UNTRUSTED, BOTH, (ca(SECOND),), None),
        (shown(verified=False, reason="certificate_expired"), BOTH, (ca(SECOND),), False),
        (shown(verified=False, reason="certificate_revoked"), BOTH, None, False),
        (shown(verified=False, reason="revocation_unknown"), BOTH, None, None),
        (shown(verified=False, reason="certificate_rejected"), BOTH, None, None),
    ],
)
def test_whether_a_certificate_verifies_is_known_or_is_not(
    line: Shown,
    new: tuple[ClientCA, ...],
    old: tuple[ClientCA, ...] | None,
    expected: bool | None,
) -> None:
    """Never a guess."""
    before = configured(*old) if old is not None else None
    assert expected is Grounds(configured(*new), before).known(line, HOST).verified


def test_what_the_log_has_can_be_asked() -> None:
    """And nothing else: no alternative names, no key, no verifier."""
    known = Grounds(configured(ca())).known(shown(), HOST)
    assert known.identity.chain is not None
    assert "device-1" == known.identity.chain.leaf.common_name
    assert {
        "certificate",
        "client_ca",
        "common_name",
        "organization",
        "organizational_unit",
        "issuer",
        "serial",
        "fingerprint_sha256",
    } == known.selectors


@pytest.mark.parametrize("subject", ["CN=" + "x" * 50 + "\u2026", "no name at all", "CN=a,CN"])
def test_a_name_that_is_cut_or_broken_says_nothing(subject: str) -> None:
    """Half of a name could be anybody's."""
    known = Grounds(configured(ca())).known(shown(subject=subject), HOST)
    assert known.selectors.isdisjoint({"common_name", "organization", "organizational_unit"})


def test_a_certificate_at_hand_says_the_rest() -> None:
    """Found by its fingerprint."""
    known = Grounds(configured(ca()), None, [LEAF]).known(shown(), HOST)
    assert known.identity.chain is not None and LEAF is known.identity.chain.leaf
    assert {"san_dns", "spki_sha256"} <= known.selectors
    assert "verifier" not in known.selectors


def test_a_client_ca_that_is_new_may_be_one_more() -> None:
    """Of the same issuer, under another name."""
    twin = ca("Twin", bundle=certs.CLIENT_CA)
    known = Grounds(configured(ca(), twin)).known(shown(), HOST)
    assert ((certs.CLIENT_CA,), {"Twin"}) == (known.identity.client_cas, known.perhaps)
    known = Grounds(configured(ca(), twin), configured(ca(), twin)).known(shown(), HOST)
    assert set() == known.perhaps


def test_a_client_ca_with_verifiers_may_be_one_more() -> None:
    """They may have failed then, which the log tells of nobody who verified by another."""
    twin = ca("Twin", bundle=certs.CLIENT_CA, verifiers=("chain",))
    both = configured(ca(), twin)
    assert {"Twin"} == Grounds(both, both).known(shown(), HOST).perhaps
    for more in ({"ocsp": Ocsp()}, {"crls": (CrlSource("x.crl", b""),)}):
        both = configured(ca(), ca("Twin", bundle=certs.CLIENT_CA, **more))
        assert {"Twin"} == Grounds(both, both).known(shown(), HOST).perhaps
    stranger = configured(ca(), ca(SECOND, verifiers=("chain",)))
    assert set() == Grounds(stranger, stranger).known(shown(), HOST).perhaps
