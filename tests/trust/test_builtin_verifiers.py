"""What ``chain``, ``san`` and ``pin`` accept, and what looks like it and is not."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from ipaddress import ip_address

import pytest
from cryptography import x509
from trust_pki import authority, client, p256, peer

from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.trust.chain_verifier import ChainFactory
from mtlsedge.trust.pin_verifier import PinFactory
from mtlsedge.trust.san_verifier import SanFactory

ROOT = authority("Root", key=p256(0))


def presented(*names: x509.GeneralName) -> PeerChain:
    return peer(client("c", ROOT, key=p256(1), names=names))


def san(spec: str, *names: x509.GeneralName) -> bool:
    return SanFactory().makeVerifier(spec).verify(presented(*names), "a.example").accepted


def test_chain_accepts_what_verified_and_nothing_else() -> None:
    """It adds nothing and takes nothing away."""
    verifier = ChainFactory().makeVerifier("")
    stranger = presented()
    assert False is verifier.verify(stranger, "a.example").accepted
    known = replace(stranger, verified=(stranger.leaf, ROOT.read))
    assert verifier.verify(known, "a.example").accepted


@pytest.mark.parametrize(
    ("spec", "name", "accepted"),
    [
        ("dns=device.example.com", "device.example.com", True),
        ("dns=Device.Example.COM.", "dEVICE.example.com", True),
        ("dns=*.example.com", "a.example.com", True),
        ("dns=*.example.com", "example.com", False),
        ("dns=*.example.com", "a.b.example.com", False),
        ("dns=*.example.com", "*.example.com", False),
        ("dns=device.example.com", "*.example.com", False),
        ("dns=bücher.example", "xn--bcher-kva.example", True),
        ("dns=example.com", "evil-example.com", False),
        ("dns=example.com", "example.com.evil", False),
        ("dns=*.example.com", "evil_ example.com", False),
    ],
)
def test_dns_names(spec: str, name: str, accepted: bool) -> None:
    """The certificate's name is a name, never a pattern; a '*' is one label of it."""
    assert accepted == san(spec, x509.DNSName(name))


@pytest.mark.parametrize(
    ("spec", "name", "accepted"),
    [
        ("uri=spiffe://example.org/*", "spiffe://example.org/web", True),
        ("uri=spiffe://example.org/*", "spiffe://example.org/ns/prod/sa/web", True),
        ("uri=spiffe://example.org/*", "SPIFFE://Example.ORG/web", True),
        ("uri=spiffe://example.org/*", "spiffe://example.org/", False),
        ("uri=spiffe://example.org/*", "spiffe://example.org", False),
        ("uri=spiffe://example.org/*", "spiffe://example.org.evil/web", False),
        ("uri=spiffe://example.org/*", "spiffe://evil@example.org/web", False),
        ("uri=spiffe://example.org/*", "spiffe://example.org:80/web", False),
        ("uri=spiffe://example.org/*", "https://example.org/web", False),
        ("uri=spiffe://example.org/ns/*/sa/web", "spiffe://example.org/ns/prod/sa/web", True),
        ("uri=spiffe://example.org/ns/*/sa/web", "spiffe://example.org/ns//sa/web", False),
        ("uri=spiffe://example.org/ns/*/sa/web", "spiffe://example.org/ns/a/b/sa/web", False),
        ("uri=spiffe://example.org/ns/*/sa/web", "spiffe://example.org/ns/a/sa/web/x", False),
        ("uri=spiffe://example.org/ns/*", "spiffe://example.org/ns/../admin", False),
        ("uri=spiffe://example.org/ns/*", "spiffe://example.org/ns/./x", False),
        ("uri=spiffe://example.org/ns/*", "spiffe://example.org/ns/%2e%2e/x", False),
        ("uri=spiffe://example.org/ns/*", "spiffe://example.org/ns/a?b", False),
        ("uri=spiffe://example.org/ns/*", "spiffe://example.org/ns/a#b", False),
        ("uri=spiffe://example.org/ns/*", "spiffe://example.org/ns/a\\b", False),
        ("uri=spiffe://example.org/Ns/*", "spiffe://example.org/ns/a", False),
        ("uri=https://*.example.org:8443/*", "https://a.example.org:8443/x", True),
        ("uri=https://*.example.org/*", "https://a.b.example.org/x", False),
        ("uri=https://[2001:db8::1]/*", "https://[2001:db8:0::1]/x", True),
        ("uri=https://[2001:db8::1]/*", "https://[2001:db8::2]/x", False),
        ("uri=urn:uuid:1", "urn:uuid:1", True),
        ("uri=urn:uuid:1", "urn:uuid:12", False),
        ("uri=https://a.example/x%20y?z", "https://a.example/x%20y?z", True),
    ],
)
def test_uris(spec: str, name: str, accepted: bool) -> None:
    """A path segment is what stands between two slashes; odd spellings match nothing."""
    assert accepted == san(spec, x509.UniformResourceIdentifier(name))


@pytest.mark.parametrize(
    ("spec", "name", "accepted"),
    [
        ("spiffe=example.org", "spiffe://example.org/web", True),
        ("spiffe=example.org", "spiffe://example.org/ns/prod/sa/web", True),
        ("spiffe=example.org", "spiffe://example.org", True),
        ("spiffe=example.org", "spiffe://example.org.evil/web", False),
        ("spiffe=example.org", "spiffe://sub.example.org/web", False),
        ("spiffe=example.org", "https://example.org/web", False),
        ("spiffe=example.org", "SPIFFE://example.org/web", False),
        ("spiffe=example.org", "spiffe://Example.org/web", False),
        ("spiffe=example.org", "spiffe://example.org:80/web", False),
        ("spiffe=example.org", "spiffe://a@example.org/web", False),
        ("spiffe=example.org", "spiffe://example.org/", False),
        ("spiffe=example.org", "spiffe://example.org//web", False),
        ("spiffe=example.org", "spiffe://example.org/a/../b", False),
        ("spiffe=example.org", "spiffe://example.org/a%2fb", False),
        ("spiffe=example.org", "spiffe://example.org/a?b", False),
        ("spiffe=example.org", "spiffe://example.org/" + "a" * 2048, False),
        ("spiffe=example.org/ns/web", "spiffe://example.org/ns/web", True),
        ("spiffe=example.org/ns/web", "spiffe://example.org/ns/web/x", False),
        ("spiffe=example.org/ns/web", "spiffe://example.org/ns/Web", False),
        ("spiffe=example.org/ns/*/sa/web", "spiffe://example.org/ns/prod/sa/web", True),
        ("spiffe=example.org/ns/*", "spiffe://example.org/ns/a/b", True),
        ("spiffe=example.org/ns/*", "spiffe://example.org/ns", False),
    ],
)
def test_spiffe_ids(spec: str, name: str, accepted: bool) -> None:
    """SPIFFE-ID §2: nothing but a trust domain and plain path segments."""
    assert accepted == san(spec, x509.UniformResourceIdentifier(name))


def test_an_svid_has_one_uri() -> None:
    """X509-SVID §2: with two, nobody knows which of them it is."""
    names = [x509.UniformResourceIdentifier(f"spiffe://example.org/{n}") for n in "ab"]
    assert san("spiffe=example.org", names[0])
    assert not san("spiffe=example.org", *names)


@pytest.mark.parametrize(
    ("spec", "name", "accepted"),
    [
        ("email=james@example.com", "james@EXAMPLE.com", True),
        ("email=james@example.com", "James@example.com", False),
        ("email=*@example.com", "anyone@example.com", True),
        ("email=*@example.com", "anyone@sub.example.com", False),
        ("email=*@example.com", "a@evil.example@example.com", False),
        ("email=*@example.com", "example.com", False),
        ("email=*@example.com", "@example.com", False),
    ],
)
def test_mailboxes(spec: str, name: str, accepted: bool) -> None:
    """RFC 5280 §7.5: the domain without case, the rest with it."""
    assert accepted == san(spec, x509.RFC822Name._init_without_validation(name))


@pytest.mark.parametrize(
    ("spec", "name", "accepted"),
    [
        ("ip=192.0.2.1", "192.0.2.1", True),
        ("ip=192.0.2.0/24", "192.0.2.200", True),
        ("ip=192.0.2.0/24", "192.0.3.1", False),
        ("ip=2001:db8::/32", "2001:db8::1", True),
        ("ip=0.0.0.0/0", "2001:db8::1", False),
        ("ip=192.0.2.1", "::ffff:192.0.2.1", False),
    ],
)
def test_addresses(spec: str, name: str, accepted: bool) -> None:
    """An address is in a network of its own family."""
    assert accepted == san(spec, x509.IPAddress(ip_address(name)))


def test_any_name_of_any_kind_is_enough() -> None:
    """Keys repeat, kinds mix, and a kind is compared with its own."""
    spec = "dns=a.example, dns=b.example,ip=192.0.2.1"
    assert san(spec, x509.DNSName("b.example"))
    assert san(spec, x509.DNSName("x.example"), x509.IPAddress(ip_address("192.0.2.1")))
    assert not san(spec, x509.UniformResourceIdentifier("a.example"))
    assert not san(spec)


def test_a_comma_in_a_value_is_escaped() -> None:
    """As in Twisted's own strings."""
    spec = r"uri=https://a.example/x\,dns=y,dns=z.example"
    assert san(spec, x509.UniformResourceIdentifier("https://a.example/x,dns=y"))
    assert san(spec, x509.DNSName("z.example"))
    assert not san(spec, x509.DNSName("y"))


def test_a_common_name_is_no_alternative_name() -> None:
    """Not even where there is none of those."""
    named = peer(client("device.example.com", ROOT, key=p256(1)))
    verdict = SanFactory().makeVerifier("dns=device.example.com").verify(named, "a.example")
    assert not verdict.accepted
    assert verdict.reason


def pinned(spec: str, chain: PeerChain) -> Verdict:
    return PinFactory().makeVerifier(spec).verify(chain, "a.example")


def test_pins_of_certificates_and_keys() -> None:
    """In every notation people have at hand; any of several is enough."""
    chain = presented()
    leaf = chain.leaf
    colons = ":".join(leaf.fingerprint_sha256[at : at + 2] for at in range(0, 64, 2)).upper()
    encoded = b64encode(bytes.fromhex(leaf.spki_sha256)).decode()
    other = "00" * 32
    for spec in (
        f"sha256={leaf.fingerprint_sha256}",
        f"sha256={colons}",
        f"spki={leaf.spki_sha256}",
        f"spki={encoded}",
        f"sha256={other},sha256={leaf.fingerprint_sha256}",
        f"sha256={other},spki={encoded}",
    ):
        assert pinned(spec, chain).accepted, spec


def test_a_pin_of_another_kind_or_certificate_is_none() -> None:
    """The renewed certificate has the key's pin and not the certificate's; the CA has neither."""
    chain = presented()
    renewed = presented()
    assert chain.leaf.fingerprint_sha256 != renewed.leaf.fingerprint_sha256
    assert pinned(f"spki={chain.leaf.spki_sha256}", renewed).accepted
    refused = pinned(f"sha256={chain.leaf.fingerprint_sha256}", renewed)
    assert not refused.accepted
    assert renewed.leaf.fingerprint_sha256 in refused.reason
    assert not pinned(f"spki={chain.leaf.fingerprint_sha256}", chain).accepted
    below = replace(chain, verified=(chain.leaf, ROOT.read))
    assert not pinned(f"sha256={ROOT.read.fingerprint_sha256}", below).accepted
