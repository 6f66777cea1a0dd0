"""What may a key be used for? cfssl's words for it, and what they are in a certificate.

Key usages: RFC 5280 §4.2.1.3. Extended key usages: §4.2.1.12, and OIDs of their vendors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "content committment": "content_commitment",  # so spelled by cfssl
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
EXTENDED = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}
AUTHORITY = frozenset({"key_cert_sign", "crl_sign"})
_FIELDS = (*dict.fromkeys(KEY_USAGES.values()),)
_FOR_RSA = frozenset({"key_encipherment", "data_encipherment"})


@dataclass(frozen=True, slots=True)
class Usages:
    """What a certificate allows its key to do: names of `x509.KeyUsage`'s fields, and OIDs."""

    key: frozenset[str] = frozenset()
    extended: tuple[x509.ObjectIdentifier, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.key or self.extended)

    def key_usage(self, public_key: object) -> x509.KeyUsage | None:
        """The key usage extension for such a key; None where nothing is asked for.

        Only RSA keys encipher: with others those bits must not be set (RFC 8813, RFC 9295).
        """
        bits = self.key if isinstance(public_key, rsa.RSAPublicKey) else self.key - _FOR_RSA
        if not bits:
            return None
        return x509.KeyUsage(**{name: name in bits for name in _FIELDS})


def known(word: str) -> bool:
    """Whether this is a usage."""
    return word.casefold() in KEY_USAGES or word.casefold() in EXTENDED


def usages(words: Iterable[str]) -> Usages:
    """What these words, all of them known, ask for."""
    asked = [word.casefold() for word in words]
    return Usages(
        frozenset(KEY_USAGES[word] for word in asked if word in KEY_USAGES),
        tuple(dict.fromkeys(EXTENDED[word] for word in asked if word in EXTENDED)),
    )


def suggestion(word: str) -> str:
    """What was probably meant by a word that is not known."""
    every = (*KEY_USAGES, *EXTENDED)
    near = get_close_matches(word.casefold(), every, 1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(every)}"
