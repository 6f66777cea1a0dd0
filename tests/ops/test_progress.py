"""What a peer has not taken: in the transport's queue, and in the kernel's below it."""

from __future__ import annotations

import socket
from types import SimpleNamespace

from mtlsedge.ops.progress import unsent


def test_the_kernels_queue_counts_where_the_transport_has_one() -> None:
    """It shrinks as the peer reads, long before the transport may write again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = socket.create_connection(listener.getsockname())
        there, _ = listener.accept()
        with here, there:
            here.setblocking(False)
            try:
                while True:
                    here.send(b"x" * 65536)
            except BlockingIOError:
                pass
            transport = SimpleNamespace(dataBuffer=b"12345", offset=2, _tempDataLen=10, socket=here)
            full = unsent(transport)
            assert full > 13
            there.settimeout(5)
            taken = 0
            while taken < 1 << 20:
                taken += len(there.recv(1 << 16))
            assert unsent(transport) < full


def test_a_transport_that_waits_for_nothing_has_nothing_unsent() -> None:
    """The kernel is not even asked: nobody waits for this client."""
    transport = SimpleNamespace(dataBuffer=b"", offset=0, _tempDataLen=0, socket=None)
    assert 0 == unsent(transport)


def test_without_a_socket_of_that_kind_the_queue_alone_counts() -> None:
    """A closed one, say."""
    closed = socket.socket()
    closed.close()
    transport = SimpleNamespace(dataBuffer=b"123", offset=0, _tempDataLen=0, socket=closed)
    assert 3 == unsent(transport)
