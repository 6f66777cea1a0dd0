"""How far is a peer with what was written for it?"""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import Any

_INT = struct.Struct("i")
_ROOM = bytes(_INT.size)


def unsent(transport: Any) -> int:
    """Bytes that a Twisted transport's peer has not acknowledged, where some still wait in it.

    The kernel's part counts (``SIOCOUTQ``, tcp(7)): it may hold megabytes and lets a transport
    write again only when a third of them went, so that a peer which takes a steady trickle would
    seem to take nothing for minutes.
    """
    waiting: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    sock = getattr(transport, "socket", None)
    if not waiting or sock is None:
        return waiting
    try:
        queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, _ROOM)
    except (OSError, ValueError):  # no socket of a kind that can say, or none any more
        return waiting
    return waiting + int(_INT.unpack(queued)[0])
