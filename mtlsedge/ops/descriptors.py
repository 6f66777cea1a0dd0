"""How many sockets may this process have?"""

from __future__ import annotations

import resource
from contextlib import suppress


def use_every_descriptor() -> int:
    """Raise the soft limit on open descriptors to the hard one; gives what holds now.

    The soft limit is usually 1,024, for the sake of programs that ``select()``, and a client
    with its origin takes two. Child processes inherit it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Some systems know a lower maximum than the hard limit says.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
