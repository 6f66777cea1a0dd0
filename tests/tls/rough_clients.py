"""Clients that take little, take all, or are gone without a word."""

from __future__ import annotations

import socket
import ssl
import struct

BIG = bytes(range(256)) * 12_000
"""3 MB: more than the kernel's buffers of one connection hold."""


def reset(sock: ssl.SSLSocket) -> None:
    """Vanish with an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
