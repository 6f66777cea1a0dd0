"""What can leave at once? One write that tries the socket before it queues.

Twisted's transports queue every write until the reactor comes round. For a proxy, which nearly
always finds the socket writable, that is one turn of the loop and two system calls too many.
"""

from __future__ import annotations

import socket

from twisted.internet.abstract import FileDescriptor


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


def acknowledge_now(sock: socket.socket) -> None:
    """Send the TCP acknowledgement that the kernel would put off for 40 ms (Linux).

    A client that has Nagle's algorithm on holds its request back until its Finished, to which a
    server without tickets has no answer, is acknowledged.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
