"""Which certificates lead to no client CA, and what is said of those."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from chain_building import LEAF, MIDDLE, OTHER, ROOT, build, failed, other_client
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from trust_pki import (
    DAY,
    MOMENT,
    NOW,
    SERVER,
    Minted,
    authority,
    client,
    client_ca,
    key_usage,
    mint,
    p256,
    peer,
)

from mtlsedge.identity import PeerChain, Reason
from mtlsedge.model import ClientCA
from mtlsedge.trust import chains
from mtlsedge.trust.authorities import Authority
from mtlsedge.trust.certificates import read_certificate
from mtlsedge.trust.chains import ChainBuilder
from mtlsedge.trust.outcomes import Built, Failed
from support.needs import needs

# -- why not -----------------------------------------------------------------------------------


def _impostor() -> PeerChain:
    return peer(client("c", authority("Root", key=p256(2)), key=p256(1)))


REFUSED: list[tuple[str, PeerChain, Reason, str, int]] = [
    (
        "expired",
        peer(client("c", ROOT, key=p256(1), end=MOMENT - timedelta(seconds=1))),
        Reason.EXPIRED,
        "2027-01-15T07:59:59Z",
        0,
    ),
    (
        "not yet valid",
        peer(client("c", ROOT, key=p256(1), start=MOMENT + timedelta(seconds=1))),
        Reason.NOT_YET_VALID,
        "2027-01-15T08:00:01Z",
        0,
    ),
    (
        "under an expired intermediate",
        peer(
            client(
                "c",
                old := authority("Old", ROOT, key=p256(4), end=MOMENT - timedelta(hours=1)),
                key=p256(1),
            ),
            old,
        ),
        Reason.EXPIRED,
        "CN=Old",
        1,
    ),
    ("of another CA", other_client(), Reason.UNTRUSTED, "CN=Other", 0),
    ("of an impostor of the CA", _impostor(), Reason.UNTRUSTED, "", 0),
    ("self-signed", peer(mint("c", key=p256(1))), Reason.UNTRUSTED, "CN=c", 0),
    (
        "for servers only",
        peer(client("c", ROOT, key=p256(1), usages=SERVER)),
        Reason.UNFIT,
        "purpose",
        0,
    ),
    (
        "with a key that may not sign",
        peer(client("c", ROOT, key=p256(1), key_usages=("key_encipherment",))),
        Reason.UNFIT,
        "purpose",
        0,
    ),
    (
        "under an intermediate for servers only",
        peer(
            client(
                "c",
                servers := mint(
                    "Servers",
                    ROOT,
                    key=p256(4),
                    extensions=[
                        (x509.BasicConstraints(True, None), True),
                        (key_usage("key_cert_sign"), True),
                        (x509.ExtendedKeyUsage(SERVER), False),
                    ],
                ),
                key=p256(1),
            ),
            servers,
        ),
        Reason.UNFIT,
        "purpose",
        1,
    ),
    (
        "signed by a leaf",
        peer(client("d", LEAF, key=p256(4)), LEAF),
        Reason.UNFIT,
        "invalid CA certificate",
        1,
    ),
    (
        "signed by what says neither CA nor not",
        peer(
            client(
                "c",
                vague := mint(
                    "Vague", ROOT, key=p256(4), extensions=[(key_usage("key_cert_sign"), True)]
                ),
                key=p256(1),
            ),
            vague,
        ),
        Reason.UNFIT,
        "invalid CA certificate",
        1,
    ),
    (
        "under a CA that may not sign certificates",
        peer(
            client(
                "c",
                mute := authority("Mute", ROOT, key=p256(4), usage=key_usage("crl_sign")),
                key=p256(1),
            ),
            mute,
        ),
        Reason.UNFIT,
        "",
        1,
    ),
    (
        "deeper than a path length allows",
        peer(
            client(
                "c",
                deep := authority(
                    "Deep", flat := authority("Flat", ROOT, key=p256(3), path_length=0), key=p256(4)
                ),
                key=p256(1),
            ),
            deep,
            flat,
        ),
        Reason.UNFIT,
        "path length",
        2,
    ),
    (
        "with a critical extension that nobody knows",
        peer(
            mint(
                "c",
                ROOT,
                key=p256(1),
                extensions=[
                    (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0"), True)
                ],
            )
        ),
        Reason.UNFIT,
        "critical extension",
        0,
    ),
    (
        "with a small RSA key",
        peer(client("c", ROOT, key=rsa.generate_private_key(65537, 1024))),
        Reason.UNFIT,
        "1024 bits, and 2048",
        0,
    ),
    (
        "with a small curve",
        peer(client("c", ROOT, key=ec.generate_private_key(ec.SECP192R1()))),
        Reason.UNFIT,
        "192 bits, and 224",
        0,
    ),
    (
        "with a DSA key",
        peer(client("c", ROOT, key=dsa.generate_private_key(2048))),
        Reason.UNFIT,
        "of a kind that is not accepted",
        0,
    ),
    (
        "outside a name constraint",
        peer(
            client(
                "c",
                narrow := mint(
                    "Narrow",
                    ROOT,
                    key=p256(4),
                    extensions=[
                        (x509.BasicConstraints(True, None), True),
                        (key_usage("key_cert_sign"), True),
                        (x509.NameConstraints([x509.DNSName("a.example")], None), True),
                    ],
                ),
                key=p256(1),
                names=[x509.DNSName("b.example")],
            ),
            narrow,
        ),
        Reason.UNFIT,
        "permitted subtree",
        0,
    ),
    (
        "with too many intermediates",
        peer(LEAF, *([MIDDLE] * 17)),
        Reason.UNFIT,
        "17 intermediates",
        0,
    ),
]


@pytest.mark.parametrize(
    ("presented", "reason", "words", "depth"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_refused_is_a_certificate(
    presented: PeerChain, reason: Reason, words: str, depth: int
) -> None:
    """Each in its class, with what is wrong and where in the chain."""
    outcome = failed(presented)
    assert (reason, depth) == (outcome.reason, outcome.depth)
    assert words in outcome.detail


def test_sixteen_intermediates_are_not_too_many() -> None:
    """The limit is met, not crossed."""
    assert isinstance(build(peer(LEAF, *([MIDDLE] * 16))), Built)


def test_a_weak_anchor_or_one_that_expired_is_refused() -> None:
    """What a client CA's key can forge needs no client."""
    weak = authority("Weak", key=rsa.generate_private_key(65537, 1024))
    outcome = failed(peer(client("c", weak, key=p256(1))), client_ca(weak))
    assert (Reason.UNFIT, 1) == (outcome.reason, outcome.depth)
    old = authority("Old", key=p256(4), end=MOMENT - timedelta(hours=1))
    outcome = failed(peer(client("c", old, key=p256(1))), client_ca(old))
    assert (Reason.EXPIRED, 1) == (outcome.reason, outcome.depth)


def test_a_chain_that_is_too_long_is_refused() -> None:
    """Ten certificates are enough for everybody."""
    links = [ROOT]
    for number in range(chains.LONGEST_CHAIN - 1):
        links.append(authority(f"Link {number}", links[-1], key=p256(20 + number)))
    assert isinstance(build(peer(client("c", links[-2], key=p256(1)), *links[1:-1])), Built)
    outcome = failed(peer(client("c", links[-1], key=p256(1)), *links[1:]))
    assert (Reason.UNFIT, "the chain has 11 certificates; 10 are the most") == (
        outcome.reason,
        outcome.detail,
    )


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_signatures_over_broken_hashes_are_refused_but_for_the_anchors(
    tmp_path: Path, digest: str
) -> None:
    """SHA-1 and MD5 collide; an anchor's own signature is nothing that anyone relies on."""
    openssl = Shop(tmp_path, digest)
    root, leaf = openssl.root(), openssl.leaf()
    ca = ClientCA("ca", root, ("a.example",))
    good = client("good", openssl.minted(root), key=p256(1), end=MOMENT + DAY)
    assert isinstance(build(peer(good), ca), Built)
    outcome = failed(PeerChain(read_certificate(leaf)), ca)
    assert (Reason.UNFIT, 0) == (outcome.reason, outcome.depth)
    assert digest.upper() in outcome.detail


class Shop:
    """A small CA made with the openssl command, over a hash that nothing else signs with."""

    def __init__(self, directory: Path, digest: str) -> None:
        self._directory = directory
        self._digest = digest
        self._program = needs("openssl")

    def root(self) -> bytes:
        self._run("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj /CN=Shop -out ca.pem")
        return (self._directory / "ca.pem").read_bytes()

    def leaf(self) -> bytes:
        self._run("req -new -newkey rsa:2048 -nodes -keyout c.key -subj /CN=c -out c.csr")
        self._run("x509 -req -in c.csr -CA ca.pem -CAkey ca.key -set_serial 5 -out c.pem")
        return x509.load_pem_x509_certificate(
            (self._directory / "c.pem").read_bytes()
        ).public_bytes(serialization.Encoding.DER)

    def minted(self, pem: bytes) -> Minted:
        key = serialization.load_pem_private_key((self._directory / "ca.key").read_bytes(), None)
        return Minted(x509.load_pem_x509_certificate(pem), key)

    def _run(self, command: str) -> None:
        words = command.split()
        days = ["-days", "9000"] if "-out ca.pem" in command or words[0] == "x509" else []
        subprocess.run(
            [self._program, *words, f"-{self._digest}", *days],
            cwd=self._directory,
            check=True,
            capture_output=True,
        )


def test_a_chain_that_ends_elsewhere_is_untrusted() -> None:
    """OpenSSL has never done it; the anchors are ours to check all the same."""
    ca = Authority(client_ca(ROOT))
    ca.anchors = frozenset({OTHER.der})
    outcome = ChainBuilder([ca], lambda: NOW).build(peer(LEAF))
    assert isinstance(outcome, Failed)
    assert (Reason.UNTRUSTED, 1) == (outcome.reason, outcome.depth)


# -- never a system trust store ----------------------------------------------------------------


def test_the_systems_trust_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CA that the environment trusts is not a client CA of this host."""
    system = tmp_path / "system.pem"
    system.write_bytes(OTHER.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    impostor = authority("Root", key=p256(2))  # named as the client CA, signed by the other
    system.write_bytes(OTHER.pem + impostor.pem)
    for leaf in (client("c", OTHER, key=p256(1)), client("c", impostor, key=p256(1))):
        outcome = failed(peer(leaf, OTHER))
        assert Reason.UNTRUSTED is outcome.reason
    assert isinstance(build(peer(LEAF)), Built)
