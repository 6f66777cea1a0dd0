"""PKCS #12: what browsers, phones and OpenSSL open, with the CA in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12
from pki_making import Pki, openssl, write

from support.needs import needs


@pytest.fixture
def client(room: Path, pki: Pki) -> Path:
    """client.pem and client-key.pem, of an intermediate; and a password."""
    pki("init", "ca-csr.json")
    write(room / "sub-csr.json", {"CN": "Sub CA"})
    pki("intermediate", "sub-csr.json")
    pki("issue", "--ca", "sub.pem", "client-csr.json")
    (room / "password").write_text("correct horse\n")
    return room / "client.pem"


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ([], ["MAC: sha256", "PBES2, PBKDF2, AES-256-CBC"]),
        (["--legacy"], ["MAC: sha1", "pbeWithSHA1And3-KeyTripleDES-CBC"]),
    ],
)
def test_openssl_and_nss_open_it(
    room: Path, pki: Pki, client: Path, options: list[str], shown: list[str]
) -> None:
    """Both forms, with every CA in it and the name that people see."""
    pki("p12", *options, "--password-file", "password", "client.pem")
    file = room / "client.p12"
    assert 0o600 == file.stat().st_mode & 0o777
    text = openssl("pkcs12", "-in", file, "-passin", "file:password", "-info", "-noenc")
    for part in (*shown, "friendlyName: James Royal", "CN = Sub CA", "CN = Access Testing CA"):
        assert part in text
    legacy = openssl("pkcs12", "-legacy", "-in", file, "-passin", "file:password", "-nokeys")
    assert "CN = Sub CA" in legacy
    database = f"sql:{room}"
    for command in (
        [needs("certutil"), "-N", "--empty-password", "-d", database],
        [needs("pk12util"), "-i", file, "-w", "password", "-d", database],
    ):
        subprocess.run(command, check=True, capture_output=True)
    listed = subprocess.run(
        [needs("certutil"), "-L", "-d", database], capture_output=True, text=True, check=True
    ).stdout
    assert "u,u,u" in next(line for line in listed.splitlines() if "James Royal" in line)
    assert "Sub CA" in listed


def test_the_password_is_needed(room: Path, pki: Pki, client: Path) -> None:
    """The file says nothing without."""
    pki("p12", "--password-file", "password", "client.pem")
    text = openssl("pkcs12", "-in", "client.p12", "-passin", "pass:wrong", "-noenc")
    assert "Mac verify error" in text


def test_it_takes_name_password_and_file_as_told(
    room: Path, pki: Pki, client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password never on the command line: a file, the environment, or a terminal."""
    monkeypatch.setenv("P12_PASSWORD", "from the environment")
    more = ["--name", "Jämes at Example", "-o", "j.p12", "--password-env", "P12_PASSWORD"]
    done = pki("p12", "client.pem", "client-key.pem", *more)
    assert "it has the private key in it" in done.err
    opened = pkcs12.load_pkcs12((room / "j.p12").read_bytes(), b"from the environment")
    assert opened.cert is not None
    assert "Jämes at Example".encode() == opened.cert.friendly_name


def test_what_does_not_belong_together_is_refused(room: Path, pki: Pki, client: Path) -> None:
    """Another key, another CA, no CA, a file that is there, two passwords."""
    password = ["--password-file", "password"]
    pki("issue", "client-csr.json", "-o", "other")
    mixed = pki("p12", *password, "client.pem", "other-key.pem", status=1).err
    assert "the key is not the certificate's" in mixed
    (room / "client-chain.pem").unlink()
    assert "is in none of the files" in pki("p12", *password, "client.pem", status=1).err
    pki("p12", *password, "--ca", "sub-bundle.pem", "client.pem")
    again = ["p12", "--ca", "sub-bundle.pem", "client.pem"]
    assert "is there already" in pki(*again, status=1).err
    assert "exclude" in pki(*again, *password, "--password-env", "X", status=2).err
    (room / "empty").write_text("\n")
    forced = [*again, "--force", "--password-file"]
    assert "first line is empty" in pki(*forced, "empty", status=1).err
    missing = [*again, "--force", "--password-env", "NO_SUCH_VARIABLE"]
    assert "NO_SUCH_VARIABLE is not set" in pki(*missing, status=1).err


def test_ca_certificates_are_in_order(room: Path, pki: Pki, client: Path) -> None:
    """Nearest first, up to the root."""
    pki("p12", "--password-file", "password", "client.pem")
    opened = pkcs12.load_pkcs12((room / "client.p12").read_bytes(), b"correct horse")
    names = [each.certificate.subject.rfc4514_string() for each in opened.additional_certs]
    assert ["CN=Sub CA", "CN=Access Testing CA"] == [name.split(",")[0] for name in names]
    assert isinstance(opened.additional_certs[0].certificate, x509.Certificate)
