"""What do the edge's own HTTP requests have in common, whoever makes them?

A body that is sent at once, an answer of limited size, what went wrong in words, and whom https
is believed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

ASIDE = 128 * 1024
"""Bytes of an answer beside its content: a head, and a whole read beyond the end."""


def trust_in(bundle: bytes) -> Any:
    """What https is verified by: the CAs in a PEM bundle, and no others.

    Raises:
        ValueError: the bundle cannot be read.
    """
    begin = b"-----BEGIN CERTIFICATE-----"
    try:
        found = [Certificate.loadPEM(begin + part) for part in bundle.split(begin)[1:]]
    except Exception as error:
        raise ValueError(f"the CAs for https cannot be read: {error}") from error
    return trustRootFromCertificates(found)


def why(error: BaseException) -> str:
    """What went wrong, in words."""
    reasons = getattr(error, "reasons", None)  # of an attempt, a name of each connection
    if reasons and isinstance(reasons[0], Failure) and reasons[0].value is not None:
        return why(reasons[0].value)
    return str(error) or type(error).__name__


@implementer(IBodyProducer)
class Whole:
    """A body that is sent in one piece."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.length = len(content)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._content)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is all sent."""

    def resumeProducing(self) -> None:
        """It is all sent."""

    def stopProducing(self) -> None:
        """It is all sent."""


class Gathered(Protocol):
    """Gathers the body of an answer, if it has at most so many bytes.

    Args:
        failed: makes an error of words.

    Attributes:
        done: fires with the body. Cancelled, it closes the connection.
    """

    def __init__(self, most: int, failed: Callable[[str], Exception]) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._close())
        self._parts: list[bytes] = []
        self._size = 0
        self._most = most
        self._failed = failed

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._most:
            self._parts.append(data)
        else:
            self._fail(f"it has more than {self._most} bytes")
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone):
            self.done.callback(b"".join(self._parts))
        else:  # also a body whose end nothing marks: it may have been cut off
            assert reason.value is not None
            self._fail(f"it was cut off: {why(reason.value)}")

    def _fail(self, words: str) -> None:
        self._parts.clear()
        if not self.done.called:
            self.done.errback(self._failed(words))

    def _close(self) -> None:
        if self.transport is not None:
            abort = getattr(self.transport, "abortConnection", self.transport.loseConnection)
            abort()
