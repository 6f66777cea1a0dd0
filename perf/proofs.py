"""Is this server worth comparing? What must hold before a figure of its counts.

Checked with Python's own ``ssl``, not with the load client: one kind of eyes for the proof and
another for the load.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from dataclasses import dataclass, replace
from pathlib import Path

from OpenSSL import SSL

from perf.catalogue import Unavailable
from perf.client import Failed, check_whole, client_context, connect
from perf.loops import FAILURES, shake
from perf.values import Load

_PATIENCE = 5.0  # seconds: servers may write their log lines in blocks
_CHUNK = 65536
_EVERYBODYS = "X25519"


class NotComparable(Exception):
    """A server that lets anyone in, resumes sessions (or, where it should, does not), or does not
    log; the text says which.
    """


@dataclass(frozen=True, slots=True)
class Claim:
    """What a server must hold to.

    ``unlisted_pem``, if any, is of the right CA, and is refused for the name in it.
    ``stranger_pem`` and ``log`` are None where that cannot be asked: a foreign ``--target``.
    """

    load: Load
    server_ca: str
    stranger_pem: str | None
    log: Path | None
    must_set: str = ""
    unlisted_pem: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen while the claims were checked.

    ``idle_tickets``: it sends session tickets, though it redeems none. OpenSSL does so in
    TLS 1.3 unless it is told a number of 0; it costs the server some 5 % of a handshake.
    """

    version: str
    cipher: str
    cookies: tuple[str, ...]
    body: bytes
    idle_tickets: bool


@dataclass(frozen=True, slots=True)
class _Reply:
    raw: bytes
    version: str
    cipher: str
    session: ssl.SSLSession | None
    reused: bool

    @property
    def status(self) -> int:
        words = self.raw.split(b" ", 2)
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def prove(claim: Claim) -> Facts:
    """Check every claim by trying.

    Raises:
        Unavailable: it does not know the key-exchange group that is to be measured.
        NotComparable: one of them does not hold.
    """
    _knows_group(claim.load)
    marker = f"/proof-{secrets.token_hex(8)}"
    ours = claim.stranger_pem is not None  # so that its origin answers to any path
    load = replace(claim.load, path=marker, paths=1, cookie="") if ours else claim.load
    load = replace(load, workload="handshakes")
    context = _context(claim, load.client_pem)
    try:
        reply = _ask(load, context)
    except OSError as error:
        raise NotComparable(f"a good client is refused: {error!r}") from error
    facts = _facts(reply)
    if load.body:
        try:
            check_whole(reply.raw, load.body)
        except Failed as error:
            raise NotComparable(f"a good client is not answered as it should be: {error}") from None
    if claim.must_set and not any(c.startswith(claim.must_set + "=") for c in facts.cookies):
        raise NotComparable(f"the answer does not set the cookie {claim.must_set}")
    if load.resumed:
        _resumption(load, context, reply)
    else:
        _no_resumption(load, context, reply)
    if claim.stranger_pem is not None:
        _refuses(claim, load, "", "a client without a certificate")
        _refuses(claim, load, claim.stranger_pem, "a certificate of another CA")
    if claim.unlisted_pem:
        _refuses(claim, load, claim.unlisted_pem, "a client that it does not name")
    if claim.log is not None:
        _logs(claim.log, marker.encode("ascii"))
    if claim.load.paths > 1 or claim.load.client_pems:
        _serves_the_last(claim)
    return facts


def log_lines(log: Path, at_least: int) -> int:
    """How many lines a log has, once it has as many as it must or a few seconds have passed."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        lines = _count_lines(log)
        if lines >= at_least or time.monotonic() > deadline:
            return lines
        time.sleep(0.2)


def _context(claim: Claim, pem: str) -> ssl.SSLContext:
    if claim.server_ca:
        context = ssl.create_default_context(cafile=claim.server_ca)
    else:
        context = ssl.create_default_context()
    version = ssl.TLSVersion.TLSv1_3 if claim.load.tls == "1.3" else ssl.TLSVersion.TLSv1_2
    context.minimum_version = context.maximum_version = version
    if pem:
        context.load_cert_chain(pem)
    return context


def _ask(load: Load, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> _Reply:
    with (
        socket.create_connection(load.address, timeout=_PATIENCE) as raw,
        context.wrap_socket(raw, server_hostname=load.name, session=session) as tls,
    ):
        tls.sendall(load.request())
        answer = b""
        while piece := tls.recv(_CHUNK):
            answer += piece
        cipher = tls.cipher()
        return _Reply(
            raw=answer,
            version=tls.version() or "",
            cipher=cipher[0] if cipher else "",
            session=tls.session,
            reused=bool(tls.session_reused),
        )


def _facts(reply: _Reply) -> Facts:
    head, _, body = reply.raw.partition(b"\r\n\r\n")
    fields = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    cookies = tuple(
        value.strip().partition(b";")[0].decode("latin-1")
        for name, _, value in fields
        if name.lower() == b"set-cookie"
    )
    tickets = reply.session is not None and reply.session.has_ticket
    return Facts(reply.version, reply.cipher, cookies, body, tickets)


def _serves_the_last(claim: Claim) -> None:
    """Of many clients the last one gets the same page under the last of many paths."""
    path = claim.load.path_at(claim.load.paths - 1)
    load = replace(claim.load, workload="handshakes", path=path, paths=1, cookie="")
    pem = load.client_pems[-1] if load.client_pems else load.client_pem
    try:
        check_whole(_ask(load, _context(claim, pem)).raw, load.body)
    except (OSError, Failed) as error:
        raise NotComparable(
            f"the last of many is not answered as the first is: {pem} asking for {path}: {error}"
        ) from error
    if claim.log is not None:
        _logs(claim.log, path.encode("ascii"))


def _no_resumption(load: Load, context: ssl.SSLContext, reply: _Reply) -> None:
    if reply.session is None:
        return
    try:
        again = _ask(load, context, reply.session)
    except OSError as error:
        raise NotComparable(
            f"a client that offers its old session is cut off: {error!r}"
        ) from error
    if again.reused:
        raise NotComparable("it resumes sessions")


def _resumption(load: Load, context: ssl.SSLContext, reply: _Reply) -> None:
    """A resumed client gets the page, with the same certificate behind it, and no other one."""
    if reply.session is None:
        raise NotComparable("it gives no session to resume")
    try:
        again = _ask(load, context, reply.session)
        check_whole(again.raw, load.body or again.raw.partition(b"\r\n\r\n")[2])
    except (OSError, Failed) as error:
        raise NotComparable(f"a client that resumes is refused: {error!r}") from error
    if not again.reused:
        raise NotComparable("it does not resume the session that it gave")


def _knows_group(load: Load) -> None:
    """The client offers one group only: a handshake that ends well used it."""
    try:
        _shake(load)
    except FAILURES as error:
        if load.group == _EVERYBODYS:
            return  # something else is wrong: what follows says what
        try:
            _shake(replace(load, group=_EVERYBODYS))
        except FAILURES:
            return
        raise Unavailable(f"it cannot do key exchange with {load.group} ({error!r})") from error


def _shake(load: Load) -> None:
    tls = connect(load, client_context(load))
    try:
        shake(tls)
        tls.set_shutdown(SSL.SENT_SHUTDOWN)
    finally:
        tls.close()


def _refuses(claim: Claim, load: Load, pem: str, who: str) -> None:
    try:
        reply = _ask(load, _context(claim, pem))
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError):
        return  # refused in the handshake
    if not 400 <= reply.status < 500:
        raise NotComparable(f"{who} is not refused but gets {reply.raw[:60]!r}")


def _logs(log: Path, marker: bytes) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not (log.exists() and marker in log.read_bytes()):
        if time.monotonic() > deadline:
            raise NotComparable(f"its access log {log.name} does not tell of a request")
        time.sleep(0.1)


def _count_lines(log: Path) -> int:
    count = 0
    with open(log, "rb") as file:
        while block := file.read(1 << 20):
            count += block.count(b"\n")
    return count
