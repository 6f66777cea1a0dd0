"""Which certificates lead to a client CA, which do not, and what is said of those."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID
from trust_pki import (
    CLIENT,
    DAY,
    MOMENT,
    NOW,
    SERVER,
    Minted,
    Moving,
    authority,
    client,
    client_ca,
    key_usage,
    mint,
    p256,
    peer,
)

from mtlsedge.errors import BadCertificate
from mtlsedge.identity import PeerChain, Reason
from mtlsedge.model import ClientCA
from mtlsedge.trust import authorities, chains
from mtlsedge.trust.authorities import Authority, is_self_signed, shared_authority
from mtlsedge.trust.caches import BoundedCache
from mtlsedge.trust.certificates import read_certificate
from mtlsedge.trust.chains import ChainBuilder
from mtlsedge.trust.outcomes import Built, Failed
from support.needs import needs

ROOT = authority("Root", key=p256(0))
OTHER = authority("Other", key=p256(2))
MIDDLE = authority("Middle", ROOT, key=p256(3))
LEAF = client("c", ROOT, key=p256(1))
LOW_LEAF = client("low", MIDDLE, key=p256(1))


def builder(*cas: ClientCA, now: Any = lambda: NOW) -> ChainBuilder:
    return ChainBuilder([Authority(ca) for ca in cas], now)


def build(presented: PeerChain, *cas: ClientCA) -> Built | Failed:
    return builder(*(cas or (client_ca(ROOT),))).build(presented)


def failed(presented: PeerChain, *cas: ClientCA) -> Failed:
    outcome = build(presented, *cas)
    assert isinstance(outcome, Failed)
    return outcome


def built(presented: PeerChain, *cas: ClientCA) -> Built:
    outcome = build(presented, *cas)
    assert isinstance(outcome, Built), outcome
    return outcome


def ders(*minted: Minted) -> list[bytes]:
    return [each.der for each in minted]


def chain_of(outcome: Built) -> list[bytes]:
    return [certificate.der for certificate in outcome.chain]


# -- what verifies ----------------------------------------------------------------------------


def test_a_client_of_the_ca_is_led_to_it() -> None:
    """Leaf first, anchor last, until the first of them expires."""
    outcome = built(peer(LEAF))
    assert ders(LEAF, ROOT) == chain_of(outcome)
    assert ("ca",) == outcome.client_cas
    assert LEAF.read.not_after == outcome.until


def test_until_is_the_earliest_end_in_the_chain() -> None:
    """An intermediate may end before its leaf."""
    short = authority("Short", ROOT, key=p256(4), end=MOMENT + timedelta(hours=1))
    outcome = built(peer(client("c", short, key=p256(1)), short))
    assert NOW + 3600 == outcome.until


@pytest.mark.parametrize("where", ["sent", "in the bundle", "both"])
def test_an_intermediate_may_be_sent_or_in_the_bundle(where: str) -> None:
    """Wherever it comes from, the chain ends at the root."""
    ca = client_ca(ROOT) if where == "sent" else client_ca(ROOT, MIDDLE)
    sent = () if where == "in the bundle" else (MIDDLE,)
    assert ders(LOW_LEAF, MIDDLE, ROOT) == chain_of(built(peer(LOW_LEAF, *sent), ca))


def test_the_root_may_be_sent_and_the_order_does_not_matter() -> None:
    """Clients send all kinds of bundles."""
    stray = authority("Stray", key=p256(8))
    assert ders(LOW_LEAF, MIDDLE, ROOT) == chain_of(
        built(peer(LOW_LEAF, ROOT, stray, MIDDLE, LOW_LEAF))
    )


def test_a_missing_intermediate_is_untrusted_and_named() -> None:
    """The log says whose certificate is missing."""
    outcome = failed(peer(LOW_LEAF))
    assert Reason.UNTRUSTED is outcome.reason
    assert "CN=Middle" in outcome.detail


def test_a_bundle_without_a_root_makes_its_certificates_anchors() -> None:
    """Then the chain ends there, and not at a root that nobody named."""
    outcome = built(peer(LOW_LEAF), client_ca(MIDDLE))
    assert ders(LOW_LEAF, MIDDLE) == chain_of(outcome)
    assert Reason.UNTRUSTED is failed(peer(LEAF, ROOT), client_ca(MIDDLE)).reason


def test_an_intermediate_beside_a_root_is_no_anchor() -> None:
    """Partial chains are for bundles without a root only, also beside such a bundle."""
    orphan = authority("Orphan", OTHER, key=p256(5))
    mixed = client_ca(ROOT, orphan, name="mixed")
    leaf = client("c", orphan, key=p256(1))
    assert Reason.UNTRUSTED is failed(peer(leaf), mixed, client_ca(MIDDLE, name="part")).reason
    assert Reason.UNTRUSTED is failed(peer(leaf, OTHER), mixed).reason


def test_a_chain_may_end_at_several_client_cas() -> None:
    """Each client CA has its own path; they are named in the host's order."""
    outcome = built(
        peer(LOW_LEAF, MIDDLE),
        client_ca(OTHER, name="other"),
        client_ca(MIDDLE, name="partial"),
        client_ca(ROOT, name="whole"),
        client_ca(ROOT, OTHER, name="both"),
    )
    assert ("partial", "whole", "both") == outcome.client_cas
    lengths = {path.client_ca: len(path.chain) for path in outcome.paths}
    assert {"partial": 2, "whole": 3, "both": 3} == lengths


def test_a_renewed_root_with_the_same_key_is_found_in_its_own_client_ca() -> None:
    """Two roots of one name and key in two client CAs: the chain ends at both."""
    renewed = authority("Root", key=p256(0), end=MOMENT + 99 * DAY)
    outcome = built(peer(LEAF), client_ca(ROOT, name="old"), client_ca(renewed, name="new"))
    assert ("old", "new") == outcome.client_cas


def test_names_in_another_encoding_or_case_find_their_ca() -> None:
    """RFC 5280 §7.1: OpenSSL's own tools rewrite names, and the names are still the same."""
    loud = authority("ROOT  ca", key=p256(6))
    quiet = Minted(authority("root CA", key=p256(6)).x509, p256(6))
    leaf = client("c", quiet, key=p256(1))
    assert ("ca",) == built(peer(leaf), client_ca(loud)).client_cas


def test_a_self_signed_client_certificate_may_be_its_own_anchor() -> None:
    """Small shops name it as the client CA itself."""
    alone = mint("device", key=p256(7))
    assert ders(alone) == chain_of(built(peer(alone), client_ca(alone)))


def test_a_leaf_named_as_an_anchor_verifies_alone() -> None:
    """A bundle without a root may hold a leaf."""
    assert ders(LEAF) == chain_of(built(peer(LEAF), client_ca(LEAF)))


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP224R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=lambda key: type(key).__name__,
)
def test_keys_that_are_strong_enough_pass(key: Any) -> None:
    """112 bits of strength and more."""
    assert isinstance(build(peer(client("c", ROOT, key=key))), Built)


def test_what_the_usual_small_ca_makes_is_accepted() -> None:
    """`openssl req -x509` writes no key usage, `openssl x509 -req` a leaf with no extensions."""
    plain = mint("plain", extensions=[(x509.BasicConstraints(True, None), False)], key=p256(9))
    leaf = mint("c", plain, key=p256(1))
    assert isinstance(build(peer(leaf), client_ca(plain)), Built)


def test_a_leaf_without_extended_key_usage_passes() -> None:
    """RFC 5280 §4.2.1.12: what is not stated is not restricted."""
    assert isinstance(build(peer(client("c", ROOT, key=p256(1), usages=()))), Built)


# -- what does not ----------------------------------------------------------------------------


def _other_client() -> PeerChain:
    return peer(client("c", OTHER, key=p256(1)))


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
    ("of another CA", _other_client(), Reason.UNTRUSTED, "CN=Other", 0),
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


# -- never a system trust store ---------------------------------------------------------------


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


# -- what is remembered -----------------------------------------------------------------------


def count_attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    tried: list[str] = []
    original = Authority.chain

    def chain(self: Authority, *arguments: Any) -> tuple[bytes, ...]:
        tried.append(self.name)
        return original(self, *arguments)

    monkeypatch.setattr(Authority, "chain", chain)
    return tried


def test_a_chain_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same certificates again are a look-up; others are not."""
    tried = count_attempts(monkeypatch)
    chain_builder = builder(client_ca(ROOT))
    first = chain_builder.build(peer(LEAF))
    assert first is chain_builder.build(peer(LEAF))
    assert ["ca"] == tried
    chain_builder.build(peer(LEAF, MIDDLE))
    assert ["ca", "ca"] == tried


def test_builders_of_the_same_client_cas_remember_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As those of a configuration and of the next; of others, nothing is remembered."""
    tried = count_attempts(monkeypatch)
    first = builder(client_ca(ROOT)).build(peer(LEAF))
    assert first is builder(client_ca(ROOT)).build(peer(LEAF))
    assert ["ca"] == tried
    for others in (
        [client_ca(ROOT, name="b")],
        [client_ca(ROOT, MIDDLE)],
        [client_ca(ROOT), client_ca(authority("Other", key=p256(2)), name="c")],
    ):
        assert first is not builder(*others).build(peer(LEAF))
    assert ["ca", "b", "ca", "ca"] == tried


def test_what_is_remembered_ends_when_its_first_certificate_does() -> None:
    """The clock is looked at every time."""
    now = Moving()
    chain_builder = builder(client_ca(ROOT), now=now)
    assert isinstance(chain_builder.build(peer(LEAF)), Built)
    now.now = LEAF.read.not_after + 1
    outcome = chain_builder.build(peer(LEAF))
    assert isinstance(outcome, Failed)
    assert Reason.EXPIRED is outcome.reason


def test_a_refusal_is_never_remembered() -> None:
    """What was too early is right later; and strangers fill no memory."""
    now = Moving()
    early = client("c", ROOT, key=p256(1), start=MOMENT + timedelta(minutes=1))
    chain_builder = builder(client_ca(ROOT), now=now)
    assert isinstance(chain_builder.build(peer(early)), Failed)
    assert 0 == len(chain_builder._built)
    now.now += 61
    assert isinstance(chain_builder.build(peer(early)), Built)


def test_only_the_client_cas_that_a_chain_mentions_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand client CAs cost a look-up."""
    tried = count_attempts(monkeypatch)
    many = [client_ca(authority(f"CA {n}", key=p256(2)), name=f"ca-{n}") for n in range(50)]
    leaf = client("c", authority("CA 7", key=p256(2)), key=p256(1))
    chain_builder = builder(*many)
    assert isinstance(chain_builder.build(peer(leaf)), Built)
    chain_builder.build(_other_client())
    assert ["ca-7"] == tried


def test_a_resumed_session_is_judged_with_the_intermediates_of_the_first() -> None:
    """The chain that was sent is gone then; without it the leaf would be a stranger."""
    chain_builder = builder(client_ca(ROOT))
    assert isinstance(chain_builder.build(peer(LOW_LEAF)), Failed)
    chain_builder.build(peer(LOW_LEAF, MIDDLE))
    outcome = chain_builder.build(peer(LOW_LEAF))
    assert isinstance(outcome, Built)
    assert ders(LOW_LEAF, MIDDLE, ROOT) == chain_of(outcome)
    assert isinstance(chain_builder.build(peer(client("x", MIDDLE, key=p256(1)))), Failed)


def test_remembered_intermediates_are_judged_again() -> None:
    """They help to build and prove nothing: an end in the chain is an end."""
    now = Moving()
    short = authority("Short", ROOT, key=p256(4), end=MOMENT + timedelta(hours=1))
    leaf = client("c", short, key=p256(1))
    chain_builder = builder(client_ca(ROOT), now=now)
    assert isinstance(chain_builder.build(peer(leaf, short)), Built)
    now.now += 3601
    outcome = chain_builder.build(peer(leaf))
    assert isinstance(outcome, Failed)
    assert (Reason.EXPIRED, 1) == (outcome.reason, outcome.depth)


def test_both_memories_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By count, for all hosts together, and what is long is not kept at all."""
    for name in ("_built", "_intermediates"):
        monkeypatch.setattr(chains, name, BoundedCache(3))
    for number in range(6):
        chain_builder = builder(client_ca(ROOT, name=f"ca-{number % 2}"))
        leaf = client(f"c{number}", MIDDLE, key=p256(1))
        assert isinstance(chain_builder.build(peer(leaf, MIDDLE)), Built)
    assert (3, 3) == (len(chain_builder._built), len(chain_builder._intermediates))
    padding = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), bytes(17_000)), False)
    long = mint("long", ROOT, key=p256(1), extensions=[padding])
    before = list(chain_builder._built._entries)
    assert isinstance(chain_builder.build(peer(long)), Built)
    assert before == list(chain_builder._built._entries)


# -- client CAs -------------------------------------------------------------------------------


def test_a_client_ca_is_made_once_for_all_hosts_and_goes_with_the_last() -> None:
    """Ten thousand hosts share one store and one set of revoked serials."""
    ca = client_ca(authority("Shared", key=p256(2)))
    first = shared_authority(ca)
    assert first is shared_authority(client_ca_copy(ca))
    assert first is shared_authority(replace(ca, hosts=("x.example.com",), verifiers=("chain",)))
    assert first is not shared_authority(replace(ca, crl_policy="warn"))
    del first
    assert replace(ca, hosts=()) not in authorities._shared


def client_ca_copy(ca: ClientCA) -> ClientCA:
    return ClientCA(ca.name, bytes(bytearray(ca.certificates)), ca.hosts, ca.place)


def test_a_bundle_that_cannot_be_read_is_named() -> None:
    """The configuration's author needs the client CA and the file."""
    with pytest.raises(BadCertificate, match=r"client CA 'x' \(x\.pem\): there is no certificate"):
        Authority(ClientCA("x", b"", ("a.example",), place="x.pem"))


def _self_issued(signer: Any) -> Minted:
    """A certificate that names itself as its issuer; whether it is, the key decides."""
    issuer = Minted(authority("Self", key=p256(4)).x509, signer)
    return client("Self", issuer, key=p256(5))


def test_self_signed_is_what_its_own_key_signed() -> None:
    """Not what merely has one name twice, as key rollovers do."""
    assert is_self_signed(ROOT.read)
    assert not is_self_signed(MIDDLE.read)
    assert is_self_signed(_self_issued(p256(5)).read)
    assert not is_self_signed(_self_issued(p256(4)).read)


def test_several_common_names_verify_and_name_nobody() -> None:
    """The chain is good; the name is not one (invariant 8)."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in ("a", "b")])
    outcome = built(peer(client(subject, ROOT, key=p256(1))))
    assert "" == outcome.chain[0].common_name


def test_every_usage_of_a_client_passes() -> None:
    """Client authentication among others is client authentication."""
    usages: Sequence[x509.ObjectIdentifier] = (*SERVER, *CLIENT)
    assert isinstance(build(peer(client("c", ROOT, key=p256(1), usages=usages))), Built)


def test_a_remembered_chain_is_not_valid_before_its_time() -> None:
    """A clock that was ahead and is put right leaves nobody admitted early."""
    now = Moving()
    now.now += 120
    early = client("c", ROOT, key=p256(1), start=MOMENT + timedelta(minutes=1))
    chain_builder = builder(client_ca(ROOT), now=now)
    assert isinstance(chain_builder.build(peer(early)), Built)
    now.now -= 120
    outcome = chain_builder.build(peer(early))
    assert isinstance(outcome, Failed)
    assert Reason.NOT_YET_VALID is outcome.reason
