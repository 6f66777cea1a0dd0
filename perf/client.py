"""What is one client connection, and when did what it got count as a success?"""

from __future__ import annotations

import socket

from OpenSSL import SSL
from OpenSSL._util import lib

from perf.values import Load

STALL_SECONDS = 10.0
FOUND = b"HTTP/1.1 200 "

_NO_AUTO_CHAIN = 0x8  # SSL_MODE_NO_AUTO_CHAIN
_RAGGED_END = -1  # pyOpenSSL's number for an end without close_notify


class Failed(Exception):
    """An operation that did not succeed; the text says how."""


def client_context(load: Load) -> SSL.Context:
    """The client's side: one TLS version, one group, and no look at the server's chain.

    The chain is verified once before the rounds (``perf.proofs``): doing it in each handshake
    would cost the client and prove nothing more.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    version = SSL.TLS1_3_VERSION if load.tls == "1.3" else SSL.TLS1_2_VERSION
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(_NO_AUTO_CHAIN)
    # In TLS 1.2 the list also says which curves the certificates may be on (RFC 8422 §5.1).
    use_groups(context, load.group if load.tls == "1.3" else f"{load.group}:P-256")
    if load.client_pem:
        context.use_certificate_chain_file(load.client_pem)
        context.use_privatekey_file(load.client_pem)
    return context


def use_groups(context: SSL.Context, groups: str) -> None:
    """Offer these key-exchange groups and no others; pyOpenSSL has no public call for it.

    A server whose OpenSSL prefers a post-quantum hybrid would otherwise do more work than one
    that has none.

    Raises:
        ValueError: this OpenSSL does not know one of the groups.
    """
    if lib.SSL_CTX_set1_curves_list(context._context, groups.encode("ascii")) != 1:
        raise ValueError(f"this OpenSSL does not know {groups!r}")


def was_resumed(tls: SSL.Connection) -> bool:
    """Whether the handshake resumed a session; pyOpenSSL has no public call for it."""
    return bool(lib.SSL_session_reused(tls._ssl))


def connect(load: Load, context: SSL.Context) -> SSL.Connection:
    """A connected, non-blocking TLS connection whose handshake has not begun."""
    raw = socket.socket()
    try:
        # On loopback this ends at once.
        raw.settimeout(STALL_SECONDS)
        # The handshake's last flight and the request are two writes, and Nagle would hold the
        # second back until the first is acknowledged.
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.connect(load.address)
        raw.setblocking(False)
        tls = SSL.Connection(context, raw)
        tls.set_tlsext_host_name(load.name.encode("ascii"))
        tls.set_connect_state()
    except BaseException:
        raw.close()
        raise
    return tls


def read_to_end(tls: SSL.Connection, size: int) -> tuple[bytes, bool]:
    """What has arrived, and whether the server has ended the connection."""
    got = b""
    try:
        while True:
            got += tls.recv(size)
    except SSL.WantReadError:
        return got, False
    except SSL.ZeroReturnError:
        return got, True
    except SSL.SysCallError as error:
        if error.args[0] != _RAGGED_END:
            raise
        return got, True


def check_whole(answer: bytes, body: bytes) -> None:
    """Raise unless these bytes are one whole answer of the kind that counts."""
    head, blank, rest = answer.partition(b"\r\n\r\n")
    if not blank:
        raise Failed(f"the connection ended within the head: {answer[:80]!r}")
    if not head.startswith(FOUND):
        raise Failed(f"answered {head[:40]!r}")
    if rest != body:
        raise Failed(f"the body was {rest[:80]!r}")


def check_begun(answer: bytes, body: bytes) -> None:
    """Raise if these bytes cannot become the answer that counts."""
    head, blank, rest = answer.partition(b"\r\n\r\n")
    if not (head.startswith(FOUND) or FOUND.startswith(head)):
        raise Failed(f"answered {head[:40]!r}")
    if blank and not body.startswith(rest):
        raise Failed(f"the body was {rest[:80]!r}")
