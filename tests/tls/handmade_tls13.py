"""TLS 1.3 records by hand, for what no well-behaved client library sends (RFC 8446 §5, §7)."""

from __future__ import annotations

import socket
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from OpenSSL import SSL

APPLICATION_DATA = 23
HANDSHAKE = 22
ALERT = 21
_KEY_UPDATE = 24
_SECRET = b"CLIENT_TRAFFIC_SECRET_0"


class HandmadeClient:
    """After an honest handshake on ``sock``, the client's records are made here.

    ``connection`` still reads what the server says.
    """

    def __init__(self, sock: socket.socket, server_name: str) -> None:
        lines: list[bytes] = []
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256")
        context.set_keylog_callback(lambda _, line: lines.append(line))
        sock.setblocking(True)
        self.sock = sock
        self.connection = SSL.Connection(context, sock)
        self.connection.set_connect_state()
        self.connection.set_tlsext_host_name(server_name.encode())
        self.connection.do_handshake()
        (line,) = (line for line in lines if line.startswith(_SECRET))
        self._secret = bytes.fromhex(line.split()[2].decode())
        self._take_keys()

    def record(self, kind: int, content: bytes) -> bytes:
        """One protected record."""
        inner = content + bytes([kind])
        head = struct.pack("!BHH", APPLICATION_DATA, 0x0303, len(inner) + 16)
        nonce = (self._iv ^ self._sequence).to_bytes(12, "big")
        self._sequence += 1
        return head + self._aead.encrypt(nonce, inner, head)

    def key_update(self, *, ask: bool = False) -> bytes:
        """A KeyUpdate record; what follows is under the next keys. ``ask`` for the server's."""
        record = self.record(HANDSHAKE, struct.pack("!B3sB", _KEY_UPDATE, b"\0\0\1", ask))
        self._secret = _expand(self._secret, b"traffic upd", 32)
        self._take_keys()
        return record

    def _take_keys(self) -> None:
        self._aead = AESGCM(_expand(self._secret, b"key", 16))
        self._iv = int.from_bytes(_expand(self._secret, b"iv", 12), "big")
        self._sequence = 0


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 §7.1)."""
    full = b"tls13 " + label
    info = struct.pack("!HB", length, len(full)) + full + b"\0"
    return HKDFExpand(hashes.SHA256(), length, info).derive(secret)
