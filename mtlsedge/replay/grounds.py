"""What is known of a client by its line in the log, and what is taken as given?

The log has no certificate. What a rule may ask of one beyond what the log has is unknown, unless
the certificate is at hand; and whether it would verify by another configuration's client CAs is
known only where these are the same, or its issuer is none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from cryptography import x509
from cryptography.x509.oid import NameOID

from mtlsedge.errors import BadCertificate
from mtlsedge.identity import ANONYMOUS, Certificate, Identity, PeerChain, Reason
from mtlsedge.model import ClientCA, Configuration
from mtlsedge.replay.logged import Shown
from mtlsedge.trust.certificates import read_bundle

Truth = bool | None

_CUT = "\u2026"  # how the log ends a text that is too long for it
_OF_SUBJECT = frozenset({"common_name", "organization", "organizational_unit"})
_OF_LOG = frozenset({"certificate", "client_ca", "serial", "fingerprint_sha256"})
_OF_CERTIFICATE = (
    _OF_LOG | _OF_SUBJECT | {"issuer", "spki_sha256", "san_dns", "san_uri", "san_email", "san_ip"}
)
_FOR_GOOD = frozenset(
    {Reason.EXPIRED.value, Reason.NOT_YET_VALID.value, Reason.UNFIT.value, Reason.REVOKED.value}
)
"""Why a certificate did not verify, which client CAs have no part in."""

GIVEN = (
    "time and revocation lists are those of each request",
    "who showed no certificate would show none, and who was a stranger is one, unless its issuer "
    "is in a client CA's bundle",
    "what client CAs' verifiers said of a request they would say again",
    "service tokens of the same name have the same secret, and who proved none would prove none",
)
GIVEN_WITHOUT_OLD = (
    "client CAs of the same name are the same (name the configuration that served with --old to "
    "have them compared)",
)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a client under another configuration.

    Attributes:
        identity: who it is, as far as that is known.
        verified: whether its certificate verifies; None where that cannot be told.
        selectors: those about the certificate that can be evaluated, if it verifies.
        perhaps: client CAs by which it may verify besides ``identity.client_cas``.
    """

    identity: Identity
    verified: Truth
    selectors: frozenset[str] = frozenset()
    perhaps: frozenset[str] = frozenset()


_NOBODY = Known(ANONYMOUS, False)


class Grounds:
    """Judges what certificates are worth under a new configuration.

    Args:
        new: the configuration.
        old: the one that served when the log was written, if it is known.
        certificates: of clients, as far as they are at hand.
    """

    def __init__(
        self,
        new: Configuration,
        old: Configuration | None = None,
        certificates: Iterable[Certificate] = (),
    ) -> None:
        self._at_hand = {leaf.fingerprint_sha256: leaf for leaf in certificates}
        self._subjects = {ca.name: _subjects(ca) for ca in new.client_cas}
        self._new = _by_host(new)
        self._old = _by_host(old) if old is not None else None

    @property
    def given(self) -> tuple[str, ...]:
        """What is taken as given, in words."""
        return GIVEN if self._old is not None else (*GIVEN, *GIVEN_WITHOUT_OLD)

    def known(self, shown: Shown, name: str) -> Known:
        """What is known of who showed this; ``name`` is the host's, as its table has it."""
        cas = self._new.get(name, {})
        if not cas:
            return _NOBODY
        if not shown.presented:
            return self._silent(name)
        if shown.verified:
            return self._verified(shown, name, cas)
        return self._unverified(shown, name, cas)

    def _silent(self, name: str) -> Known:
        if self._old is not None and not self._old.get(name):
            return Known(ANONYMOUS, None)  # nobody asked it for a certificate
        return _NOBODY

    def _verified(self, shown: Shown, name: str, cas: Mapping[str, ClientCA]) -> Known:
        if shown.client_cas is None:
            return Known(_refused(shown), None)
        kept = tuple(ca for ca in shown.client_cas if self._same(ca, name))
        perhaps = frozenset(
            ca for ca in cas if ca not in kept and self._may_be_too(ca, shown, name)
        )
        if not kept:
            return Known(_refused(shown), None if perhaps else False)
        leaf, selectors = _leaf(shown)
        at_hand = self._at_hand.get(shown.fingerprint_sha256)
        if at_hand is not None:
            leaf, selectors = at_hand, _OF_CERTIFICATE
        identity = Identity(
            presented=True,
            verified=True,
            reason=Reason.NONE,
            chain=PeerChain(leaf),
            client_cas=kept,
        )
        return Known(identity, True, selectors, perhaps)

    def _unverified(self, shown: Shown, name: str, cas: Mapping[str, ClientCA]) -> Known:
        refused = _refused(shown)
        if shown.reason in _FOR_GOOD:
            return Known(refused, False)
        if self._old is not None:
            same = self._old.get(name, {}) == cas
            return Known(refused, False if same else None)
        if shown.reason != Reason.UNTRUSTED.value:
            return Known(refused, None)
        issued = any(shown.issuer in self._subjects[ca] for ca in cas)
        return Known(refused, None if issued else False)

    def _same(self, ca: str, name: str) -> bool:
        """Whether a client CA of this host is still there, as it was."""
        new = self._new[name].get(ca)
        if self._old is None or new is None:
            return new is not None
        return _essence(new) == _essence(self._old.get(name, {}).get(ca))

    def _may_be_too(self, ca: str, shown: Shown, name: str) -> bool:
        """Whether a client CA by which a certificate did not verify may be one by now.

        If it is as it was, only where it was in doubt then: a verifier had failed, or its
        certificates' revocation could not be told, and the line does not say of which client CA.
        """
        if self._old is not None and not self._same(ca, name):
            return True
        if ca in (shown.client_cas or ()) or shown.issuer not in self._subjects[ca]:
            return False
        return self._old is None or _may_be_in_doubt(self._new[name][ca])


def _by_host(configuration: Configuration) -> dict[str, dict[str, ClientCA]]:
    found: dict[str, dict[str, ClientCA]] = {}
    for ca in configuration.client_cas:
        for name in ca.hosts:
            found.setdefault(name, {})[ca.name] = ca
    return found


def _may_be_in_doubt(ca: ClientCA) -> bool:
    return bool(ca.verifiers or ca.ocsp or (ca.crls and ca.crl_policy == "require"))


def _essence(ca: ClientCA | None) -> object:
    """What decides which certificates verify, but for revocation, which has a time of its own."""
    if ca is None:
        return None
    return ca.certificates, ca.required_policies, ca.verifiers, ca.verifiers_match


def _subjects(ca: ClientCA) -> frozenset[str]:
    try:
        return frozenset(certificate.subject for certificate in read_bundle(ca.certificates))
    except BadCertificate:
        return frozenset()


def _refused(shown: Shown) -> Identity:
    return Identity(presented=True, reason=_reason(shown.reason))


def _reason(word: str) -> Reason:
    try:
        return Reason(word)
    except ValueError:
        return Reason.UNTRUSTED


def _leaf(shown: Shown) -> tuple[Certificate, frozenset[str]]:
    """The leaf as the log has it, and the selectors that it has enough for."""
    selectors = set(_OF_LOG)
    common_names: Iterable[str] = ()
    organizations: Iterable[str] = ()
    units: Iterable[str] = ()
    name = _name(shown.subject)
    if name is not None:
        selectors |= _OF_SUBJECT
        common_names = _values(name, NameOID.COMMON_NAME)
        organizations = _values(name, NameOID.ORGANIZATION_NAME)
        units = _values(name, NameOID.ORGANIZATIONAL_UNIT_NAME)
    if not shown.issuer.endswith(_CUT):
        selectors.add("issuer")
    leaf = Certificate(
        der=b"",
        subject=shown.subject,
        issuer=shown.issuer,
        serial=shown.serial,
        common_names=tuple(common_names),
        organizations=tuple(organizations),
        organizational_units=tuple(units),
        san_dns=(),
        san_uri=(),
        san_email=(),
        san_ip=(),
        not_before=0.0,
        not_after=0.0,
        fingerprint_sha256=shown.fingerprint_sha256,
        spki_sha256="",
        # Only verifiers look at it, and none is asked.
        x509=cast(x509.Certificate, None),
    )
    return leaf, frozenset(selectors)


def _name(subject: str) -> x509.Name | None:
    if subject.endswith(_CUT):
        return None
    try:
        return x509.Name.from_rfc4514_string(subject)
    except (ValueError, TypeError):
        return None


def _values(name: x509.Name, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    return tuple(str(attribute.value) for attribute in name.get_attributes_for_oid(oid))
