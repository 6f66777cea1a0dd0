"""What would one build of Twisted alone? ``listenSSL``, ``twisted.web``, an ``Agent`` with a pool.

``python stock_twisted.py SETTINGS.json``: client certificates of one CA demanded, every request
passed to one origin over kept-alive connections, an access log. No server name, no policy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL, crypto
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool
from twisted.web.http import PotentialDataLoss, combinedLogFormatter
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

_BACKLOG = 4096
_IDLE_SECONDS = 300
_CIPHERS = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
_HOP_BY_HOP = {b"connection", b"keep-alive", b"te", b"transfer-encoding", b"upgrade", b"trailer"}


class Relay(Protocol):
    """The origin's body goes to the client as it comes, no faster than the client reads."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def connectionMade(self) -> None:
        self._request.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        self._request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._request.unregisterProducer()
        if not self._request._disconnected:
            if reason.check(SSL.Error, PotentialDataLoss) is None:
                self._request.finish()
            else:
                self._request.loseConnection()


class Proxy(Resource):
    """Every path, passed on."""

    isLeaf = True

    def __init__(self, agent: Agent, origin: bytes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._agent = agent
        self._origin = origin

    def render(self, request: Request) -> int:
        headers = Headers()
        for name, values in request.requestHeaders.getAllRawHeaders():
            if name.lower() not in _HOP_BY_HOP and name.lower() != b"content-length":
                headers.setRawHeaders(name, values)
        headers.setRawHeaders(b"X-Forwarded-For", [request.getClientAddress().host.encode()])
        headers.setRawHeaders(b"X-Forwarded-Proto", [b"https"])
        body: IBodyProducer | None = None
        if request.requestHeaders.hasHeader(b"content-length"):
            body = FileBodyProducer(request.content, readSize=65536)
        asked: Deferred[IResponse] = self._agent.request(
            request.method, self._origin + request.uri, headers, body
        )
        asked.addCallbacks(self._answered, self._failed, (request,), {}, (request,))
        return NOT_DONE_YET

    def _answered(self, response: IResponse, request: Request) -> None:
        request.setResponseCode(response.code, response.phrase)
        for name, values in response.headers.getAllRawHeaders():
            request.responseHeaders.setRawHeaders(name, values)
        if isinstance(response.length, int):
            request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % response.length])
        response.deliverBody(Relay(request))

    def _failed(self, failure: Failure, request: Request) -> None:
        request.setResponseCode(502)
        request.finish()


class LoggedSite(Site):
    """Log lines are written in blocks; Twisted's own file flushes each, and rotates."""

    def _openLogFile(self, path: str | bytes) -> Any:
        file = Path(str(path)).open("a", buffering=65536)  # noqa: SIM115
        LoopingCall(file.flush).start(1.0, now=False)
        return file


def like_the_edge(timestamp: str, request: Request) -> str:
    """A line with the fields that the edge logs; a connection's certificate is read once."""
    channel: Any = request.channel
    cert = getattr(channel, "perf_cert", None)
    if cert is None:
        cert = channel.perf_cert = _certificate(channel.transport)
    line = {
        "time": timestamp,
        "client": request.getClientAddress().host,
        "host": request.getHeader("host") or "",
        "method": request.method.decode("latin-1"),
        "path": request.path.decode("latin-1"),
        "status": request.code,
        "bytes": request.sentLength,
        "cert": cert,
    }
    return json.dumps(line)


def _certificate(transport: Any) -> dict[str, str]:
    presented = transport.getPeerCertificate().to_cryptography()
    return {
        "subject": presented.subject.rfc4514_string(),
        "issuer": presented.issuer.rfc4514_string(),
        "serial": f"{presented.serial_number:X}",
        "fingerprint": presented.fingerprint(hashes.SHA256()).hex(),
    }


def context_factory(settings: dict[str, Any]) -> ssl.CertificateOptions:
    """Twisted's own, with the peers' ciphers; tickets only where sessions are to resume."""
    certificate = ssl.Certificate.loadPEM(Path(settings["certificate"]).read_bytes()).original
    key = ssl.KeyPair.load(Path(settings["key"]).read_bytes(), crypto.FILETYPE_PEM).original
    authority = ssl.Certificate.loadPEM(Path(settings["client_ca"]).read_bytes())
    tickets = settings["tickets"] == "on"
    return ssl.CertificateOptions(
        privateKey=key,
        certificate=certificate,
        trustRoot=ssl.trustRootFromCertificates([authority]),
        acceptableCiphers=ssl.AcceptableCiphers.fromOpenSSLCipherString(_CIPHERS),
        raiseMinimumTo=ssl.TLSVersion.TLSv1_2,
        enableSessionTickets=tickets,
    )


def main() -> None:
    """Serve until told to stop."""
    settings = json.loads(Path(sys.argv[1]).read_text())
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = 256
    pool.cachedConnectionTimeout = _IDLE_SECONDS
    formatter = like_the_edge if settings["log_style"] == "like" else combinedLogFormatter
    site = LoggedSite(  # type: ignore[no-untyped-call]
        Proxy(Agent(reactor, pool=pool), settings["origin"].encode("ascii")),
        logPath=settings["access_log"],
        logFormatter=formatter,
        timeout=_IDLE_SECONDS,
    )
    listen = reactor.listenSSL  # type: ignore[attr-defined]
    listen(settings["port"], site, context_factory(settings), _BACKLOG, "127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
