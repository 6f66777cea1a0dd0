"""How does something large reach every worker? Written once, in memory, and read by all.

A revocation list of 50 MB goes through no socket: it is put into memory that has a descriptor
(``memfd_create(2)``), and the descriptor is sent. Sealed, so that no worker can change what
another one reads.
"""

from __future__ import annotations

import fcntl
import mmap
import os

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


def pack(data: bytes) -> int:
    """A descriptor of memory that holds ``data``, for good. It is the caller's to close.

    Raises:
        OSError: there is no memory, or no descriptor left.
    """
    descriptor = os.memfd_create("mtlsedge", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def unpack(descriptor: int) -> bytes:
    """What ``pack`` put there. Readers do not disturb one another: nobody moves its position."""
    size = os.fstat(descriptor).st_size
    if not size:
        return b""
    with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as memory:
        return memory[:]
