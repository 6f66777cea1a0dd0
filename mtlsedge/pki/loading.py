"""What is in the files that an authority works with? Each is checked before it is used."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mtlsedge.errors import PkiError
from mtlsedge.pki.keys import Ask, load_key, weak
from mtlsedge.pki.mint import Authority

_MOST = 64 * 1024 * 1024
_BEGIN = b"-----BEGIN CERTIFICATE-----"


def read(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        PkiError: it cannot be read, or is far too long.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise PkiError(f"cannot read {path}: {why}") from error
    if len(data) > _MOST:
        raise PkiError(f"{path} is longer than {_MOST // 2**20} MiB: is it the right file?")
    return data


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Every certificate in a file: in PEM one or more, in DER one.

    Raises:
        PkiError: there is none, or one is damaged.
    """
    data = read(path)
    try:
        if _BEGIN in data:
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(data)]
    except ValueError as error:
        raise PkiError(f"{path} is not a certificate in PEM or DER: {error}") from error


def load_request(path: Path, data: bytes) -> x509.CertificateSigningRequest:
    """A certificate signing request in PEM or DER, whose own signature is good.

    Raises:
        PkiError: it is none, was changed after it was signed, or its key is too weak.
    """
    try:
        if b"-----BEGIN" in data:
            request = x509.load_pem_x509_csr(data)
        else:
            request = x509.load_der_x509_csr(data)
        good = request.is_signature_valid
        weakness = weak(request.public_key())
    except Exception as error:  # cryptography raises a dozen kinds for what it cannot read
        raise PkiError(f"{path} is not a certificate signing request: {error}") from error
    if not good:
        raise PkiError(
            f"{path}: its signature is not by the key in it: whoever sent it may not have that "
            "key, or the file was changed; ask for a new one"
        )
    if weakness:
        raise PkiError(f"{path}: {weakness}")
    return request


def load_issuer(path: Path) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
    """A CA's certificate, and those above it: further ones in its file, or in its bundle's.

    Raises:
        PkiError: the first one in the file may not sign certificates.
    """
    first, *above = load_certificates(path)
    reason = _no_authority(first)
    if reason:
        raise PkiError(f"{path}: {reason}: is it the CA's certificate?")
    return first, tuple(above) or _bundled(path, first)


def load_authority(path: Path, key_path: Path, ask: Ask, now: datetime) -> Authority:
    """A CA with its key, fit to sign.

    Raises:
        PkiError: it is no CA, not valid now, or the key is not its own.
    """
    first, above = load_issuer(path)
    key = load_key(str(key_path), read(key_path), ask)
    if _spki(key.public_key()) != _spki(first.public_key()):
        raise PkiError(f"{key_path} is not the key of {path}: take the pair made together")
    if now >= first.not_valid_after_utc:
        raise PkiError(
            f"{path} ended on {first.not_valid_after_utc:%Y-%m-%d}: nothing that it signs is "
            "trusted any more; make a new CA"
        )
    if now < first.not_valid_before_utc:
        raise PkiError(
            f"{path} begins on {first.not_valid_before_utc:%Y-%m-%d %H:%M} UTC: check this clock"
        )
    return Authority(first, key, tuple(each for each in above if each.subject != each.issuer))


def _bundled(path: Path, first: x509.Certificate) -> tuple[x509.Certificate, ...]:
    bundle = path.with_name(f"{path.stem}-bundle.pem")
    if not bundle.exists():
        return ()
    own, *above = load_certificates(bundle)
    return tuple(above) if own == first else ()


def issued_by(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether one certificate signed another."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # another name, another key, or an algorithm that is not known
        return False
    return True


def authority_id(certificate: x509.Certificate) -> str:
    """What tells one CA's key from another's: SHA-256 of its public key, in hexadecimal."""
    return hashlib.sha256(_spki(certificate.public_key())).hexdigest()


def common_name(certificate: x509.Certificate) -> str:
    """What to call a certificate in a sentence."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string()


def _no_authority(certificate: x509.Certificate) -> str:
    try:
        extensions = certificate.extensions
        basic = extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return "it has no basic constraints that make it a CA"
    except ValueError as error:
        return f"its extensions cannot be read ({error})"
    if not basic.ca:
        return "its basic constraints say that it is no CA"
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return ""
    return "" if usage.key_cert_sign else "its key usage does not let it sign certificates"


def _spki(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined,no-any-return]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
