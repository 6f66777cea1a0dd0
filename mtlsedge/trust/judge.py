"""Who is this? One host's judge: chain, revocation, verifiers, and out comes an ``Identity``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from cryptography import x509
from OpenSSL import crypto
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mtlsedge.errors import BadCertificate, BadVerifier
from mtlsedge.identity import ANONYMOUS, Doubts, Identity, PeerChain, Reason, Verdict
from mtlsedge.interfaces import IVerifier
from mtlsedge.model import ClientCA
from mtlsedge.trust.asking import Inquiry, VerifierDesk
from mtlsedge.trust.authorities import shared_authority
from mtlsedge.trust.caches import LARGEST_CACHED, BoundedCache
from mtlsedge.trust.chains import Attempt, ChainBuilder, read_peer
from mtlsedge.trust.crl_health import CrlHealth
from mtlsedge.trust.jury import Jury
from mtlsedge.trust.lifetime import Lifetimes, refused
from mtlsedge.trust.ocsp_chains import NO_DESKS, UNTOLD, statuses_of
from mtlsedge.trust.ocsp_status import StatusDesk
from mtlsedge.trust.outcomes import Built, Failed, Path, accepted
from mtlsedge.trust.revocation import RevocationLists
from mtlsedge.trust.testimony import Juries, Spoken, Testimony, Vouched, in_doubt, learned

_VOUCHED = 1024  # identities that verifiers vouched for
_Vouched = tuple[object, ...]


class ClientTrust:
    """Judges the clients of one host, by that host's client CAs and nothing else."""

    def __init__(
        self,
        cas: Sequence[ClientCA],
        verifiers: Callable[[str], IVerifier | VerifierDesk],
        clock: IReactorTime,
        now: Callable[[], float],
        timeout: float,
        ocsp: Mapping[str, StatusDesk] = NO_DESKS,
    ) -> None:
        """Make everything ready that a client may need.

        Args:
            cas: the client CAs that are associated with the host.
            verifiers: gives the desk of a verifier by its string, ``VerifierPanel.desk``; or
                the verifier itself, which is then asked on the usual terms.
            clock: for the time that verifiers may take.
            now: seconds since the epoch, for certificates and CRLs.
            timeout: seconds that one verifier may take; 0 is for ever.
            ocsp: where to ask for the status of certificates, by the client CA's name.

        Raises:
            BadCertificate: a client CA's bundle cannot be read.
            BadVerifier: a string names no verifier or its arguments are wrong.
        """
        self._authorities = {ca.name: shared_authority(ca) for ca in cas}
        self._make = verifiers
        self._desks: dict[str, VerifierDesk] = {}
        self._clock = clock
        self._timeout = timeout
        self._now = now
        juries = {
            ca.name: Jury(tuple(map(self._desk, ca.verifiers)), ca.verifiers_match) for ca in cas
        }
        self._juries = Juries(juries, clock, now, timeout)
        self._statuses = statuses_of(cas, ocsp, self.lists, clock, now)
        self._verifies = self._juries.any
        self._words = Vouched(_VOUCHED, now)
        self._vouched: BoundedCache[_Vouched, Identity] = BoundedCache(_VOUCHED)
        self._builder = ChainBuilder(tuple(self._authorities.values()), now)
        self._lifetimes = Lifetimes(self._authorities, self._builder, self._statuses)

    # -- for the handshake -----------------------------------------------------------------

    @property
    def digest(self) -> bytes:
        """Equal for two judges with the same client CAs in the same order, whatever their lists."""
        return self._builder.digest

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
            peer = read_peer(chain_ders[0], chain_ders[1:])
        except (BadCertificate, IndexError) as error:
            return Identity(presented=True, reason=Reason.UNFIT, detail=str(error))
        paths = self._open(self._builder.build(peer))
        return refused(peer, paths) if isinstance(paths, Failed) else None

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
            An identity; a Deferred of one only where an OCSP responder must be asked, or a
            verifier does not answer at once. It fails only if it is cancelled.
        """
        if leaf is None:
            return ANONYMOUS
        built = self._builder.known(leaf, sent)
        if built is not None and (known := self._cleared(built, server_name)) is not None:
            return known
        try:
            peer = read_peer(leaf, sent)
        except BadCertificate as error:
            return Identity(presented=True, reason=Reason.UNFIT, detail=str(error))
        outcome = self._builder.build(peer)
        paths = self._open(outcome)
        if isinstance(paths, Failed):
            return refused(peer, paths)
        closed = self._closed(outcome, paths)
        if not self._must_ask(paths):
            identity = accepted(peer, paths)
            return replace(identity, in_doubt=closed) if closed else identity
        asked = self._interview(built, peer, paths, closed, server_name)
        return _at_once(Deferred.fromCoroutine(asked))

    def judge(self, spec: str, peer: PeerChain, server_name: str) -> Verdict | Deferred[Verdict]:
        """One verifier's verdict on a verified chain, for a rule that names it.

        What did not verify, and a string that names no verifier, are rejections.
        """
        if not peer.verified:
            return Verdict(False, "the chain did not verify")
        try:
            desk = self._desk(spec)
        except BadVerifier as error:
            return Verdict(False, str(error), failed=True)
        return desk.ask(peer, server_name, self._timeout)

    def inquiry(self, spec: str, peer: PeerChain, server_name: str) -> Inquiry:
        """`judge` for those who will ask the same for each of many requests.

        Raises:
            BadVerifier: the string names none.
        """
        return self._desk(spec).inquiry(peer, server_name, self._timeout)

    # -- while it stays --------------------------------------------------------------------

    def still_good(self, identity: Identity, now: float) -> Identity | None:
        """None if an identity that was settled here is what it was; else what it is now.

        That is one that did not verify, with the reason: revoked, expired, no list to rely on,
        or a verifier that does not accept it any more; or one with fewer client CAs, or other
        attributes. OCSP responders are asked in the background, a while before what they said
        has had its time, verifiers as soon as it has. It takes about as long as a look-up, so it
        can be asked of every open connection. ``now`` is in seconds since the epoch.
        """
        changed = self._lifetimes.still_good(identity, now)
        return self._juries.against(changed or identity, now) or changed

    def next_change(self, identity: Identity, now: float) -> float:
        """When time alone may change `still_good`'s answer, in seconds since the epoch.

        The end of a certificate, a list that goes stale, or an OCSP answer or a verdict that is
        to be renewed (this may be past while that is under way); infinity for an identity that
        has nothing to lose. Ask again after each change of the lists.
        """
        change = self._lifetimes.next_change(identity, now)
        return min(change, self._juries.until(identity)) if identity.verified else change

    @property
    def lists(self) -> Mapping[str, RevocationLists]:
        """The revocation lists of each client CA, by its name. Hosts with the CA share them."""
        return {name: authority.lists for name, authority in self._authorities.items()}

    def adopt(self, earlier: Mapping[str, RevocationLists]) -> None:
        """Take over from the lists that served before (by client CA), where they were better."""
        now = self._now()
        for name, lists in self.lists.items():
            before = earlier.get(name)
            if before is not None and before is not lists:
                lists.adopt(before, now)

    # -- for people ------------------------------------------------------------------------

    def attempts(self, peer: PeerChain) -> tuple[Attempt, ...] | Failed:
        """What became of each client CA that a chain could end at, before anybody objects."""
        return self._builder.attempts(peer, self._now())

    def told(self, path: Path) -> str | None:
        """What OCSP responders are known to have against a path; "" is nothing, None not asked.

        Where they need not answer, also what they could not be asked.
        """
        if self._statuses is None or not self._statuses.concern((path,)):
            return None
        known = self._statuses.look((path,))
        if known is None:
            return None
        return known.detail if isinstance(known, Failed) else self._statuses.doubt(path)

    def health(self, now: float) -> tuple[CrlHealth, ...]:
        """The condition of every list; ``now`` is in seconds since the epoch."""
        return tuple(
            replace(health, client_ca=name)
            for name, lists in self.lists.items()
            for health in lists.health(now)
        )

    def closed(self, now: float) -> Mapping[str, tuple[str, ...]]:
        """The issuers whose certificates are refused for want of a list, by client CA.

        An empty tuple where there is none, as for client CAs that only warn.
        """
        found = {}
        for name, authority in self._authorities.items():
            lists = authority.lists
            required = lists.policy == "require"
            issuers = [i for i, _ in lists.closed(authority.certificates, now)] if required else []
            if not lists.leaf_only and authority.anchors <= {issuer.der for issuer in issuers}:
                issuers = list(authority.certificates)  # nothing below them can be told
            found[name] = tuple(issuer.subject for issuer in issuers)
        return found

    def troubles(self) -> tuple[str, ...]:
        """What is wrong with the revocation lists now, with remedies, for logs and `check`."""
        now = self._now()
        found = (a.lists.troubles(a.certificates, now) for a in self._authorities.values())
        return tuple(dict.fromkeys(trouble for troubles in found for trouble in troubles))

    def _open(self, built: Built | Failed) -> tuple[Path, ...] | Failed:
        """The paths that no revocation list closes, ``built.paths`` itself where none does.

        Revocation is looked up every time: it costs a set look-up, and a remembered answer
        would outlive the list it came from. A revoked certificate closes every path: the same
        issuer's word counts for all client CAs, whichever of them names its list.
        """
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
        if closed is None:
            return built.paths
        return tuple(open_paths) or closed

    def _closed(self, built: Built | Failed, paths: tuple[Path, ...]) -> Doubts:
        """The client CAs that are not among the open paths since their lists cannot tell."""
        if isinstance(built, Failed) or paths is built.paths:
            return ()
        now = self._now()
        looked_up = [
            (path.client_ca, self._authorities[path.client_ca].lists.check(path.chain, now))
            for path in built.paths
        ]
        return tuple([(name, failed.detail) for name, failed in looked_up if failed is not None])

    def _cleared(self, built: Built, server_name: str) -> Identity | None:
        """Who that is, where it came before and everybody's word on it still holds."""
        if self._open(built) is not built.paths:
            return None
        statuses = self._statuses
        if self._verifies and self._juries.concern(built.paths):
            return self._words.recall(built, server_name) if statuses is None else None
        if statuses is not None and statuses.look(built.paths) is not built.paths:
            return None
        return built.identity

    def _must_ask(self, paths: tuple[Path, ...]) -> bool:
        if self._statuses is not None and self._statuses.concern(paths):
            return True
        return self._juries.concern(paths)

    async def _interview(
        self,
        built: Built | None,
        peer: PeerChain,
        paths: tuple[Path, ...],
        closed: Doubts,
        server_name: str,
    ) -> Identity:
        """Hear the verifiers of each client CA; those of which all accept are the identity's.

        Before them the OCSP responders, which may leave nothing to be heard about.
        """
        if self._statuses is not None:
            told = await self._statuses.told(paths)
            if isinstance(told, Failed):
                return refused(peer, told)
            untold = [path.client_ca for path in paths if path not in told]
            closed += tuple([(name, UNTOLD) for name in untold])
            paths = told
        spoken: dict[str, Spoken] = {}
        for path in paths:
            spoken[path.client_ca] = await self._juries.hear(peer, path, server_name)
        heard = [said for _, said in spoken.values()]
        accepting = tuple(path for path in paths if spoken[path.client_ca][1].objection is None)
        if not accepting:
            objection = next(filter(None, (said.objection for said in heard)), "")
            return refused(peer, Failed(Reason.REJECTED, objection, chain=paths[0].chain))
        doubts = in_doubt(spoken, closed)
        identity = self._vouched_for(peer, accepting, spoken, doubts, server_name)
        # They took their time, in which lists may have changed, and certificates ended.
        changed = self._lifetimes.still_good(identity, self._now())
        if changed is None and built is not None and paths is built.paths:
            self._words.keep(built, server_name, identity, heard)
        return changed or identity

    def _vouched_for(
        self,
        peer: PeerChain,
        paths: tuple[Path, ...],
        spoken: dict[str, Spoken],
        doubts: Doubts,
        host: str,
    ) -> Identity:
        """The same `Identity` for the same findings: much is remembered by it."""
        spoken = {path.client_ca: spoken[path.client_ca] for path in paths}
        attributes = learned(tuple(spoken.values()))
        ders = tuple(tuple(each.der for each in path.chain) for path in paths)
        sent = tuple(each.der for each in peer.sent)
        key = (host, ders, tuple(spoken), sent, frozenset(attributes.items()), doubts)
        identity = self._vouched.get(key)
        if identity is None:
            identity = replace(accepted(peer, paths, attributes), in_doubt=doubts)
            if self._verifies:
                identity = replace(identity, testimony=Testimony(host, spoken))
            if sum(len(each.der) for each in (peer.leaf, *peer.sent)) <= LARGEST_CACHED:
                self._vouched.put(key, identity)
        elif isinstance(identity.testimony, Testimony):
            identity.testimony.spoken.update(spoken)
        return identity

    def _desk(self, spec: str) -> VerifierDesk:
        desk = self._desks.get(spec)
        if desk is None:
            made = self._make(spec)
            if not isinstance(made, VerifierDesk):
                made = VerifierDesk(_name(spec), made, self._clock, self._now)
            desk = self._desks[spec] = made
        return desk


def _at_once(settling: Deferred[Identity]) -> Identity | Deferred[Identity]:
    """An identity that is there already, without its Deferred: nobody needs to be paused."""
    if settling.called and isinstance(settling.result, Identity):
        return settling.result
    return settling


def _name(spec: str) -> str:
    """A verifier's name; its arguments may hold what a log should not."""
    return spec.partition(":")[0]
