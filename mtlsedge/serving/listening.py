"""Which addresses are bound, and what becomes of them when a reload changes them?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count

from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from mtlsedge.errors import ConfigurationError, Problem
from mtlsedge.model import Listen
from mtlsedge.tls.port import TLSPort

_log = Logger()


@dataclass(frozen=True, slots=True)
class Listener:
    """One address: as the operator wrote it, as it is bound, and by what number it is known."""

    number: int
    listen: Listen
    port: TLSPort


@dataclass(frozen=True, slots=True)
class Change:
    """From some listeners to others, with everything new bound and nothing old given up."""

    after: tuple[Listener, ...]
    opened: tuple[Listener, ...]
    dropped: tuple[Listener, ...]


class Listeners:
    """The addresses of a process, in the order in which the configuration has them.

    Args:
        bind: makes a listening port, or raises ``CannotListenError`` or ``OSError``.
    """

    def __init__(self, bind: Callable[[Listen], TLSPort]) -> None:
        self.all: tuple[Listener, ...] = ()
        self._bind = bind
        self._numbers = count(1)

    @property
    def ports(self) -> list[TLSPort]:
        """The ports."""
        return [each.port for each in self.all]

    def change_to(self, listens: Iterable[Listen]) -> Change:
        """Bind whatever is not bound yet; ``carry_out`` does the rest, and cannot fail.

        Raises:
            CannotListenError: an address is taken or not ours. Nothing has changed.
            OSError: the inherited descriptor is no listening socket. Nothing has changed.
        """
        # Not by dictionary: "127.0.0.1:0" may stand twice, for two ports.
        left = list(self.all)
        after: list[Listener] = []
        opened: list[Listener] = []
        try:
            for listen in listens:
                kept = next((each for each in left if each.listen == listen), None)
                if kept is not None:
                    left.remove(kept)
                    after.append(kept)
                else:
                    opened.append(Listener(next(self._numbers), listen, self._bind(listen)))
                    after.append(opened[-1])
        except (CannotListenError, OSError):
            for each in opened:
                each.port.stopListening()
            raise
        return Change(tuple(after), tuple(opened), tuple(left))

    def change_in_reload(self, listens: Iterable[Listen]) -> Change:
        """The same for a running edge.

        Raises:
            ConfigurationError: something cannot be bound. Nothing has changed.
        """
        try:
            return self.change_to(listens)
        except (CannotListenError, OSError) as error:
            raise ConfigurationError((Problem("edge.listen", str(error)),)) from error

    def carry_out(self, change: Change) -> None:
        """Let the new addresses take the place of the old."""
        self.all = change.after
        for each in change.dropped:
            each.port.stopListening()
        for each in change.opened:
            here = each.port.getHost()
            _log.info("listening on {host} port {port}", host=here.host, port=here.port)
