"""Where are a host's origins? From what the operator wrote to endpoints that connect."""

from __future__ import annotations

from typing import Any, cast

from cryptography import x509
from OpenSSL import crypto
from twisted.internet import endpoints, ssl
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IStreamClientEndpoint

from mtlsedge import model
from mtlsedge.http.origins import Origin, OriginGroup, OriginSettings
from mtlsedge.ops.deadlines import Deadlines

_NO_TIMEOUT = 365 * 86400.0  # endpoints know no "for ever"


def origin_group(host: model.Host, deadlines: Deadlines, reactor: Any) -> OriginGroup:
    """The pools of one host's origins.

    Raises:
        ValueError: the CA or the client certificate towards an origin cannot be used.
    """
    settings = _settings(host)
    return OriginGroup(
        [
            Origin(
                str(upstream),
                _authority(upstream),
                _endpoint(upstream, host, reactor),
                settings,
                deadlines,
            )
            for upstream in host.upstream
        ]
    )


def _settings(host: model.Host) -> OriginSettings:
    limits, timeouts = host.limits, host.timeouts
    return OriginSettings(
        head_limit=limits.response_head,
        connections=limits.origin_connections,
        idle=limits.origin_idle,
        queue=limits.origin_queue,
        connect=timeouts.origin_connect,
        response=timeouts.origin_response,
        keep_alive=timeouts.origin_keep_alive,
        retry=timeouts.origin_retry,
        queue_wait=timeouts.queue,
    )


def _authority(upstream: model.Upstream) -> bytes:
    if upstream.scheme == "unix":
        return b"localhost"
    default = {"http": 80, "https": 443}[upstream.scheme]
    host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
    port = "" if upstream.port == default else f":{upstream.port}"
    return f"{host}{port}".encode("ascii")


def _endpoint(upstream: model.Upstream, host: model.Host, reactor: Any) -> IStreamClientEndpoint:
    timeout = host.timeouts.origin_connect or _NO_TIMEOUT
    if upstream.scheme == "unix":
        return endpoints.UNIXClientEndpoint(reactor, upstream.path, timeout=timeout)
    endpoint = _tcp_endpoint(upstream, timeout, reactor)
    if upstream.scheme == "https":
        options = _tls_options(upstream, host.upstream_tls)
        return endpoints.wrapClientTLS(options, endpoint, clock=reactor)
    return endpoint


def _tcp_endpoint(upstream: model.Upstream, timeout: float, reactor: Any) -> IStreamClientEndpoint:
    # An address needs no resolver, which is a thread, nor several attempts side by side.
    kind: Any = endpoints.HostnameEndpoint
    if isIPAddress(upstream.host):
        kind = endpoints.TCP4ClientEndpoint
    elif isIPv6Address(upstream.host):
        kind = endpoints.TCP6ClientEndpoint
    return cast(IStreamClientEndpoint, kind(reactor, upstream.host, upstream.port, timeout=timeout))


def _tls_options(upstream: model.Upstream, tls: model.UpstreamTLS) -> Any:
    """Verification by Twisted, which checks names with service-identity (RFC 9525)."""
    client, chain = None, []
    if tls.client is not None:
        client = ssl.PrivateCertificate.loadPEM(tls.client.key + b"\n" + tls.client.certificate)
        chain = _certificates(tls.client.certificate)[1:]
    return ssl.optionsForClientTLS(
        tls.server_name or upstream.host,
        trustRoot=_trust_root(tls.ca),
        clientCertificate=client,
        acceptableProtocols=[b"http/1.1"],
        extraCertificateOptions={"extraCertChain": chain} if chain else None,
    )


def _trust_root(ca: bytes) -> Any:
    if not ca:
        return ssl.platformTrust()  # the operator wrote "system"
    return ssl.trustRootFromCertificates([ssl.Certificate(found) for found in _certificates(ca)])


def _certificates(pem: bytes) -> list[crypto.X509]:
    found = x509.load_pem_x509_certificates(pem)
    return [crypto.X509.from_cryptography(each) for each in found]
