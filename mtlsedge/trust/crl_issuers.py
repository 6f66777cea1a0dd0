"""Whose certificate may have signed a CRL, and does it lead to the same anchor? (§6.3.3 (f))

RFC 5280 lets another certificate than the issuer's own sign its list: the same CA's after a
change of keys, one that is only for signing lists, or that of an indirect list's issuer. Only
what the operator named is looked at, never what a client sent.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from cryptography import x509
from OpenSSL import crypto

from mtlsedge.identity import Certificate, NameKey
from mtlsedge.trust.certificates import name_key, read_certificate
from mtlsedge.trust.strength import weakness


class CrlIssuers:
    """The certificates that one client CA has for signing CRLs.

    Args:
        bundle: its CA certificates.
        others: further certificates, which sign CRLs and issue nothing.
        anchors: the DER of those that a chain may end at.
        partial: none of them is self-signed.
    """

    def __init__(
        self,
        bundle: Sequence[Certificate] = (),
        others: Sequence[Certificate] = (),
        anchors: Collection[bytes] = (),
        *,
        partial: bool = False,
    ) -> None:
        self._bundle = bundle
        self._others = others
        self._anchors = anchors
        self._partial = partial
        self._named: dict[NameKey, list[Certificate]] = {}
        for certificate in (*bundle, *others):
            self._named.setdefault(name_key(certificate.x509.subject), []).append(certificate)

    def named(self, name: NameKey) -> Sequence[Certificate]:
        """The certificates of a subject's name."""
        return self._named.get(name, ())

    def path(
        self, certificate: Certificate, between: Sequence[Certificate], now: float
    ) -> tuple[Certificate, ...]:
        """The verified path of one of them, from it to an anchor; empty where there is none.

        ``between`` may be needed to get there; ``now`` is in seconds since the epoch.
        """
        store = crypto.X509Store()
        for each in self._bundle:
            store.add_cert(crypto.X509.from_cryptography(each.x509))
        if self._partial:
            store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
        store.set_time(datetime.fromtimestamp(int(now), UTC))
        subject = crypto.X509.from_cryptography(certificate.x509)
        links = [crypto.X509.from_cryptography(each.x509) for each in (*between, *self._others)]
        try:
            found = crypto.X509StoreContext(store, subject, links).get_verified_chain()
        except crypto.X509StoreContextError:
            return ()
        ders = [crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in found]
        path = tuple(map(read_certificate, ders))
        if ders[-1] not in self._anchors or weakness(path) is not None:
            return ()
        return path


def may_sign_crls(certificate: Certificate) -> bool:
    """Whether a certificate's key usage allows it to sign CRLs, or is not stated."""
    try:
        usage = certificate.x509.extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound:
        return True  # RFC 5280 §6.3.3 (f): only a usage that is stated can forbid it
    return usage.value.crl_sign


def key_identifier(certificate: Certificate) -> bytes | None:
    """The subject key identifier of a certificate, if it has one."""
    try:
        found = certificate.x509.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return found.value.digest
