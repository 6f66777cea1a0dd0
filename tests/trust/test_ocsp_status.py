"""How responders are asked: together, not too often, not for too long, and remembered."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID
from ocsp_making import GOOD, HOUR, REVOKED, UNKNOWN, Scripted, answer, nonce_of
from trust_pki import DAY, MOMENT, NOW, Minted, Moving, authority, client, p256
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mtlsedge.model import Ocsp
from mtlsedge.trust.ocsp import Question
from mtlsedge.trust.ocsp_status import (
    AT_THE_MOMENT,
    RETRY_AFTER,
    WARN_AGAIN_AFTER,
    Known,
    StatusDesk,
)
from mtlsedge.trust.responders import AT_ONCE, WAITING

ROOT = authority("Root", key=p256(0), end=MOMENT + 400 * DAY)
LEAF = client("leaf", ROOT, key=p256(1), serial=0xA1)
URL = "http://ocsp.example/"
_names = itertools.count()


def naming(*urls: str, serial: int = 0xB1) -> Minted:
    """A certificate that says where its status is told."""
    access = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url)
            )
            for url in urls
        ]
    )
    return client("named", ROOT, key=p256(1), serial=serial, more_extensions=[(access, False)])


class Office:
    """A desk with everything that it needs, at a time that a test moves."""

    def __init__(self, answers: Any = None, **more: Any) -> None:
        self.clock = Clock()
        self.time = Moving()
        self.post = Scripted(answers or (lambda _: answer(LEAF, ROOT)))
        self.revoked = 0
        self.ocsp = Ocsp(**{"responders": (URL,), **more})
        self.desk = StatusDesk(
            f"office {next(_names)}", self.ocsp, self.post, self.clock, self.time, self._tell
        )

    def _tell(self) -> None:
        self.revoked += 1

    def ask(self, leaf: Minted = LEAF) -> list[Known]:
        told: list[Known] = []
        self.desk.ask(question(leaf), lambda _, __: "").addCallback(told.append)
        return told

    def advance(self, seconds: float) -> None:
        self.time.now += seconds
        self.clock.advance(seconds)

    def learn(self, leaf: Minted = LEAF) -> Known:
        told = self.ask(leaf)
        assert 1 == len(told)
        return told[0]


def question(leaf: Minted = LEAF) -> Question:
    return Question(leaf.read, ROOT.read)


def leaves(count: int) -> list[Minted]:
    return [client(f"leaf {n}", ROOT, key=p256(1), serial=0x1000 + n) for n in range(count)]


# -- what is remembered ----------------------------------------------------------------------


def test_an_answer_is_remembered_until_its_end_but_not_for_longer_than_is_allowed() -> None:
    """nextUpdate or max_age, whichever comes first."""
    office = Office(max_age=3600.0)
    known = office.learn()
    assert ("", "", NOW + 3600) == (known.revoked, known.fault, known.until)
    assert NOW + 0.8 * 3600 <= known.again <= NOW + 0.9 * 3600
    assert known == office.desk.known(question().key)
    soon = Office(lambda _: answer(LEAF, ROOT, end=MOMENT + HOUR / 2))
    assert NOW + 1800 == soon.learn().until


def test_an_answer_without_an_end_counts_for_a_moment() -> None:
    """There may be news at any time."""
    office = Office(lambda _: answer(LEAF, ROOT, start=MOMENT, end=None))
    assert NOW + AT_THE_MOMENT == office.learn().until


def test_a_clock_that_went_back_forgets_who_was_good_and_not_who_was_revoked() -> None:
    """An answer counts for as long as it may, and not until a wrong clock's moment comes again."""
    for status, forgotten in ((GOOD, True), (REVOKED, False)):
        told = answer(LEAF, ROOT, status=status, start=MOMENT, end=None)
        office = Office(lambda _, told=told: told)
        office.time.now += 200
        assert "" == office.learn().fault
        office.time.now -= 10 * 86400
        assert forgotten is (office.desk.known(question().key) is None)


def test_what_is_remembered_outlives_a_configuration() -> None:
    """For the same client CA that asks in the same way; nobody else."""
    office = Office()
    office.learn()
    again = StatusDesk(office.desk.name, office.ocsp, office.post, office.clock, office.time)
    assert office.desk.known(question().key) == again.known(question().key)
    other = Ocsp(responders=(URL,), nonce="require")
    for name, ocsp in (("another", office.ocsp), (office.desk.name, other)):
        desk = StatusDesk(name, ocsp, office.post, office.clock, office.time)
        assert None is desk.known(question().key)


def test_failing_to_learn_is_remembered_for_a_moment() -> None:
    """Longer where clients pass all the same, and would wait for nothing each time."""
    for policy, seconds in (("require", RETRY_AFTER), ("warn", WARN_AGAIN_AFTER)):
        known = Office(lambda _: b"garbage", policy=policy).learn()
        assert NOW + seconds == known.until
        assert f"{URL}: the answer is no OCSP response that can be read" in known.fault


def test_an_answer_that_still_counts_survives_a_failure() -> None:
    """It is tried again well before it ends."""
    office = Office()
    known = office.learn()
    office.advance(3000)
    office.post.answers = lambda _: OSError("connection refused")
    again = office.learn()
    assert (known.until, "") == (again.until, again.fault)
    assert NOW + 3000 + 200 == again.again


def test_a_revocation_is_told_once() -> None:
    """To whoever looks after those whom the answer before let in."""
    office = Office()
    office.learn()
    office.post.answers = lambda _: answer(LEAF, ROOT, status=REVOKED)
    assert office.learn().revoked
    assert 1 == office.revoked
    office.learn()
    assert 1 == office.revoked


def test_a_revocation_stands_though_nobody_repeats_it() -> None:
    """An outage does not unlock a door; nor does an old answer that was kept."""
    office = Office(lambda _: answer(LEAF, ROOT, status=REVOKED, end=MOMENT + HOUR / 2))
    assert office.learn().revoked
    office.advance(7200)
    office.post.answers = lambda _: OSError("connection refused")
    assert office.learn().revoked
    office.advance(10)
    office.post.answers = lambda _: answer(LEAF, ROOT, start=MOMENT - 2 * HOUR, end=MOMENT + DAY)
    assert office.learn().revoked


def test_a_hold_ends_when_a_newer_answer_says_so() -> None:
    """A certificate may be released."""
    office = Office(lambda _: answer(LEAF, ROOT, status=REVOKED))
    assert office.learn().revoked
    office.post.answers = lambda _: answer(LEAF, ROOT, start=MOMENT)
    assert not office.learn().revoked


# -- who is asked ----------------------------------------------------------------------------


def test_a_certificate_has_no_say_in_who_is_asked() -> None:
    """Its responder is asked if the operator listed it, letter by letter."""
    for allowed in ((), (URL,), ("http://evil.example",), ("HTTP://EVIL.EXAMPLE/",)):
        office = Office(responders=(), allowed=allowed)
        known = office.learn(naming("http://evil.example/", "ldap://evil.example/"))
        assert [] == office.post.asked
        assert "it names no OCSP responder that is allowed" == known.fault


def test_a_responder_that_a_certificate_names_and_the_operator_allows_is_asked() -> None:
    """After the operator's own."""
    leaf = naming("http://evil.example/", "http://allowed.example/", URL)
    office = Office(lambda _: b"", allowed=("http://allowed.example/", "http://unnamed.example/"))
    office.learn(leaf)
    assert [URL, "http://allowed.example/"] == office.post.asked


def test_the_next_responder_is_asked_where_one_has_no_answer() -> None:
    """Silence, nonsense and "unknown" are none."""
    answers: list[Any] = [OSError("refused"), b"", answer(LEAF, ROOT, status=UNKNOWN)]
    left = iter([*answers, answer(LEAF, ROOT)])
    urls = tuple(f"http://{n}.example/" for n in range(4))
    office = Office(lambda _: next(left), responders=urls)
    assert "" == office.learn().fault
    assert list(urls) == office.post.asked


def test_each_request_has_a_nonce_of_its_own() -> None:
    """Unpredictable, or an answer could be made ahead."""
    office = Office()
    office.learn()
    office.learn()
    assert 2 == len({nonce_of(request) for request in office.post.requests})


def test_a_required_nonce_is_demanded() -> None:
    """And given, it satisfies."""
    office = Office(nonce="require")
    assert "does not carry the nonce" in office.learn().fault
    office.post.answers = lambda request: answer(LEAF, ROOT, nonce=nonce_of(request))
    assert "" == office.learn().fault


# -- with restraint --------------------------------------------------------------------------


def test_those_who_ask_about_the_same_certificate_wait_together() -> None:
    """One request; who gives up takes nobody along."""
    pending: Deferred[bytes] = Deferred()
    office = Office(lambda _: pending)
    first, second = office.ask(), office.ask()
    third = office.desk.ask(question(), lambda _, __: "")
    third.addErrback(lambda _: None)
    third.cancel()
    office.desk.renew(question(), lambda _, __: "")
    assert ([], [], 1) == (first, second, len(office.post.asked))
    pending.callback(answer(LEAF, ROOT))
    assert first == second == [office.desk.known(question().key)]


def test_a_responder_that_says_nothing_is_given_up() -> None:
    """In its time."""
    office = Office(lambda _: Deferred(), timeout=4.0)
    told = office.ask()
    office.advance(3.9)
    assert [] == told
    office.advance(0.2)
    assert f"{URL}: it did not answer within 4 seconds" == told[0].fault


def test_so_many_are_asked_at_once_and_so_many_wait() -> None:
    """A crowd is no reason to overwhelm a responder, nor to grow without bound."""
    office = Office(lambda _: Deferred(), timeout=4.0)
    told = [office.ask(leaf) for leaf in leaves(AT_ONCE + 2)]
    assert AT_ONCE == len(office.post.asked)
    assert AT_ONCE + 2 == office.desk.health()[0].asking
    office.advance(4.1)
    assert all(each and each[0].fault for each in told)
    office.advance(0)
    assert 0 == office.desk.health()[0].asking


def test_who_comes_when_too_many_wait_is_told_no_at_once() -> None:
    """Nothing is queued without bound."""
    office = Office(lambda _: Deferred())
    responder = next(iter(office.desk._responders.values()))
    waiting = [Deferred.fromCoroutine(responder.ask(b"")) for _ in range(AT_ONCE + WAITING)]
    known = office.learn()
    assert f"{WAITING} requests are waiting" in known.fault
    for each in waiting:
        each.addErrback(lambda _: None)
        each.cancel()
    office.advance(0)
    assert 0 == office.desk.health()[0].asking


def test_a_turn_that_comes_is_used() -> None:
    """Whoever waits gets the place of who is done."""
    pending: list[Deferred[bytes]] = []

    def later(_: bytes) -> Deferred[bytes]:
        pending.append(Deferred())
        return pending[-1]

    office = Office(later)
    told = [office.ask(leaf) for leaf in leaves(AT_ONCE + 1)]
    pending[0].callback(b"")
    office.advance(0)
    assert AT_ONCE + 1 == len(pending)
    for each in pending[1:]:
        each.callback(b"")
    office.advance(0)
    assert all(told)
    assert 0 == office.desk.health()[0].asking


def test_a_responder_that_keeps_failing_is_left_alone_for_a_while() -> None:
    """So that nobody waits for it, and it may recover."""
    office = Office(lambda _: OSError("connection refused"))
    for _ in range(3):
        assert f"{URL}: connection refused" == office.learn().fault
    assert "left alone for a moment" in office.learn().fault
    assert 3 == len(office.post.asked)
    office.advance(1.1)
    office.post.answers = lambda _: answer(LEAF, ROOT)
    assert "" == office.learn().fault
    assert "" == office.learn().fault


def test_a_rest_has_an_end_however_long_an_outage_is() -> None:
    """Half a minute is the longest."""
    office = Office(lambda _: OSError("connection refused"))
    for _ in range(2000):
        office.learn()
        office.advance(31)
    assert 2000 == len(office.post.asked)


def test_nonsense_about_one_certificate_is_no_reason_to_leave_a_responder_alone() -> None:
    """Others may get an answer."""
    office = Office(lambda _: b"garbage")
    for _ in range(10):
        office.learn()
    assert 10 == len(office.post.asked)


def test_a_responders_condition_can_be_told() -> None:
    """For log lines."""
    office = Office(lambda _: OSError("connection refused"))
    office.learn()
    (health,) = office.desk.health()
    assert (URL, 0, 1, "connection refused") == (
        health.url,
        health.answers,
        health.failures,
        health.error,
    )
    office.post.answers = lambda _: answer(LEAF, ROOT)
    office.learn()
    (health,) = office.desk.health()
    assert (1, 1, "", NOW) == (health.answers, health.failures, health.error, health.since)


def test_whatever_goes_wrong_inside_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody waits for ever."""
    office = Office()

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("mtlsedge.trust.ocsp_status.read_answer", broken)
    assert "an internal error, which is in the log" == office.learn().fault
    monkeypatch.undo()
    assert "" == office.learn().fault
