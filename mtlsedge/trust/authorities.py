"""What is one client CA? Its anchors, its OpenSSL store and its revocation lists.

Each client CA has a store of its own: OpenSSL's flags hold for a whole store, and a chain that
ends at one client CA says nothing of the others.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from weakref import WeakValueDictionary

from cryptography.exceptions import InvalidSignature
from OpenSSL import crypto

from mtlsedge.errors import BadCertificate
from mtlsedge.identity import Certificate
from mtlsedge.model import ClientCA
from mtlsedge.openssl import require_client_purpose, verified_chain
from mtlsedge.trust.certificates import name_key, read_bundle
from mtlsedge.trust.crl_issuers import CrlIssuers
from mtlsedge.trust.revocation import RevocationLists

_shared: WeakValueDictionary[ClientCA, Authority] = WeakValueDictionary()


class Authority:
    """One client CA, ready to judge. Made once, however many hosts it is associated with.

    Attributes:
        name: the client CA's.
        certificates: its bundle.
        anchors: the DER of the certificates a chain may end at: the self-signed ones of the
            bundle, or all of them where none is self-signed.
        partial: none is self-signed.
        required_policies: certificate policies, one of which each chain must be valid for.
        lists: its certificate revocation lists.
        digest: equal for two that build the same chains under the same name, whatever their
            lists.
    """

    def __init__(self, ca: ClientCA) -> None:
        """Read a client CA's bundle and CRLs.

        Raises:
            BadCertificate: a bundle cannot be read. A CRL that cannot be read is no error
                here: ``lists`` says so, and refuses.
        """
        self.name = ca.name
        self.certificates = _bundle(ca)
        roots = frozenset(c.der for c in self.certificates if is_self_signed(c))
        self.partial = not roots
        self.anchors = roots or frozenset(c.der for c in self.certificates)
        self.required_policies = frozenset(ca.required_policies)
        self.lists = RevocationLists(
            ca.crls,
            ca.crl_policy,
            check=ca.crl_check,
            grace=ca.crl_grace,
            issuers=CrlIssuers(
                self.certificates, _crl_issuers(ca), self.anchors, partial=self.partial
            ),
        )
        self.subjects = frozenset(name_key(c.x509.subject) for c in self.certificates)
        self._links = [crypto.X509.from_cryptography(c.x509) for c in self.certificates]
        self.digest = _digest(ca, self.certificates)
        self._moment = -1
        self._store = crypto.X509Store()

    def fill(self, store: crypto.X509Store) -> None:
        """Add this client CA to a store, which then verifies TLS clients only."""
        for certificate in self._links:
            store.add_cert(certificate)
        if self.partial:
            store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
        require_client_purpose(store)

    def chain(self, leaf: crypto.X509, sent: list[crypto.X509], now: float) -> tuple[bytes, ...]:
        """The chain from a leaf to one of the anchors, leaf first, as DER.

        Raises:
            crypto.X509StoreContextError: there is none.
        """
        return verified_chain(self._store_at(int(now)), leaf, sent)

    def _store_at(self, moment: int) -> crypto.X509Store:
        """A store that verifies as of one second, which is as fine as certificates are.

        It is made anew for another second: OpenSSL keeps the first time that a store is given
        and ignores every later one.
        """
        if moment != self._moment:
            self._store = crypto.X509Store()
            self.fill(self._store)
            self._store.set_time(datetime.fromtimestamp(moment, UTC))
            self._moment = moment
        return self._store


def shared_authority(ca: ClientCA) -> Authority:
    """The one `Authority` of a client CA, for as long as somebody uses it.

    Raises:
        BadCertificate: its bundle cannot be read.
    """
    # Where it counts, and who else is heard, are no part of it: a list is not read anew for that.
    content = replace(ca, hosts=(), ocsp=None, verifiers=(), verifiers_match="all")
    authority = _shared.get(content)
    if authority is None:
        authority = _shared[content] = Authority(content)
    return authority


def is_self_signed(certificate: Certificate) -> bool:
    """Whether a certificate is its own issuer, by its signature and not only by its names."""
    x = certificate.x509
    if x.subject != x.issuer:
        return False
    try:
        x.verify_directly_issued_by(x)
    except InvalidSignature:
        return False
    except Exception:  # a signature that cannot be checked here: OpenSSL has the last word on it
        return True
    return True


def _digest(ca: ClientCA, certificates: tuple[Certificate, ...]) -> bytes:
    policies = " ".join(ca.required_policies)
    parts = [ca.name.encode(), policies.encode(), *(each.der for each in certificates)]
    return sha256(b"".join(sha256(part).digest() for part in parts)).digest()


def _crl_issuers(ca: ClientCA) -> tuple[Certificate, ...]:
    return _read(ca, ca.crl_issuers) if ca.crl_issuers else ()


def _bundle(ca: ClientCA) -> tuple[Certificate, ...]:
    return _read(ca, ca.certificates)


def _read(ca: ClientCA, pem: bytes) -> tuple[Certificate, ...]:
    try:
        return read_bundle(pem)
    except BadCertificate as error:
        place = f" ({ca.place})" if ca.place else ""
        raise BadCertificate(f"client CA {ca.name!r}{place}: {error}") from error
