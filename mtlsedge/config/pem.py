"""What is in a certificate, key or CRL file? Bytes to parsed objects, or a remedy."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mtlsedge.config.files import MOST, MOST_CRL, FileContent, Unreadable
from mtlsedge.config.reader import Convert, Place, Wrong
from mtlsedge.config.values import path

T = TypeVar("T")
PrivateKey = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
) | ed448.Ed448PrivateKey

_PRIVATE_KEY = b"PRIVATE KEY-----"
_BASE64 = re.compile(rb"\s*MI[A-Za-z0-9+/=\s]+")  # of a DER sequence
_LEAST_RSA_BITS = 2048  # OpenSSL's security level 2 refuses less when the key is put to use


def file(most: int = MOST) -> Convert[FileContent]:
    """The content of the file that a path names."""

    def content(value: object, place: Place) -> FileContent:
        try:
            return place.loading.files.read(path(value, place), most)
        except Unreadable as error:
            raise Wrong(f"{error}; check the path and the permissions") from error

    return content


certificate_file = file()
crl_file = file(MOST_CRL)


def certificates(content: FileContent) -> tuple[x509.Certificate, ...]:
    """Every certificate of a PEM file, in order; at least one."""
    blocks = list(_blocks(content, "CERTIFICATE"))
    if not blocks:
        raise Wrong(
            f"{content.path} holds no PEM certificate; if it is DER or PKCS#12, convert it with "
            "'openssl x509 -inform DER' or 'openssl pkcs12'"
        )
    return tuple(
        _parsed(_certificate, block, f"certificate {number} in {content.path}")
        for number, block in enumerate(blocks, 1)
    )


def ca_certificates(content: FileContent) -> tuple[x509.Certificate, ...]:
    """As ``certificates``; a private key beside them has no business there."""
    if _PRIVATE_KEY in content.data:
        raise Wrong(
            f"{content.path} holds a private key; take it out: whoever verifies needs only the "
            "certificates, and the key signs new ones"
        )
    return certificates(content)


def private_key(content: FileContent) -> PrivateKey:
    """The private key of a PEM file, of a kind that serves TLS and not encrypted."""
    if _PRIVATE_KEY not in content.data:
        raise Wrong(f"{content.path} holds no PEM private key; name the file that does")
    try:
        # The operator's own key: proving its primes prime would take seconds for many hosts.
        key = load_pem_private_key(content.data, None, unsafe_skip_rsa_key_validation=True)
    except TypeError as error:
        raise Wrong(
            f"{content.path} is encrypted, and nobody is there to type its passphrase; decrypt "
            "it with 'openssl pkey -in FILE -out NEW' and chmod 600"
        ) from error
    except Exception as error:  # as for certificates, below
        raise Wrong(f"{content.path} holds no usable private key: {_first_line(error)}") from error
    if not isinstance(key, PrivateKey):
        raise Wrong(f"{content.path} holds a key that cannot serve TLS; use EC, RSA or Ed25519")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _LEAST_RSA_BITS:
        raise Wrong(f"{content.path}: {key.key_size} bits of RSA are too few; use 2048 or more")
    return key


def crls(content: FileContent) -> tuple[x509.CertificateRevocationList, ...]:
    """Every CRL of a file: PEM, several too, or one in DER or plain base64; at least one."""
    if not content.data.strip():
        raise Wrong(f"{content.path} is empty; write a CRL there first, even one that revokes none")
    blocks = list(_blocks(content, "X509 CRL"))
    if blocks:
        return tuple(
            _parsed(_pem_crl, block, f"CRL {number} in {content.path}")
            for number, block in enumerate(blocks, 1)
        )
    if b"-----BEGIN " in content.data:
        raise Wrong(f"{content.path} is PEM and holds no X509 CRL; name the file that does")
    if _BASE64.fullmatch(content.data):  # as `cfssl gencrl` writes it
        return (_parsed(_base64_crl, content.data, f"the CRL {content.path}"),)
    return (_parsed(_der_crl, content.data, f"the CRL {content.path}"),)


def fits(certificate: x509.Certificate, key: PrivateKey) -> bool:
    """Whether the certificate is for this key."""
    try:
        return certificate.public_key() == key.public_key()
    except Exception:  # a public key that cannot be read fits nothing
        return False


def _blocks(content: FileContent, label: str) -> Iterator[bytes]:
    """The PEM blocks of a kind; one that ends early is wrong, not skipped."""
    begin, end = f"-----BEGIN {label}-----".encode(), f"-----END {label}-----".encode()
    data, position = content.data, 0
    while (start := data.find(begin, position)) >= 0:
        position = data.find(end, start)
        if position < 0 or data.find(begin, start + 1, position) >= 0:
            raise Wrong(f"{content.path} is cut short: a BEGIN {label} has no END; copy it again")
        position += len(end)
        yield data[start:position]


# The parts that messages and judgements read are parsed lazily: touched here, where it is caught.


def _certificate(block: bytes) -> x509.Certificate:
    certificate = x509.load_pem_x509_certificate(block)
    certificate.subject, certificate.not_valid_before_utc, certificate.not_valid_after_utc  # noqa: B018
    return certificate


def _pem_crl(block: bytes) -> x509.CertificateRevocationList:
    return _touched(x509.load_pem_x509_crl(block))


def _der_crl(data: bytes) -> x509.CertificateRevocationList:
    return _touched(x509.load_der_x509_crl(data))


def _base64_crl(data: bytes) -> x509.CertificateRevocationList:
    return _der_crl(binascii.a2b_base64(b"".join(data.split()), strict_mode=True))


def _touched(crl: x509.CertificateRevocationList) -> x509.CertificateRevocationList:
    crl.issuer, crl.next_update_utc  # noqa: B018
    return crl


def _parsed(parse: Callable[[bytes], T], data: bytes, what: str) -> T:
    try:
        return parse(data)
    except Exception as error:  # cryptography raises a dozen kinds for what it cannot read
        raise Wrong(
            f"{what} cannot be read, it is damaged or not what it says: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
