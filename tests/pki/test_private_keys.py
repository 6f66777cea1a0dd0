"""Private keys in every form that cfssl, OpenSSL and we write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pki_making import openssl

from mtlsedge.errors import PkiError
from mtlsedge.pki.keys import load_key

MAKE = {
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "ec": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ed25519": ["-algorithm", "ed25519"],
}
FORMS = [
    ("rsa", ["pkey"], "BEGIN PRIVATE KEY"),
    ("rsa", ["rsa", "-traditional"], "BEGIN RSA PRIVATE KEY"),
    ("rsa", ["rsa", "-traditional", "-aes256"], "Proc-Type: 4,ENCRYPTED"),
    ("ec", ["ec"], "BEGIN EC PRIVATE KEY"),
    ("ec", ["ec", "-aes256"], "Proc-Type: 4,ENCRYPTED"),
    ("ec", ["pkcs8", "-topk8"], "BEGIN ENCRYPTED PRIVATE KEY"),
    ("ed25519", ["pkey"], "BEGIN PRIVATE KEY"),
]


@pytest.mark.parametrize(("kind", "command", "head"), FORMS)
def test_every_form_is_read(tmp_path: Path, kind: str, command: list[str], head: str) -> None:
    """PKCS #8, PKCS #1 and SEC 1, plain and encrypted; asked is only where it is needed."""
    made, file = tmp_path / "made", tmp_path / "key.pem"
    openssl("genpkey", *MAKE[kind], "-out", made)
    encrypted = "-aes256" in command or command[0] == "pkcs8"
    secret = ["-passout", "pass:horse"] if encrypted else []
    said = openssl(*command, "-in", made, "-out", file, *secret)
    assert head in file.read_text(), said
    asked = []

    def ask() -> bytes:
        asked.append(1)
        return b"horse"

    key = load_key("key.pem", file.read_bytes(), ask)
    assert load_key("made", made.read_bytes(), ask).public_key() == key.public_key()
    assert encrypted == bool(asked)
    if encrypted:
        with pytest.raises(PkiError, match="the passphrase does not open this key"):
            load_key("key.pem", file.read_bytes(), lambda: b"cow")


@pytest.mark.parametrize("data", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\n", b"\xff" * 9])
def test_what_is_no_key_is_named(data: bytes) -> None:
    """With its file."""
    with pytest.raises(PkiError, match=r"key\.pem is not a private key"):
        load_key("key.pem", data, lambda: b"")
