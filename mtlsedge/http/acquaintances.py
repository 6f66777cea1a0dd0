"""Who came lately, and what is remembered of them? Bounded, whoever they are and whatever they ask.

A client is told from others by its certificate, its address and the name it asks for. What its
requests led to is remembered for all of its connections.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from mtlsedge.http.access import AccessSession
from mtlsedge.identity import Identity

if TYPE_CHECKING:
    from mtlsedge.http.passage import Passage
    from mtlsedge.http.site import Site

GENERATION = 2048
"""Clients, of all hosts."""

_ROOM = 16 * 1024  # bytes for each, on average; those who need less leave it to others

Asked = bytes | tuple[bytes, bytes]
"""A request's bytes, or its method and all its bytes but the method and the target."""

K = TypeVar("K")
V = TypeVar("V")


class Memory(dict[K, V]):
    """Things that are remembered of one client, by what leads to them, and how much room they take.

    ``most`` of them are kept: one more, and all are forgotten but that.
    """

    __slots__ = ("_charged", "_most", "_weight")

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._weight = self._charged = 0

    def keep(self, key: K, value: V, weight: int) -> int:
        """Remember something of so many bytes; by how many the whole is larger than it ever was."""
        if key not in self:
            if len(self) >= self._most:
                self.clear()
            self._weight += weight
        self[key] = value
        growth = self._weight - self._charged
        if growth <= 0:
            return 0
        self._charged = self._weight
        return growth

    def clear(self) -> None:
        """Forget all; the room stays charged, as it may be taken again."""
        super().clear()
        self._weight = 0


_SESSIONS = 32
_PASSAGES = 12

Sessions = Memory[tuple[str, str, str], AccessSession]
Passages: TypeAlias = "Memory[Asked, Passage]"


def sessions() -> Sessions:
    """An empty memory of sessions, by application name, server name and service token."""
    return Memory(_SESSIONS)


def passages() -> Passages:
    """An empty memory of requests that were let through a moment ago.

    They are found by all their bytes; and by their method and all that follows the target.
    """
    return Memory(_PASSAGES)


@dataclass(slots=True)
class Acquaintance:
    """One client at one host, as each of its connections finds it: by address and certificate.

    ``sessions`` and ``passages`` are those of every such ``Caller``.
    """

    site: Site
    identity: Identity
    ip: IPv4Address | IPv6Address
    headers: bytes
    certificate_log: str
    sessions: Sessions = field(default_factory=sessions)
    passages: Passages = field(default_factory=passages)


class Acquaintances(dict[Hashable, Acquaintance]):
    """The clients that came last, by what tells them apart, in two generations.

    A dictionary of the younger one, as most are found there. When it is full, or what is
    remembered of it takes too much room, it takes the elder one's place; who comes back from
    there is of the younger again. So whoever came among the last ``generation`` clients is known
    unless they ask for very different things, and never more than twice as many.
    """

    __slots__ = ("_elder", "_generation", "_room")

    def __init__(self, generation: int = GENERATION) -> None:
        super().__init__()
        self._elder: dict[Hashable, Acquaintance] = {}
        self._generation = generation
        self._room = generation * _ROOM

    @property
    def size(self) -> int:
        """How many are known."""
        return len(self) + len(self._elder)

    def elder(self, key: Hashable) -> Acquaintance | None:
        """Who is not found here, but was a while ago."""
        known = self._elder.pop(key, None)
        if known is not None:
            self.keep(key, known)
        return known

    def keep(self, key: Hashable, known: Acquaintance) -> None:
        """Know a client from now on."""
        if len(self) >= self._generation:
            self._age()
        self[key] = known

    def charge(self, growth: int) -> None:
        """So many bytes more are remembered of one of them."""
        self._room -= growth
        if self._room < 0:
            self._age()

    def _age(self) -> None:
        self._elder = dict(self)
        super().clear()
        self._room = self._generation * _ROOM

    def clear(self) -> None:
        """Know nobody any more."""
        self._age()
        self._elder.clear()
