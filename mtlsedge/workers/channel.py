"""How do the parent and a worker speak? In packets of JSON, over a pair of sockets.

The pair keeps packets apart (``SOCK_SEQPACKET``), so there is no framing to get wrong, and the
end of either process is the end of the stream at the other. Nobody waits: what the socket does
not take now is queued, and the reactor sends it.

Descriptors travel from the parent to a worker only. The parent gives the kernel no room for
any, so that whatever a worker sends, it cannot fill the parent's table.
"""

from __future__ import annotations

import json
import os
import socket
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.internet.main import CONNECTION_DONE
from twisted.logger import Logger
from zope.interface import implementer

_log = Logger()

LARGEST = 128 * 1024
"""Bytes of one packet, less than what Linux takes by default; more travels as a payload."""

_BUFFER = 2 * LARGEST
_MOST_AT_ONCE = 64  # packets read before the others of this reactor get their turn
_MOST_FILES = 8  # descriptors with one packet

Message = dict[str, Any]
Heard = Callable[[Message, list[int]], None]


class Broken(Exception):
    """The other end sent what no end of ours sends."""


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.setblocking(False)
    there.setblocking(False)
    return here, there


@implementer(IReadWriteDescriptor)
class Channel:
    """One end.

    Args:
        sock: from ``channel_pair``.
        reactor: in which it is read and written.
        heard: called with every message and the descriptors that came with it, which are its
            own to close.
        lost: called once, when the other end is gone.
        takes_files: whether descriptors are taken at all.

    Attributes:
        waiting: bytes that are queued.
    """

    def __init__(
        self,
        sock: socket.socket,
        reactor: Any,
        heard: Heard,
        lost: Callable[[], None],
        *,
        takes_files: bool,
    ) -> None:
        self.waiting = 0
        self._sock = sock
        self._reactor = reactor
        self._heard = heard
        self._lost = lost
        self._receive = self._receive_all if takes_files else self._receive_text
        self._queue: deque[tuple[bytes, list[int]]] = deque()
        self._ended = False
        reactor.addReader(self)

    def send(self, message: Mapping[str, Any], files: Sequence[int] = ()) -> None:
        """Send a message, now or as soon as it is taken. The descriptors stay the caller's.

        Raises:
            ValueError: it is larger than a packet.
            OSError: this process lacks something, such as a descriptor; nothing was sent.
        """
        if self._ended:
            return
        packet = json.dumps(message).encode("ascii")
        if len(packet) > LARGEST:
            raise ValueError(f"a packet of {len(packet)} bytes; large things go as a payload")
        if self._queue or not self._put(packet, files):
            self._queue.append((packet, [os.dup(each) for each in files]))
            self.waiting += len(packet)
            self._reactor.addWriter(self)

    def close(self) -> None:
        """Speak and hear no more."""
        if not self._ended:
            self._end()

    def abandon(self) -> None:
        """In a process that was just forked: this end is the other's, reactor and all."""
        self._ended = True
        self._close()

    def flush(self, timeout: float) -> None:
        """Send what is queued, waiting for it, at the end of a process.

        Args:
            timeout: seconds for each packet; what was not taken by then is lost.
        """
        if self._ended:
            return
        self._sock.settimeout(timeout)
        with suppress(OSError):
            while self._queue:
                self._sock.send(self._queue.popleft()[0])

    # What the reactor calls.

    def fileno(self) -> int:
        return self._sock.fileno()

    def logPrefix(self) -> str:
        return "worker channel"

    def doRead(self) -> Any:
        for _ in range(_MOST_AT_ONCE):
            try:
                message, files = self._receive()
            except BlockingIOError:
                return None
            except (OSError, Broken) as error:
                if isinstance(error, Broken):
                    _log.error("a worker's channel is broken: {error}", error=error)
                return CONNECTION_DONE
            try:
                self._heard(message, files)
            except Exception:
                _log.failure("a message of the type {kind!r} failed", kind=message.get("type"))
            if self._ended:
                return None
        return None

    def doWrite(self) -> Any:
        while self._queue:
            packet, files = self._queue[0]
            try:
                if not self._put(packet, files):
                    return None
            except OSError as error:
                _log.error("a worker's channel cannot be written: {error}", error=error)
                return CONNECTION_DONE
            self._queue.popleft()
            self.waiting -= len(packet)
            _close(files)
        self._reactor.removeWriter(self)
        return None

    def connectionLost(self, reason: Any) -> None:
        # Any other reason is the end of the reactor, after which there may be last words.
        if not self._ended and reason.check(ConnectionDone):
            self._end()
            self._lost()

    # --

    def _end(self) -> None:
        self._ended = True
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._close()

    def _close(self) -> None:
        self._sock.close()
        for _, files in self._queue:
            _close(files)
        self._queue.clear()
        self.waiting = 0

    def _put(self, packet: bytes, files: Sequence[int]) -> bool:
        """Whether the socket has taken it, or nobody is there who could.

        Raises:
            OSError: this process lacks something, such as memory.
        """
        try:
            if files:
                socket.send_fds(self._sock, [packet], files)
            else:
                self._sock.send(packet)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True  # the other end is gone, which reading tells
        return True

    def _receive_text(self) -> tuple[Message, list[int]]:
        return _read(self._sock.recv(_BUFFER)), []

    def _receive_all(self) -> tuple[Message, list[int]]:
        # Not socket.recv_fds, which forgets the flag.
        room = socket.CMSG_LEN(_MOST_FILES * array("i").itemsize)
        packet, extras, _, _ = self._sock.recvmsg(_BUFFER, room, socket.MSG_CMSG_CLOEXEC)
        files = array("i")
        for level, kind, data in extras:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                files.frombytes(data[: len(data) - len(data) % files.itemsize])
        return _read(packet), list(files)


def _read(packet: bytes) -> Message:
    if not packet:
        raise ConnectionResetError  # the end
    try:
        message = json.loads(packet)
    except (ValueError, RecursionError) as error:
        raise Broken(str(error)) from error
    if not isinstance(message, dict):
        raise Broken("it is no object")
    return message


def _close(files: Sequence[int]) -> None:
    for each in files:
        os.close(each)
