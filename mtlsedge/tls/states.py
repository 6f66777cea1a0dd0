"""Values: where in its life is a client's connection?"""

from __future__ import annotations


class State:  # no enumeration: their look-ups cost ten times as much
    """The states, in their order; any may be the last before ``GONE``."""

    SILENT = "silent"  # nothing has come, and no TLS is kept for it
    HANDSHAKE = "handshake"
    SETTLING = "settling"  # a verifier is still thinking
    OPEN = "open"
    LINGERING = "lingering"  # all is said; the client may still be sending
    GONE = "gone"  # aborted or lost: nothing is read, written or settled any more


BEFORE_OPEN = (State.SILENT, State.HANDSHAKE, State.SETTLING)
