"""Values: what a handshake agreed on, what was presented in it, and how one failed."""

from __future__ import annotations

from dataclasses import dataclass

from OpenSSL import SSL

from mtlsedge.identity import ANONYMOUS, Identity
from mtlsedge.openssl import agreement


@dataclass(frozen=True, slots=True)
class HandshakeFacts:
    """What was agreed on: ``TLSv1.3``, ``TLS_AES_128_GCM_SHA256``, ``X25519MLKEM768``.

    For logs, never for decisions.
    """

    version: str = ""
    cipher: str = ""
    group: str = ""
    resumed: bool = False

    @classmethod
    def of(cls, connection: SSL.Connection, resumed: bool) -> HandshakeFacts:
        """The facts of a connection whose handshake is done."""
        return cls(
            connection.get_protocol_version_name(),
            connection.get_cipher_name() or "",
            _group_name(connection),
            resumed,
        )


NO_FACTS = HandshakeFacts()
_Agreement = tuple[object, object, bytes, bool]
_known: dict[_Agreement, HandshakeFacts] = {}
_MOST_KNOWN = 256  # there are fewer ciphers and groups


def facts_of(connection: SSL.Connection, resumed: bool) -> HandshakeFacts:
    """The facts of a connection whose handshake is done, made once for all that agree alike."""
    key = (*agreement(connection), resumed)
    facts = _known.get(key)
    if facts is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        facts = _known[key] = HandshakeFacts.of(connection, resumed)
    return facts


def _group_name(connection: SSL.Connection) -> str:
    try:
        return connection.get_group_name() or ""
    except NotImplementedError:  # an OpenSSL before 3.2 cannot tell
        return ""


@dataclass(frozen=True, slots=True)
class HandshakeFailure:
    """One handshake that came to nothing, for the access log."""

    client: str
    port: int
    server_name: str
    reason: str
    facts: HandshakeFacts = NO_FACTS
    identity: Identity = ANONYMOUS


def failure_text(error: SSL.Error) -> str:
    """What OpenSSL says of a failed handshake, in its words and in one line."""
    if isinstance(error, SSL.SysCallError):
        return "the client went away during the handshake"
    reasons = [reason for _, _, reason in error.args[0]] if error.args else []
    return "; ".join(reasons) or "the client went away during the handshake"
