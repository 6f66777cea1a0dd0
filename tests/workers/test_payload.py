"""What is too large for a packet."""

from __future__ import annotations

import os

import pytest

from mtlsedge.workers.payload import pack, unpack


@pytest.mark.parametrize("data", [b"", b"x", os.urandom(1 << 20)], ids=len)
def test_what_was_packed_is_unpacked_as_often_as_one_likes(data: bytes) -> None:
    """Readers share the descriptor's position, and none of them moves it."""
    descriptor = pack(data)
    try:
        copy = os.dup(descriptor)
        assert [data] * 3 == [unpack(descriptor), unpack(copy), unpack(descriptor)]
        os.close(copy)
    finally:
        os.close(descriptor)


def test_nobody_can_change_what_others_read() -> None:
    """Sealed: not written, not shortened, not made longer."""
    descriptor = pack(b"for all")
    try:
        with pytest.raises(PermissionError):
            os.pwrite(descriptor, b"against", 0)
        for size in (0, 100):
            with pytest.raises(PermissionError):
                os.truncate(descriptor, size)
        assert b"for all" == unpack(descriptor)
    finally:
        os.close(descriptor)
