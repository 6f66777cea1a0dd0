"""Who is this? One host's judge: chain, revocation, verifiers, and out comes an ``Identity``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType

from cryptography import x509
from OpenSSL import crypto
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mtlsedge.errors import BadCertificate, BadVerifier
from mtlsedge.identity import ANONYMOUS, Certificate, Identity, PeerChain, Reason, Verdict
from mtlsedge.interfaces import IVerifier
from mtlsedge.model import ClientCA
from mtlsedge.trust.asking import VerifierCaller
from mtlsedge.trust.authorities import shared_authority
from mtlsedge.trust.certificates import read_certificate
from mtlsedge.trust.chains import MOST_SENT, ChainBuilder
from mtlsedge.trust.outcomes import Failed, Path

_Verifiers = tuple[tuple[str, IVerifier], ...]
_NOTHING: Mapping[str, str] = MappingProxyType({})


class ClientTrust:
    """Judges the clients of one host, by that host's client CAs and nothing else."""

    def __init__(
        self,
        cas: Sequence[ClientCA],
        verifiers: Callable[[str], IVerifier],
        clock: IReactorTime,
        now: Callable[[], float],
        timeout: float,
    ) -> None:
        """Make everything ready that a client may need.

        Args:
            cas: the client CAs that are associated with the host.
            verifiers: makes a verifier of its string; ``find_verifier``.
            clock: for the time that verifiers may take.
            now: seconds since the epoch, for certificates and CRLs.
            timeout: seconds that one verifier may take; 0 is for ever.

        Raises:
            BadCertificate: a client CA's bundle cannot be read.
            BadVerifier: a string names no verifier or its arguments are wrong.
        """
        self._authorities = {ca.name: shared_authority(ca) for ca in cas}
        self._make = verifiers
        self._made: dict[str, IVerifier] = {}
        self._verifiers: dict[str, _Verifiers] = {
            ca.name: tuple((spec, self._verifier(spec)) for spec in ca.verifiers) for ca in cas
        }
        self._caller = VerifierCaller(clock, timeout)
        self._now = now
        self._builder = ChainBuilder(tuple(self._authorities.values()), now)

    # -- for the handshake -----------------------------------------------------------------

    @property
    def authorities(self) -> tuple[x509.Certificate, ...]:
        """The CA certificates whose subjects a CertificateRequest names, each subject once."""
        subjects: dict[bytes, x509.Certificate] = {}
        for authority in self._authorities.values():
            for certificate in authority.certificates:
                subject = certificate.x509.subject.public_bytes()
                subjects.setdefault(subject, certificate.x509)
        return tuple(subjects.values())

    def handshake_store(self) -> crypto.X509Store:
        """A store of all client CAs, for hosts that refuse within the handshake."""
        store = crypto.X509Store()
        self.fill(store)
        return store

    def fill(self, store: crypto.X509Store) -> None:
        """Add all client CAs to a store, a TLS context's own for instance.

        OpenSSL's flags hold for a whole store, so this one may take an intermediate for an
        anchor where `settle` does not. It is never the last word: `objection` and `settle` are.
        """
        for authority in self._authorities.values():
            authority.fill(store)

    def objection(self, chain_ders: Sequence[bytes]) -> Identity | None:
        """Why a chain that OpenSSL verified in a handshake (leaf first) may not pass, or None.

        It is judged as `settle` judges it, but for the verifiers, which come after.
        """
        try:
            peer = _read_peer(chain_ders[0], chain_ders[1:])
        except (BadCertificate, IndexError) as error:
            return Identity(presented=True, reason=Reason.UNFIT, detail=str(error))
        paths = self._unrevoked(peer)
        return _refused(peer, paths) if isinstance(paths, Failed) else None

    # -- after it --------------------------------------------------------------------------

    def settle(
        self, leaf: bytes | None, sent: Sequence[bytes], server_name: str
    ) -> Identity | Deferred[Identity]:
        """Who a client is, from the DER of what it presented and proved to hold the key of.

        Args:
            leaf: its certificate; None where it presented none.
            sent: what came with it, in the client's order; nothing in a resumed session.
            server_name: the canonical name of the host it wants.

        Returns:
            An identity; a Deferred of one only where a verifier does not answer at once. It
            fails only if it is cancelled.
        """
        if leaf is None:
            return ANONYMOUS
        try:
            peer = _read_peer(leaf, sent)
        except BadCertificate as error:
            return Identity(presented=True, reason=Reason.UNFIT, detail=str(error))
        paths = self._unrevoked(peer)
        if isinstance(paths, Failed):
            return _refused(peer, paths)
        if not any(self._verifiers[path.client_ca] for path in paths):
            return _accepted(peer, paths, _NOTHING)
        return _at_once(Deferred.fromCoroutine(self._interview(peer, paths, server_name)))

    def judge(self, spec: str, peer: PeerChain, server_name: str) -> Verdict | Deferred[Verdict]:
        """One verifier's verdict on a verified chain, for a rule that names it.

        What did not verify, and a string that names no verifier, are rejections.
        """
        if not peer.verified:
            return Verdict(False, "the chain did not verify")
        try:
            verifier = self._verifier(spec)
        except BadVerifier as error:
            return Verdict(False, str(error))
        return self._caller.ask(_name(spec), verifier, peer, server_name)

    def troubles(self) -> tuple[str, ...]:
        """What is wrong with the revocation lists now, with remedies, for logs and `check`."""
        now = self._now()
        found = (a.lists.troubles(a.certificates, now) for a in self._authorities.values())
        return tuple(dict.fromkeys(trouble for troubles in found for trouble in troubles))

    def _unrevoked(self, peer: PeerChain) -> tuple[Path, ...] | Failed:
        """The paths of a peer that no revocation list speaks against; or why there is none.

        Revocation is looked up every time: it costs a set look-up, and a remembered answer
        would outlive the list it came from. A revoked certificate closes every path: the same
        issuer's word counts for all client CAs, whichever of them names its list.
        """
        built = self._builder.build(peer)
        if isinstance(built, Failed):
            return built
        now = self._now()
        open_paths = []
        closed: Failed | None = None
        for path in built.paths:
            failed = self._authorities[path.client_ca].lists.check(path.chain, now)
            if failed is None:
                open_paths.append(path)
                continue
            failed = replace(failed, chain=path.chain)
            if failed.reason is Reason.REVOKED:
                return failed
            closed = closed or failed
        if open_paths:
            return tuple(open_paths)
        assert closed is not None  # there is at least one path
        return closed

    async def _interview(
        self, peer: PeerChain, paths: tuple[Path, ...], server_name: str
    ) -> Identity:
        """Hear the verifiers of each client CA; those of which all accept are the identity's."""
        accepting: list[Path] = []
        attributes: dict[str, str] = {}
        objection = ""
        for path in paths:
            learned = await self._hear(path, peer, server_name)
            if isinstance(learned, str):
                objection = objection or learned
            else:
                accepting.append(path)
                attributes = {**learned, **attributes}
        if not accepting:
            failed = Failed(Reason.REJECTED, objection, chain=paths[0].chain)
            return _refused(peer, failed)
        return _accepted(peer, tuple(accepting), MappingProxyType(attributes))

    async def _hear(self, path: Path, peer: PeerChain, server_name: str) -> Mapping[str, str] | str:
        """What one client CA's verifiers learned; or, as text, the first objection."""
        verified = _verified(peer, path)
        learned: dict[str, str] = {}
        for spec, verifier in self._verifiers[path.client_ca]:
            answer = self._caller.ask(_name(spec), verifier, verified, server_name)
            verdict = await answer if isinstance(answer, Deferred) else answer
            if not verdict.accepted:
                return verdict.reason
            learned.update(verdict.attributes)
        return learned

    def _verifier(self, spec: str) -> IVerifier:
        verifier = self._made.get(spec)
        if verifier is None:
            verifier = self._made[spec] = self._make(spec)
        return verifier


def _read_peer(leaf: bytes, sent: Sequence[bytes]) -> PeerChain:
    # One more than is allowed is enough to see that there are too many.
    return PeerChain(read_certificate(leaf), tuple(_readable(sent[: MOST_SENT + 1])))


def _readable(sent: Sequence[bytes]) -> Iterator[Certificate]:
    """What cannot be read is left out: no chain can then be built with it."""
    for der in sent:
        with suppress(BadCertificate):
            yield read_certificate(der)


def _accepted(peer: PeerChain, paths: tuple[Path, ...], attributes: Mapping[str, str]) -> Identity:
    return Identity(
        presented=True,
        verified=True,
        reason=Reason.NONE,
        chain=_verified(peer, paths[0]),
        client_cas=tuple(path.client_ca for path in paths),
        attributes=attributes,
    )


def _refused(peer: PeerChain, failed: Failed) -> Identity:
    return Identity(
        presented=True,
        reason=failed.reason,
        detail=failed.detail,
        depth=failed.depth,
        chain=replace(peer, verified=failed.chain),
    )


def _verified(peer: PeerChain, path: Path) -> PeerChain:
    return PeerChain(peer.leaf, peer.sent, path.chain)


def _name(spec: str) -> str:
    """A verifier's name; its arguments may hold what a log should not."""
    return spec.partition(":")[0]


def _at_once(settling: Deferred[Identity]) -> Identity | Deferred[Identity]:
    """An identity that is there already, without its Deferred: nobody needs to be paused."""
    if settling.called and isinstance(settling.result, Identity):
        return settling.result
    return settling
