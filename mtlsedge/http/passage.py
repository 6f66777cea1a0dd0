"""What does a request carry that was let through? Put together once, also for those like it.

Clients repeat themselves byte for byte, on one connection and from one to the next. What such a
request led to, its repetition leads to as well, while nothing has changed that it rests on: it
is the same caller's, whose certificate is looked at in each handshake and each second
(``http.vigil``), under the same configuration; and time alone changes nothing before ``until``.
A caller that becomes another one, by its certificate, its attributes or the configuration, has
other passages.

So does a request for another path, with the same method and fields, if the same application
governs that path: nothing else of a decision looks at it (``ruling.decide``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from re import Match
from typing import Any

from twisted.internet.defer import Deferred

from mtlsedge.errors import BadTarget
from mtlsedge.http.access import AccessSession
from mtlsedge.http.messages import RequestHead
from mtlsedge.http.origin_request import render_request
from mtlsedge.http.site import Caller, Verdicts, remember
from mtlsedge.http.wellknown import PREFIX
from mtlsedge.identity import Verdict
from mtlsedge.ops.accesslog import asked_fragment, judged_fragment, noted_fragment
from mtlsedge.policy.application import CompiledApplication
from mtlsedge.policy.question import AmbiguousPath, Decision
from mtlsedge.target import RequestPath, Target, read_path

_Words = tuple[tuple[Callable[[], Any], Verdict], ...]
_FRESH = 60.0  # seconds
_LONGEST = 2048  # bytes of a request that is remembered


class Passage:
    """A decision that admits, and all that goes on to the origin with the request.

    Attributes:
        session: the caller's at the application, None where it has none.
        good_cookies: the caller's own tokens among the request's cookies.
        upgrade: the protocols that the origin may be asked to switch to, b"" if none.
        since, until: the wall clock's time for which all of this holds.
        set_cookie: the header line that hands the caller its token, where it has not got it yet.
        asked_log, judged_log: a log line's words on target and decision.
        heard: what verifiers that rules name said, for the attributes that go on to the origin.
        lasting: how to recall what verifiers said that holds for a while, and what that was.
            Each connection hears it once before it takes the passage.
        anew: how to ask those whose word was for this request alone, and what that was. The
            passage is taken if each of them, asked for that request, at once says the same.
    """

    __slots__ = (
        "_authority",
        "_before_id",
        "_behind_id",
        "_said_until",
        "anew",
        "asked_log",
        "decision",
        "good_cookies",
        "head",
        "heard",
        "judged_log",
        "lasting",
        "session",
        "set_cookie",
        "since",
        "target",
        "until",
        "upgrade",
    )

    def __init__(
        self,
        head: RequestHead,
        target: Target,
        decision: Decision,
        session: AccessSession | None,
        good_cookies: list[str],
        upgrade: bytes,
        heard: Mapping[str, Verdict],
        now: float,
    ) -> None:
        self.head = head
        self.target = target
        self.decision = decision
        self.session = session
        self.good_cookies = good_cookies
        self.upgrade = upgrade
        self.heard = heard
        self.lasting: _Words = ()
        self.anew: _Words = ()
        self.asked_log = asked_fragment(target.host, target.method, target.request_path.path)
        application = decision.application.name if decision.application is not None else ""
        self.judged_log = judged_fragment(
            decision.word, application, decision.policy, decision.reason
        )
        if decision.service_token or decision.shadow:
            self.judged_log += noted(decision)
        self.since, self.until = now, now + _FRESH
        if session is not None:
            self.until = min(self.until, session.until)
        self._authority: bytes | None = None
        self._say(now)

    def _say(self, now: float) -> None:
        session = None if self.good_cookies else self.session
        self.set_cookie = b"" if session is None else session.cookie.line(now)
        self._said_until = int(now) + 1  # tokens end at a whole second

    def holds(self, now: float) -> bool:
        """Whether all of this is as it was; if so, the age of the cookie is told by this clock."""
        if not self.since <= now < self.until:
            return False
        if now >= self._said_until:
            self._say(now)
        return True

    def elsewhere(self, head: RequestHead, path: RequestPath) -> Passage:
        """The same for another path, which ``head`` asks for."""
        other = Passage.__new__(Passage)
        earlier = self.target
        other.head = head
        other.target = Target(earlier.method, earlier.host, path)
        other.decision = self.decision
        other.session = self.session
        other.good_cookies = self.good_cookies
        other.upgrade = self.upgrade
        other.heard, other.lasting, other.anew = self.heard, self.lasting, self.anew
        other.asked_log = asked_fragment(earlier.host, earlier.method, path.path)
        other.judged_log = self.judged_log
        other.since, other.until = self.since, self.until
        other.set_cookie, other._said_until = self.set_cookie, self._said_until
        other._authority = self._authority
        if self._authority is not None:
            before = self._before_id
            line = f"{earlier.method} {path.path}{path.query}".encode("ascii")
            other._before_id = line + before[before.index(b" HTTP/1.1\r\n") :]
            other._behind_id = self._behind_id
        return other

    @property
    def weight(self) -> int:
        """About how many bytes it takes to remember it."""
        head = self.head
        words = len(self.lasting) + len(self.anew)
        return 4096 + 100 * len(head.headers) + 6 * len(head.raw) + 1024 * words

    def request(self, caller: Caller, authority: bytes, request_id: str) -> bytes:
        """The head for an origin whose own name is ``authority``."""
        if authority is not self._authority:
            host = authority
            if caller.site.host.preserve_host:
                host = self.head.host or self.target.host.encode("ascii")
            self._before_id, self._behind_id = render_request(
                self.head,
                self.target,
                caller,
                host=host,
                session=self.session,
                good_cookies=self.good_cookies,
                upgrade=self.upgrade,
                heard=self.heard,
            )
            self._authority = authority
        return b"%b%b%b" % (self._before_id, request_id.encode("ascii"), self._behind_id)


def noted(decision: Decision) -> str:
    """A log line's words on what only some decisions have; "" of most."""
    shadow = [(would.policy, would.word) for would in decision.shadow]
    return noted_fragment(decision.service_token, shadow)


def recall(caller: Caller, request: bytes, now: float) -> Passage | None:
    """The passage of the same request a moment ago; None where all is to be asked again.

    ``now`` is the wall clock's.
    """
    passage = caller.passages.get(request)
    if passage is None:
        return None
    if (
        passage.holds(now)
        and (not passage.good_cookies or _same_cookies(passage, caller))
        and (not passage.lasting or _is_told(passage, caller, now))
        and (not passage.anew or _same_words(passage, caller))
    ):
        return passage
    caller.passages.clear()
    return None


def recall_elsewhere(
    caller: Caller, request: bytes, line: Match[bytes] | None, now: float
) -> Passage | None:
    """The passage of a request that differs from one a moment ago by its path alone.

    ``line`` is the method and target that ``request`` begins with. None where all is to be
    asked, also where there is anything odd about the path: refusals are not made here.
    """
    if line is None or len(request) > _LONGEST:
        return None
    pattern = (line[1], request[line.end(2) :])
    earlier = caller.passages.get(pattern)
    if earlier is None:
        return None
    if not earlier.holds(now):
        caller.passages.clear()
        return None
    path = _plain_path(line[2])
    if path is None or not _governs_too(earlier, path, caller):
        return None
    head = earlier.head.again(earlier.head.method, line[2], request)
    passage = earlier.elsewhere(head, path)
    caller.let_through(request, passage, passage.weight)
    if pattern not in caller.passages:  # all others were just forgotten
        caller.let_through(pattern, earlier, len(request))
    return passage


def _plain_path(target: bytes) -> RequestPath | None:
    """A path that everybody reads alike, and that is not the edge's own."""
    try:
        path = read_path(target)
    except BadTarget:
        return None
    return None if path.readings or path.path.startswith(PREFIX) else path


def _governs_too(earlier: Passage, path: RequestPath, caller: Caller) -> bool:
    """Whether a path falls under the application that an earlier request fell under."""
    try:
        application = caller.policy_for(earlier.target.host).governing(path)
    except AmbiguousPath:
        return False
    return application is earlier.decision.application


def _same_cookies(passage: Passage, caller: Caller) -> bool:
    """The caller's own tokens may end at any moment, so that these are looked at each time."""
    session, application = passage.session, passage.decision.application
    if session is None or application is None:
        return False
    return caller.site.tokens.still_valid(
        passage.good_cookies, application, passage.target.host, session.holder
    )


def _is_told(passage: Passage, caller: Caller, now: float) -> bool:
    """Whether this connection was told what the passage rests on, or is so now by memory alone."""
    if now < caller.confirmed.get(passage, 0.0):
        return True
    until = passage.until
    for recall_word, said in passage.lasting:
        says = recall_word()
        if says is None or not _alike(says, said):
            return False
        until = min(until, now + says.cache_for)
    remember(caller.confirmed, passage, until)
    return True


def _alike(says: Verdict, said: Verdict) -> bool:
    """A failure is no no: where that admits, for an exclusion, it does not."""
    if says.accepted is not said.accepted or says.failed is not said.failed:
        return False
    return says.attributes == said.attributes


def _same_words(passage: Passage, caller: Caller) -> bool:
    """Ask for this request those verifiers whose word was for another one alone.

    One that does not say the same, or not at once, is asked again with all others, and this
    connection remembers nothing more that rests on such a one: it would ask twice each time.
    """
    for ask, said in passage.anew:
        says = ask()
        if says is said:
            continue
        if isinstance(says, Deferred):
            says.addErrback(lambda _: None)
            says.cancel()
        elif _alike(says, said):
            continue
        caller.fickle = True
        return False
    return True


def keep(caller: Caller, request: bytes, passage: Passage) -> None:
    """Keep a passage for the next such request; not one that took a service token."""
    if len(request) > _LONGEST or passage.head.client_id:
        return
    application = passage.decision.application
    if application is not None and application.verifiers:
        verdicts = caller.verdicts.get(passage.target.host)
        if verdicts is None and caller.identity.verified:
            return  # nobody was asked, or what they said is forgotten
        if verdicts is not None and not _may_rest_on(passage, verdicts, application, caller):
            return
    caller.let_through(request, passage, passage.weight)
    if _is_pattern(passage):
        head = passage.head
        fields = len(head.method) + 1 + len(head.target)
        pattern = (head.method.encode("ascii"), request[fields:])
        caller.let_through(pattern, passage, len(request))


def _may_rest_on(
    passage: Passage, verdicts: Verdicts, application: CompiledApplication, caller: Caller
) -> bool:
    """Bound a passage by what verifiers said; False if what they said cannot be had again."""
    judge, chain, host = caller.site.judge, caller.identity.chain, passage.target.host
    if judge is None or chain is None or any(s not in verdicts for s in application.verifiers):
        return False
    brief = any(verdicts[spec].cache_for <= 0.0 for spec in application.verifiers)
    if brief and (verdicts.late or caller.fickle):
        return False
    asking = [(judge.inquiry(spec, chain, host), verdicts[spec]) for spec in application.verifiers]
    passage.lasting = tuple((each.recall, said) for each, said in asking if said.cache_for > 0.0)
    passage.anew = tuple((each.ask, said) for each, said in asking if said.cache_for <= 0.0)
    passage.until = min(passage.until, verdicts.lasting)
    remember(caller.confirmed, passage, passage.until)
    return True


def _is_pattern(passage: Passage) -> bool:
    """Whether requests for other paths may follow it: not if it rests on more than who asks."""
    if passage.head.cookies:
        return False
    application = passage.decision.application
    return application is None or not (application.verifiers or application.shadows)
