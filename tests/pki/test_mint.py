"""What the mint makes is what OpenSSL takes, and keys stay with their owner."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mtlsedge.pki.files import write_authority, write_issued
from mtlsedge.pki.mint import SERVER, Authority, Issued, KeyType
from support.certs import authority_below
from support.needs import needs


def openssl_verify(tmp_path: Path, root: Authority, issued: Issued, *options: str) -> str:
    """What ``openssl verify`` says of a leaf and its intermediates."""
    needs("openssl")
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "chain.pem").write_bytes(issued.certificate)
    command = ["openssl", "verify", "-x509_strict", "-CAfile", "root.pem"]
    command += ["-untrusted", "chain.pem", *options, "chain.pem"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "rsa-2048", "ed25519"])
def test_openssl_verifies_a_client_of_every_key_type(tmp_path: Path, key_type: KeyType) -> None:
    """A root and a client of the same kind pass strict verification for client use."""
    root = Authority.make_root("Mint Root", key_type)
    issued = root.issue_client("device-1", key_type=key_type)
    assert "chain.pem: OK\n" == openssl_verify(tmp_path, root, issued, "-purpose", "sslclient")


def test_a_server_certificate_is_not_good_for_a_client(tmp_path: Path) -> None:
    """The extended key usage says what it is for."""
    root = Authority.make_root("Mint Root")
    issued = root.issue_server(["iot.example.com"])
    assert "OK" in openssl_verify(tmp_path, root, issued, "-purpose", "sslserver")
    assert "OK" not in openssl_verify(tmp_path, root, issued, "-purpose", "sslclient")


def test_a_leaf_of_an_intermediate_carries_every_link_but_the_root(tmp_path: Path) -> None:
    """What a peer must send is in the PEM, in order."""
    root = Authority.make_root("Mint Root")
    lower = authority_below(authority_below(root, "Upper"), "Lower", path_length=0)
    issued = lower.issue_client("device-1")
    subjects = [
        each.subject.rfc4514_string()
        for each in x509.load_pem_x509_certificates(issued.certificate)
    ]
    assert ["CN=device-1", "CN=Lower", "CN=Upper"] == subjects
    assert "chain.pem: OK\n" == openssl_verify(tmp_path, root, issued)


def test_hosts_become_alternative_names_of_the_kind_they_look_like() -> None:
    """One list of hosts, as cfssl has it."""
    hosts = ["iot.example.com", "192.0.2.7", "::1", "spiffe://example.org/a", "a@example.org"]
    leaf = Authority.make_root("Mint Root").issue_server(hosts).x509
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    kinds = [type(name).__name__ for name in names]
    expected = ["DNSName", "IPAddress", "IPAddress", "UniformResourceIdentifier", "RFC822Name"]
    assert expected == kinds


def test_a_whole_distinguished_name_a_serial_and_times_can_be_chosen() -> None:
    """Tests need certificates that no honest issuer would make."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "one"),
            x509.NameAttribute(NameOID.COMMON_NAME, "two"),
        ]
    )
    then = datetime(2020, 1, 1, tzinfo=UTC)
    issued = Authority.make_root("Mint Root").issue(
        name, serial=0xBEEF, not_before=then, lifetime=timedelta(days=1), ekus=SERVER
    )
    assert name == issued.x509.subject
    assert 0xBEEF == issued.x509.serial_number
    assert datetime(2020, 1, 2, tzinfo=UTC) == issued.x509.not_valid_after_utc
    usage = issued.x509.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [ExtendedKeyUsageOID.SERVER_AUTH] == list(usage)


def test_openssl_takes_our_crl_and_sees_who_is_revoked(tmp_path: Path) -> None:
    """One client is on the list and one is not."""
    root = Authority.make_root("Mint Root")
    good, bad = root.issue_client("good"), root.issue_client("bad")
    (tmp_path / "ca.crl").write_bytes(root.crl([bad.x509.serial_number]))
    options = ["-crl_check", "-CRLfile", "ca.crl"]
    assert "chain.pem: OK\n" == openssl_verify(tmp_path, root, good, *options)
    assert "certificate revoked" in openssl_verify(tmp_path, root, bad, *options)


def test_an_authority_is_read_back_with_what_stands_above_it(tmp_path: Path) -> None:
    """ca.pem and ca-key.pem are enough to go on issuing."""
    root = Authority.make_root("Mint Root")
    middle = authority_below(root, "Middle")
    again = Authority.load(middle.pem, middle.key_pem)
    assert "OK" in openssl_verify(tmp_path, root, again.issue_client("device-1"))


def test_a_key_that_is_not_the_certificates_is_refused() -> None:
    """A mix-up shows here, not as a client nobody trusts."""
    one, other = Authority.make_root("One"), Authority.make_root("Other")
    with pytest.raises(ValueError, match="not the certificate's"):
        Authority.load(one.pem, other.key_pem)


def test_keys_are_for_their_owner_only_and_never_overwritten(tmp_path: Path) -> None:
    """A second run cannot destroy the only copy of a CA key."""
    root = Authority.make_root("Mint Root")
    write_authority(tmp_path, "ca", root)
    write_issued(tmp_path, "client", root.issue_client("device-1"))
    assert 0o600 == (tmp_path / "ca-key.pem").stat().st_mode & 0o777
    assert 0o600 == (tmp_path / "client-key.pem").stat().st_mode & 0o777
    with pytest.raises(FileExistsError, match="--force"):
        write_authority(tmp_path, "ca", Authority.make_root("Usurper"))
    assert root.pem == (tmp_path / "ca.pem").read_bytes()
    assert root.key_pem == (tmp_path / "ca-key.pem").read_bytes()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert ["ca-key.pem", "ca.pem", "client-key.pem", "client.pem"] == names


def test_force_overwrites(tmp_path: Path) -> None:
    """The operator's word is enough."""
    write_authority(tmp_path, "ca", Authority.make_root("One"))
    other = Authority.make_root("Other")
    write_authority(tmp_path, "ca", other, force=True)
    assert other.pem == (tmp_path / "ca.pem").read_bytes()
