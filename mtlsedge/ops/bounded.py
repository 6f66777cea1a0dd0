"""How much may a server say on one connection? For clients that know how long its answer can be.

Twisted's HTTP client bounds a line of a response's head, but not how many there are.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from mtlsedge.errors import EdgeError

_LONGEST_HEAD = 128 * 1024  # bytes, and a whole read beyond it


class TooMuch(EdgeError):
    """A server said more than its client can have any use for."""


@implementer(IAgentEndpointFactory)
class BoundedEndpoints:
    """Where an ``Agent`` connects to.

    Args:
        policy: what is trusted for https.
        timeout: seconds for connecting.
        most: bytes that a connection may bring; then it is cut.
    """

    def __init__(
        self, reactor: Any, policy: BrowserLikePolicyForHTTPS, timeout: float, most: int
    ) -> None:
        self._reactor = reactor
        self._policy = policy
        self._timeout = timeout
        self._most = most

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """The endpoint of a URL's server."""
        endpoint: Any = HostnameEndpoint(self._reactor, uri.host, uri.port, self._timeout)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return _Bounded(endpoint, self._most)


@implementer(IStreamClientEndpoint)
class _Bounded:
    def __init__(self, endpoint: Any, most: int) -> None:
        self._endpoint = endpoint
        self._most = most

    def connect(self, factory: Any) -> Deferred[Any]:
        connecting: Deferred[Any] = self._endpoint.connect(_Counting(factory, self._most))
        return connecting.addCallback(lambda counted: counted.wrappedProtocol)


class _Counted(ProtocolWrapper):
    """Passes on so many bytes, and then no more."""

    factory: _Counting
    transport: Any
    _left = 0
    _left_of_head = _LONGEST_HEAD
    _in_head = True
    _last = b""

    def makeConnection(self, transport: Any) -> None:
        self._left = self.factory.most
        super().makeConnection(transport)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._in_head and not self._head_fits(data):
            self._left = -1
        if self._left < 0:
            self.transport.abortConnection()
        else:
            super().dataReceived(data)  # type: ignore[no-untyped-call]

    def _head_fits(self, data: bytes) -> bool:
        """Whether the first head may go on, or has ended."""
        seen = self._last + data
        self._in_head = b"\n\r\n" not in seen and b"\n\n" not in seen
        self._last = seen[-2:]
        self._left_of_head -= len(data)
        return not self._in_head or self._left_of_head >= 0

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._left < 0:
            reason = Failure(
                TooMuch(f"it sent more than {self.factory.most} bytes, or a head too long")
            )
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class _Counting(WrappingFactory):
    protocol = _Counted
    noisy = False

    def __init__(self, factory: Any, most: int) -> None:
        super().__init__(factory)  # type: ignore[no-untyped-call]
        self.most = most
