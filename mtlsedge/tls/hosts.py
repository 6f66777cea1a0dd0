"""Which host does a ClientHello mean? The SNI switch (invariant 2 of the design).

Choosing a host sets the context *and* the verify mode on the connection: OpenSSL takes the
certificate and the store from the new context but keeps the old verify mode, and a host that
asks for certificates would be open behind one that does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from OpenSSL import SSL

from mtlsedge.errors import BadHostName
from mtlsedge.names import NameTable, canonical_host, is_address
from mtlsedge.openssl import ask_without_verifying
from mtlsedge.trust.judge import ClientTrust


@dataclass(frozen=True, slots=True)
class TLSHost:
    """What the handshake needs to know of one host.

    Attributes:
        name: the first of its names, by which the rest of the edge finds it.
        verify_mode: pyOpenSSL's ``VERIFY_*`` flags for its connections.
        trust: who judges client certificates; None where the host asks for none.
        require: refuse in the handshake, with an alert, what does not verify.
        resumption: a resumed session is welcome, and its certificate judged again.
    """

    name: str
    context: SSL.Context
    verify_mode: int = SSL.VERIFY_NONE
    trust: ClientTrust | None = None
    require: bool = False
    resumption: bool = False


@dataclass(frozen=True, slots=True)
class HostTable:
    """Every host of one configuration by server name: one look-up, and one for wildcards."""

    names: NameTable[TLSHost]
    default: TLSHost | None = None

    def find(self, server_name: bytes | None) -> tuple[str, TLSHost | None]:
        """The canonical server name and its host; None where nobody answers to the name.

        An address is no server name (RFC 6066 §3). Clients that send one all the same are taken
        to have sent none, unless a host is called by it.
        """
        if server_name is None:
            return "", self.default
        try:
            name = canonical_host(server_name.decode("ascii"))
        except (BadHostName, UnicodeDecodeError):
            return "", None
        host = self.names.find(name)
        if host is None and is_address(name):
            return "", self.default
        return name, host


def nobody(server_name: bytes | None) -> str:
    """Why a ClientHello that means none of the hosts is refused, for logs."""
    if server_name is None:
        return "no server name was sent and there is no default_host"
    return f"no host answers to the server name {server_name.decode('ascii', 'replace')!r}"


def enter(connection: SSL.Connection, host: TLSHost) -> None:
    """Make a connection this host's: its certificate, its verify mode, its word on tickets."""
    connection.set_context(host.context)
    if host.require:
        # Without a callback OpenSSL keeps the one inherited from the first context.
        connection.set_verify(host.verify_mode)
    else:
        ask_without_verifying(connection, host.verify_mode)
    if not host.resumption:
        # Here, and not in the first context: see `mtlsedge.tls.contexts`.
        connection.set_options(SSL.OP_NO_TICKET)
