"""What is signed is what RFC 5280 and the profile say, and OpenSSL agrees."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from pki_making import CA_CSR, CLIENT_CSR, Pki, openssl, write

from support.how_to import CA_CONFIG


def verify(purpose: str, leaf: str, *more: str) -> str:
    """What ``openssl verify`` says of a leaf under ca.pem, strictly."""
    strict = ["-x509_strict", "-purpose", purpose, "-CAfile", "ca.pem"]
    return openssl("verify", *strict, *more, leaf)


def load(path: str) -> x509.Certificate:
    """A certificate's file."""
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.Extension:
    """One of its extensions."""
    return certificate.extensions.get_extension_for_class(kind)


KEYS = [
    {"algo": "ecdsa", "size": 256},
    {"algo": "ecdsa", "size": 384},
    {"algo": "ecdsa", "size": 521},
    {"algo": "rsa", "size": 2048},
    {"algo": "ed25519"},
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key["algo"] + str(key.get("size", "")))
def test_openssl_verifies_every_kind_of_key(room: Path, pki: Pki, key: dict[str, object]) -> None:
    """Strictly, for its purpose and no other, with a CRL of every CA."""
    write(room / "ca-csr.json", {**CA_CSR, "key": key})
    write(room / "client-csr.json", {**CLIENT_CSR, "key": key})
    pki("init", "ca-csr.json")
    pki("issue", "--config", "ca-config.json", "--profile", "client", "client-csr.json")
    pki("gencrl")
    good = ["-crl_check_all", "-CRLfile", "ca.crl"]
    assert "client.pem: OK\n" == verify("sslclient", "client.pem", *good)
    assert "OK" not in verify("sslserver", "client.pem")
    pki("revoke", "client.pem")
    pki("gencrl")
    assert "certificate revoked" in verify("sslclient", "client.pem", *good)
    assert "verify OK" in openssl("req", "-in", "client.csr", "-noout", "-verify")
    assert "verify OK" in openssl("req", "-in", "ca.csr", "-noout", "-verify")


def test_a_client_is_what_the_profile_says(room: Path, pki: Pki) -> None:
    """Version 3, a long random serial, critical where it must be, and no more than asked."""
    pki("init", "ca-csr.json")
    pki("issue", "--config", "ca-config.json", "--profile", "client", "client-csr.json")
    leaf, ca = load("client.pem"), load("ca.pem")
    assert x509.Version.v3 is leaf.version
    assert 64 < leaf.serial_number.bit_length() < 160
    basic, usage = extension(leaf, x509.BasicConstraints), extension(leaf, x509.KeyUsage)
    assert (True, False, True) == (basic.critical, basic.value.ca, usage.critical)
    # An elliptic curve key enciphers nothing (RFC 8813 §3), whatever the profile says.
    assert (True, False) == (usage.value.digital_signature, usage.value.key_encipherment)
    (eku,) = extension(leaf, x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.CLIENT_AUTH == eku
    own = extension(ca, x509.SubjectKeyIdentifier).value.digest
    assert own == extension(leaf, x509.AuthorityKeyIdentifier).value.key_identifier
    assert timedelta(hours=8760) == leaf.not_valid_after_utc - leaf.not_valid_before_utc
    with pytest.raises(x509.ExtensionNotFound):
        extension(leaf, x509.SubjectAlternativeName)


def test_an_rsa_key_may_encipher(room: Path, pki: Pki) -> None:
    """Where the profile says so."""
    write(room / "client-csr.json", {**CLIENT_CSR, "key": {"algo": "rsa", "size": 2048}})
    pki("init", "ca-csr.json")
    pki("issue", "--config", "ca-config.json", "--profile", "client", "client-csr.json")
    assert extension(load("client.pem"), x509.KeyUsage).value.key_encipherment


def test_serials_are_never_the_same(room: Path, pki: Pki) -> None:
    """Each certificate has one of its own."""
    pki("init", "ca-csr.json")
    for number in range(5):
        pki("issue", "-o", f"c{number}", "client-csr.json")
    assert 5 == len({load(f"c{number}.pem").serial_number for number in range(5)})


def test_a_server_certificate_with_names_of_the_command_line(room: Path, pki: Pki) -> None:
    """The built-in profile, and cfssl's -hostname with one dash."""
    pki("init", "ca-csr.json")
    names = "-hostname=iot.example.com,192.0.2.7"
    pki("issue", "--profile", "server", names, "client-csr.json", "-o", "server")
    assert "server.pem: OK\n" == verify(
        "sslserver", "server.pem", "-verify_hostname", "iot.example.com"
    )
    assert "OK" not in verify("sslclient", "server.pem")


def test_without_a_subject_the_names_are_critical(room: Path, pki: Pki) -> None:
    """RFC 5280 §4.2.1.6."""
    write(room / "client-csr.json", {"hosts": ["device-1.example.com"]})
    pki("init", "ca-csr.json")
    pki("issue", "client-csr.json")
    assert extension(load("client.pem"), x509.SubjectAlternativeName).critical
    assert "client.pem: OK\n" == verify("sslclient", "client.pem")


def test_the_profiles_addresses_and_policies_come_in(room: Path, pki: Pki) -> None:
    """Where CRLs and OCSP are, for those who look."""
    profile = {
        "usages": ["client auth"],
        "expiry": "1h",
        "backdate": "30m",
        "crl_url": "http://ca.example.com/ca.crl",
        "ocsp_url": "http://ca.example.com/ocsp",
        "issuer_urls": ["http://ca.example.com/ca.pem"],
        "policies": ["1.3.6.1.4.1.99999.1"],
        "ocsp_no_check": True,
    }
    write(room / "ca-config.json", {"signing": {"default": profile}})
    pki("init", "ca-csr.json")
    pki("issue", "--config", "ca-config.json", "client-csr.json")
    text = openssl("x509", "-in", "client.pem", "-noout", "-text")
    for part in ("ca.crl", "ocsp", "ca.pem", "1.3.6.1.4.1.99999.1", "OCSP No Check"):
        assert part in text
    assert "Key Usage: critical" not in text  # none was asked for
    assert "client.pem: OK\n" == verify("sslclient", "client.pem")


def test_a_name_that_the_profile_does_not_let_in_is_refused(room: Path, pki: Pki) -> None:
    """``name_whitelist`` is not passed over."""
    profile = {"usages": ["client auth"], "name_whitelist": "^James|\\.example\\.com$"}
    write(room / "ca-config.json", {"signing": {"profiles": {"p": profile}}})
    pki("init", "ca-csr.json")
    asked = ["issue", "--config", "ca-config.json", "--profile", "p", "client-csr.json"]
    assert "does not match" in pki(*asked, "--hostname", "example.org", status=1).err
    pki(*asked, "--hostname", "a.example.com")


def test_a_name_with_a_line_s_end_is_signed_for_nobody(room: Path, pki: Pki) -> None:
    """A whitelist's ``$`` is also true before one; and a list of names would be longer by one."""
    profile = {"usages": ["client auth"], "name_whitelist": "^[a-z.]+$"}
    write(room / "ca-config.json", {"signing": {"profiles": {"p": profile}}})
    pki("init", "ca-csr.json")
    key = ec.generate_private_key(ec.SECP256R1())
    for name in ("a.example.com\n", "a.example.com\x1b", "a.example.com\u2028"):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject)
        signed = request.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
        (room / "a.csr").write_bytes(signed)
        for profiled in ([], ["--config", "ca-config.json", "--profile", "p"]):
            said = pki("sign", *profiled, "a.csr", status=1).err
            assert "has a line's end" in said or "does not match" in said
    assert not (room / "a.pem").exists()


def test_a_certificate_does_not_outlive_its_ca(room: Path, pki: Pki) -> None:
    """It ends with it, and that is said."""
    write(room / "ca-csr.json", {**CA_CSR, "ca": {"expiry": "48h"}})
    pki("init", "ca-csr.json")
    assert "it is time for a new CA" in pki("issue", "client-csr.json").err
    assert load("ca.pem").not_valid_after_utc == load("client.pem").not_valid_after_utc


def test_after_2049_times_are_written_in_full(room: Path, pki: Pki) -> None:
    """RFC 5280 §4.1.2.5: UTCTime before, GeneralizedTime from then on."""
    write(room / "ca-csr.json", {**CA_CSR, "ca": {"expiry": "300000h"}})
    pki("init", "ca-csr.json")
    dump = openssl("asn1parse", "-in", "ca.pem")
    assert (1, 1) == (dump.count("UTCTIME"), dump.count("GENERALIZEDTIME"))


def test_an_intermediate_and_what_it_signs(room: Path, pki: Pki) -> None:
    """Chain and bundle are what clients and the edge take; the root says how deep it goes."""
    pki("init", "ca-csr.json")
    write(room / "sub-csr.json", {"CN": "Sub CA", "ca": {"expiry": "900h", "pathlen": 1}})
    pki("intermediate", "sub-csr.json")
    write(room / "low-csr.json", {"CN": "Low CA"})
    pki("intermediate", "--ca", "sub.pem", "low-csr.json")
    pki("issue", "--ca", "low.pem", "client-csr.json")
    subjects = [
        [each.subject.rfc4514_string()[:10] for each in x509.load_pem_x509_certificates(data)]
        for data in (
            Path(name).read_bytes() for name in ("client.pem", "client-chain.pem", "low-bundle.pem")
        )
    ]
    assert [
        ["CN=James R"],
        ["CN=James R", "CN=Low CA", "CN=Sub CA"],
        ["CN=Low CA", "CN=Sub CA", "CN=Access "],
    ] == subjects
    chain = ["-untrusted", "client-chain.pem"]
    assert "client.pem: OK\n" == verify("sslclient", "client.pem", *chain)
    lengths = [extension(load(f"{n}.pem"), x509.BasicConstraints).value for n in ("sub", "low")]
    assert [(True, 1), (True, 0)] == [(each.ca, each.path_length) for each in lengths]
    write(room / "deep-csr.json", {"CN": "Too deep"})
    refused = pki("intermediate", "--ca", "low.pem", "deep-csr.json", status=1)
    assert "may have no CA below it" in refused.err
    assert not (room / "deep.pem").exists()


def test_an_intermediate_by_a_profile(room: Path, pki: Pki) -> None:
    """``ca_constraint`` decides, and only a CA's profile makes CAs."""
    config = json.loads(json.dumps(CA_CONFIG))
    config["signing"]["profiles"]["sub"] = {
        "usages": ["cert sign", "crl sign"],
        "ca_constraint": {"is_ca": True, "max_path_len": 0, "max_path_len_zero": True},
    }
    write(room / "ca-config.json", config)
    write(room / "sub-csr.json", {"CN": "Sub CA", "ca": {"pathlen": 7}})
    pki("init", "ca-csr.json")
    by = ["--config", "ca-config.json", "--profile"]
    pki("intermediate", *by, "sub", "sub-csr.json")
    assert 0 == extension(load("sub.pem"), x509.BasicConstraints).value.path_length
    assert "makes no CAs" in pki("intermediate", *by, "client", "sub-csr.json", status=1).err
    assert "makes CAs" in pki("issue", *by, "sub", "client-csr.json", status=1).err


def make_request(*extensions: str, subject: str = "/CN=device-7") -> None:
    """device.csr, made by OpenSSL."""
    more = [part for each in extensions for part in ("-addext", each)]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k.pem"]
    made = openssl("req", "-new", *key, "-subj", subject, *more, "-out", "device.csr")
    assert Path("device.csr").exists(), made


def test_a_request_made_elsewhere_gets_what_the_profile_says_and_no_more(
    room: Path, pki: Pki
) -> None:
    """It asks to be a CA, for servers; it becomes a client."""
    make_request(
        "basicConstraints=critical,CA:TRUE",
        "keyUsage=critical,keyCertSign",
        "extendedKeyUsage=serverAuth",
        "subjectAltName=DNS:device-7.example.com,URI:spiffe://example.org/7",
    )
    pki("init", "ca-csr.json")
    said = pki("sign", "--config", "ca-config.json", "--profile", "client", "device.csr").err
    assert 3 == said.count("is not taken: the profile decides")
    leaf = load("device.pem")
    assert not extension(leaf, x509.BasicConstraints).value.ca
    assert not extension(leaf, x509.KeyUsage).value.key_cert_sign
    assert [ExtendedKeyUsageOID.CLIENT_AUTH] == list(extension(leaf, x509.ExtendedKeyUsage).value)
    assert 2 == len(extension(leaf, x509.SubjectAlternativeName).value)
    assert "device.pem: OK\n" == verify("sslclient", "device.pem")


def test_what_a_profile_does_not_take_of_a_request_stays_out(room: Path, pki: Pki) -> None:
    """``csr_whitelist``; and the operator's own subject and names instead."""
    profile = {"usages": ["client auth"], "csr_whitelist": {"dns_names": True}}
    write(room / "ca-config.json", {"signing": {"profiles": {"p": profile}}})
    write(room / "subject.json", {"CN": "mine"})
    make_request("subjectAltName=DNS:a.example.com,URI:spiffe://example.org/7")
    pki("init", "ca-csr.json")
    by = ["--config", "ca-config.json", "--profile", "p", "device.csr"]
    said = pki("sign", *by, "--subject", "subject.json").err
    assert "UniformResourceIdentifier spiffe://example.org/7 is not taken" in said
    assert "CN=mine" == load("device.pem").subject.rfc4514_string()
    (name,) = extension(load("device.pem"), x509.SubjectAlternativeName).value
    assert x509.DNSName("a.example.com") == name
    pki("sign", *by, "--hostname", "b.example.com", "-o", "other")
    other = load("other.pem")
    assert ("", [x509.DNSName("b.example.com")]) == (
        other.subject.rfc4514_string(),
        list(extension(other, x509.SubjectAlternativeName).value),
    )


def test_a_request_that_was_changed_is_refused(room: Path, pki: Pki) -> None:
    """Its own signature says so."""
    make_request()
    pki("init", "ca-csr.json")
    request = x509.load_pem_x509_csr((room / "device.csr").read_bytes())
    changed = request.public_bytes(Encoding.DER).replace(b"device-7", b"device-8")
    (room / "device.csr").write_bytes(changed)
    assert "signature is not by the key in it" in pki("sign", "device.csr", status=1).err
    assert not (room / "device.pem").exists()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (["rsa:1024"], "1024 bits is too weak"),
        (["ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"], "curve secp256k1 is not used"),
        (["ed448"], "kind of key is not used"),
    ],
)
def test_a_weak_or_strange_key_is_refused(room: Path, pki: Pki, kind: list[str], said: str) -> None:
    """However its request was signed."""
    key = ["-newkey", *kind, "-nodes", "-keyout", "k.pem"]
    openssl("req", "-new", *key, "-subj", "/CN=x", "-out", "device.csr")
    pki("init", "ca-csr.json")
    assert said in pki("sign", "device.csr", status=1).err


@pytest.mark.parametrize("subject", ["/CN=a/CN=b", "/O=x/CN=a/CN=a"])
def test_several_common_names_are_refused(room: Path, pki: Pki, subject: str) -> None:
    """At the edge they would match nothing."""
    make_request(subject=subject)
    pki("init", "ca-csr.json")
    assert "several common names" in pki("sign", "device.csr", status=1).err


def test_what_is_no_ca_signs_nothing(room: Path, pki: Pki) -> None:
    """A leaf, a key of another, a CA whose time is over or still to come."""
    pki("init", "ca-csr.json")
    pki("issue", "client-csr.json")
    asked = ["issue", "-o", "x", "client-csr.json"]
    assert "is no CA" in pki(*asked, "--ca", "client.pem", status=1).err
    mixed = pki(*asked, "--ca-key", "client-key.pem", status=1).err
    assert "client-key.pem is not the key of ca.pem" in mixed
    write(room / "old-csr.json", {"CN": "Old", "ca": {"expiry": "1h", "backdate": "2h"}})
    pki("init", "old-csr.json")
    assert "nothing that it signs is trusted" in pki(*asked, "--ca", "old.pem", status=1).err
    assert "cannot read nowhere.pem" in pki(*asked, "--ca", "nowhere.pem", status=1).err
    assert not (room / "x.pem").exists()
