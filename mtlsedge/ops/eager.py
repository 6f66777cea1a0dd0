"""What can leave at once? One write that tries the socket before it queues.

Twisted's transports queue every write until the reactor comes round. For a proxy, which nearly
always finds the socket writable, that is one turn of the loop and two system calls too many.
"""

from __future__ import annotations

import socket

from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor

_LITTLE = 128 * 1024  # bytes
_NO_LIMIT = -1  # what the kernel takes for its largest


def write_eagerly(transport: FileDescriptor, data: bytes) -> None:
    """``transport.write``, but what the socket takes now is sent now; the rest is queued."""
    if not transport.connected or transport._writeDisconnected:
        return
    idle = not transport._tempDataLen and transport.offset == len(transport.dataBuffer)
    # A pull producer is asked for more by the queue running dry, so it needs the queue.
    if idle and (transport.producer is None or transport.streamingProducer):
        sent = transport.writeSomeData(data)
        if isinstance(sent, int):
            if sent == len(data):
                return
            data = data[sent:]
        # An error is left for the reactor's own attempt: a connection must not be lost while
        # its protocol is in the middle of a write.
    FileDescriptor.write(transport, data)


def send_eagerly(transport: tcp.Connection, data: bytes) -> None:
    """``write_eagerly`` to a plain socket, past what Twisted does for every other kind."""
    queued = transport._tempDataLen or transport.offset != len(transport.dataBuffer)
    if queued or not transport.connected or transport._writeDisconnected:
        FileDescriptor.write(transport, data)
        return
    try:
        sent = transport.socket.send(data)
    except OSError:  # no room, or no peer: the reactor's own attempt will tell
        sent = 0
    if sent != len(data):
        FileDescriptor.write(transport, data[sent:])


def acknowledge_now(sock: socket.socket) -> None:
    """Send the TCP acknowledgement that the kernel would put off for 40 ms (Linux).

    A client that has Nagle's algorithm on holds its request back until its Finished, to which a
    server without tickets has no answer, is acknowledged.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def hold_segments(sock: socket.socket) -> None:
    """Send full segments only, until the sending side is shut down (Linux).

    The end of an answer, TLS's goodbye and TCP's then leave together: a packet of its own for
    each costs both ends as much as the encryption of all three.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)


def release_segments(sock: socket.socket) -> None:
    """Send what `hold_segments` holds back, and each thing at once from now on."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


def hold_little(sock: socket.socket) -> None:
    """Let the kernel hold little of what the peer has no room for yet: 4 MiB are the usual.

    Said of a listening socket, it holds for those that it accepts (Linux). Nobody can then have
    the edge encrypt at full speed, and the kernel keep, megabytes that are never read.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _LITTLE)


def hold_much(sock: socket.socket) -> None:
    """Let the kernel hold what it likes: the fewer turns, the cheaper a byte."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NO_LIMIT)
