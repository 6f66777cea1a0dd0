"""What happened, one JSON object a line, in a form that no peer can forge?

Two halves: functions that format lines, built for the hot path, and ``AccessLog``, which gathers
lines and writes them. Whatever a peer chose goes through JSON's ASCII encoding, so a line has
exactly one newline, at its end, whatever was sent.

Paths are logged without their query: queries carry secrets, and policy does not read them.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from time import gmtime, strftime

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from mtlsedge.errors import EdgeError
from mtlsedge.identity import Identity

_logger = Logger()

quote = encode_basestring_ascii
"""A text as a JSON string, quotes and all, in ASCII; lone surrogates survive (RFC 8259 §8.2)."""

_LONGEST_NAME = 1024  # characters of a distinguished name, a reason: a certificate may have 100 KB
_LONGEST_REMEMBERED = 200  # characters of a reason: others tell of what a peer sent
_MOST_NAMES = 16  # of client CAs
_FLUSH_AFTER = 0.1  # seconds
_FLUSH_BYTES = 64 * 1024
_MOST_PENDING = 1024 * 1024  # bytes kept for a reader that stalls; lines beyond are dropped
_ATOMIC = 4096  # PIPE_BUF: more than that may mix with another worker's lines in a pipe


# -- lines ---------------------------------------------------------------------------------------


def client_fragment(address: str, port: int) -> str:
    """Who is at the other end of the socket. Once per connection."""
    return f'"client":{quote(address)},"port":{port:d}'


def certificate_fragment(identity: Identity) -> str:
    """What the connection proved. Once per connection.

    ``reason`` is a class that refusals name too; ``detail`` is for the log only.
    """
    leaf = identity.chain.leaf if identity.chain is not None else None
    return (
        f'"cert":{{"presented":{_boolean(identity.presented)}'
        f',"verified":{_boolean(identity.verified)}'
        f',"reason":{quote(identity.reason.value)}'
        f',"detail":{_short(identity.detail)}'
        f',"subject":{_short(leaf.subject if leaf else "")}'
        f',"issuer":{_short(leaf.issuer if leaf else "")}'
        f',"serial":{_short(leaf.serial if leaf else "")}'
        f',"fingerprint_sha256":{_short(leaf.fingerprint_sha256 if leaf else "")}'
        f"{_client_cas(identity.client_cas)}}}"
    )


def _client_cas(names: tuple[str, ...]) -> str:
    """Which client CAs it verified by; one name for all beyond the most that a line has."""
    if not names:
        return ""
    shown = names if len(names) <= _MOST_NAMES else (*names[:_MOST_NAMES], "\u2026")
    return f',"client_cas":[{",".join(map(_short, shown))}]'


def tls_fragment(version: str, cipher: str, group: str, resumed: bool) -> str:
    """How the connection is protected. Once per connection."""
    return (
        f'"tls":{{"version":{quote(version)},"cipher":{quote(cipher)}'
        f',"group":{quote(group)},"resumed":{_boolean(resumed)}}}'
    )


def asked_fragment(host: str, method: str, path: str) -> str:
    """What was asked for; ``path`` is the canonical one, without the query."""
    return f'"host":{quote(host)},"method":{quote(method)},"path":{quote(path)}'


def judged_fragment(decision: str, application: str, policy: str, reason: str) -> str:
    """What policy said, the reason in full. It says the same of most requests."""
    judged = _judged if len(reason) <= _LONGEST_REMEMBERED else _judged.__wrapped__
    return judged(decision, application, policy, reason)


@lru_cache(maxsize=1024)
def _judged(decision: str, application: str, policy: str, reason: str) -> str:
    return (
        f'"decision":{quote(decision)},"application":{quote(application)},'
        f'"policy":{quote(policy)},"reason":{_short(reason)}'
    )


def noted_fragment(service_token: str, shadow: Iterable[tuple[str, str]]) -> str:
    """What only some requests have, to go behind ``judged_fragment``'s words.

    Arguments:
        service_token: the name of the one that was proved, "" for none.
        shadow: names of shadow policies with what each would have decided.
    """
    token = f',"service_token":{quote(service_token)}' if service_token else ""
    would = ",".join(f'{{"policy":{quote(p)},"decision":{quote(d)}}}' for p, d in shadow)
    return token + (f',"shadow":[{would}]' if would else "")


def request_line(
    time: float,
    event: str,
    request_id: str,
    client: str,
    asked: str,
    status: int,
    bytes_in: int,
    bytes_out: int,
    duration: float,
    origin_time: float | None,
    origin: str,
    judged: str,
    cert: str,
    tls: str,
) -> str:
    """The line of one request, without its newline.

    Arguments:
        time: when the request began, in seconds since the epoch.
        event: ``request``, or what else has the same fields, such as ``tunnel`` or ``cut``.
        client, asked, judged, cert, tls: fragments made by the functions above.
        bytes_in, bytes_out: of the bodies, as they passed the client's side.
        duration: seconds from the request's first byte to the answer's last.
        origin_time: seconds until the origin's response head; None where no origin was asked.
        origin: which origin answered, "" for none.
    """
    waited = "null" if origin_time is None else _seconds(origin_time)
    return (
        f'{{"time":"{timestamp(time)}","event":{quote(event)},"request_id":{quote(request_id)},'
        f'{client},{asked},"status":{status},"bytes_in":{bytes_in},"bytes_out":{bytes_out},'
        f'"duration":{_seconds(duration)},"origin_time":{waited},"origin":{quote(origin)},'
        f"{judged},{cert},{tls}}}"
    )


def handshake_failure_line(
    *, time: float, client: str, server_name: str, reason: str, cert: str, tls: str
) -> str:
    """The line of a handshake that led to no connection, without its newline.

    ``server_name`` is what the client asked for, as text (bytes decoded as Latin-1), "" for none.
    """
    return (
        f'{{"time":"{timestamp(time)}","event":"handshake",{client}'
        f',"server_name":{_short(server_name)},"reason":{_short(reason)},{cert},{tls}}}'
    )


def timestamp(time: float) -> str:
    """A time as ISO 8601 in UTC, to the millisecond: ``2026-11-23T14:00:00.123Z``."""
    global _second, _second_text, _millisecond, _text
    milliseconds = int(time * 1000)
    if milliseconds != _millisecond:
        second, rest = divmod(milliseconds, 1000)
        if second != _second:
            _second, _second_text = second, strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
        _millisecond, _text = milliseconds, f"{_second_text}.{rest:03d}Z"
    return _text


_second = _millisecond = 0
_second_text = "1970-01-01T00:00:00"
_text = "1970-01-01T00:00:00.000Z"


def _seconds(duration: float) -> str:
    """A duration as a JSON number: clocks that step back and NaN are 0."""
    return "%.6f" % duration if 0.0 <= duration < 1e12 else "0.0"  # noqa: UP031 (twice as fast)


def _short(text: str) -> str:
    return quote(text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME] + "\u2026")


def _boolean(value: bool) -> str:
    return "true" if value else "false"


# -- the file ------------------------------------------------------------------------------------


class AccessLog:
    """Where lines go: a file, standard output or nowhere.

    Lines are gathered and written with one system call a tenth of a second, or as soon as there
    are 64 KiB. Nothing here raises once it is open, and nothing waits: where a disk is full, or
    the reader of a pipe stalls, lines are dropped and counted, and the edge serves on.

    Attributes:
        enabled: whether lines go anywhere, so that nobody formats them for nothing.
        dropped: lines that were lost so far.
    """

    def __init__(self, destination: str, reactor: IReactorTime) -> None:
        """Open a log at ``destination``: a path, "-" for standard output, "" for none.

        Raises:
            EdgeError: it cannot be opened.
        """
        self.enabled = bool(destination)
        self.dropped = 0
        self._destination = destination
        self._reactor = reactor
        self._lines: list[str] = []
        self._pending = 0  # characters, which are bytes: lines are ASCII
        self._timer: IDelayedCall | None = None
        self._trouble = False  # the last write failed or would have had to wait
        self._complained = False
        self._torn = False  # the last write ended within a line
        self._sink: _Sink | None = None
        if destination:
            try:
                self._sink = _Sink(destination)
            except OSError as error:
                raise EdgeError(
                    f"the access log {destination!r} cannot be opened: {error.strerror}"
                ) from error

    def write(self, line: str) -> None:
        """Take a line, which has no newline of its own."""
        if self._sink is None:
            return
        if self._pending > _MOST_PENDING:
            self.dropped += 1
            return
        self._lines.append(line)
        self._pending += len(line) + 1
        if self._pending >= _FLUSH_BYTES and not self._trouble:
            self.flush()
        elif self._timer is None:
            self._timer = self._reactor.callLater(_FLUSH_AFTER, self._on_timer)

    def flush(self) -> None:
        """Write what was gathered, now, as far as that goes without waiting."""
        if self._sink is None or not self._lines:
            return
        lines, self._lines, self._pending = self._lines, [], 0
        self._trouble = False
        position, step = 0, self._sink.lines_at_once
        while position < len(lines):
            count = step(lines, position)
            try:
                self._put(lines[position : position + count])
            except BlockingIOError:
                self._trouble = True
                self._lines = lines[position:]
                self._pending = sum(map(len, self._lines)) + len(self._lines)
                return
            except OSError as error:
                self._lose(len(lines) - position, str(error))
                return
            position += count
        if self._complained and not self._trouble:
            self._complained = False
            _logger.warn(
                "the access log {path} is written again; {dropped} lines were lost so far",
                path=self._destination,
                dropped=self.dropped,
            )

    def reopen(self) -> None:
        """Open the path again, after somebody renamed the file. A failure keeps the old one."""
        if self._sink is None:
            return
        self.flush()
        try:
            sink = _Sink(self._destination)
        except OSError as error:
            _logger.error(
                "the access log {path} cannot be reopened, so the old file stays in use: {error}",
                path=self._destination,
                error=error.strerror,
            )
            return
        self._sink.close()
        self._sink = sink
        self._torn = False

    def close(self) -> None:
        """Write what was gathered and close. Lines that come later are not taken."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.flush()
        if self._sink is not None:
            self._sink.close()
            self._sink = None
        self.enabled = False

    def _on_timer(self) -> None:
        self._timer = None
        self.flush()
        if self._lines:
            self._timer = self._reactor.callLater(_FLUSH_AFTER, self._on_timer)

    def _put(self, lines: list[str]) -> None:
        assert self._sink is not None
        data = ("\n".join(lines) + "\n").encode("ascii", "backslashreplace")
        if self._torn:
            data = b"\n" + data
        written = self._sink.put(data)
        self._torn = not data.endswith(b"\n", 0, written) if written else self._torn
        if written < len(data):  # a disk filled up, or a stream, in the middle
            self._lose(data.count(b"\n", written), "it took only a part")

    def _lose(self, lines: int, why: str) -> None:
        self.dropped += lines
        self._trouble = True
        if not self._complained:
            self._complained = True
            _logger.error(
                "the access log {path} cannot be written ({error}); lines are lost until it can",
                path=self._destination,
                error=why,
            )


class _Sink:
    """An open destination. ``put`` takes bytes, says how many it took, and never waits."""

    def __init__(self, destination: str) -> None:
        # Not blocking: a pipe whose reader stalls must not stop the reactor.
        flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        if destination == "-":
            self._file = _standard_output(flags)
        else:
            self._file = os.open(destination, flags | os.O_CREAT, 0o640)
        mode = os.fstat(self._file).st_mode
        self.lines_at_once = _all_lines if stat.S_ISREG(mode) else _atomic_lines
        self._socket = socket.socket(fileno=self._file) if stat.S_ISSOCK(mode) else None

    def put(self, data: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        return os.write(self._file, data)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.detach()
        os.close(self._file)


def _all_lines(lines: list[str], position: int) -> int:
    return len(lines) - position


def _atomic_lines(lines: list[str], position: int) -> int:
    """How many lines a pipe takes whole or not at all; one at least."""
    size, end = 0, position
    while end < len(lines) and (size := size + len(lines[end]) + 1) <= _ATOMIC:
        end += 1
    return max(1, end - position)


def _standard_output(flags: int) -> int:
    """A descriptor of our own for standard output: others share it and want theirs blocking.

    A regular file never blocks, and two descriptions of it would write over one another's lines.
    """
    if stat.S_ISREG(os.fstat(1).st_mode):
        return os.dup(1)
    try:
        return os.open("/proc/self/fd/1", flags)
    except OSError:  # a socket (a service manager's journal), or not ours to open
        return os.dup(1)
