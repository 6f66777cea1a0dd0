"""Where is it explained? A configuration, assembled as the edge does it, with nobody behind it.

Nothing is bound, written or asked but verifiers and OCSP responders; origins only note what they
would get. Where the edge's keys cannot be read, others take their place: tokens are never shown.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from mtlsedge import model
from mtlsedge.assembly import Assembled, Surroundings, assemble
from mtlsedge.errors import EdgeError
from mtlsedge.explain.hearing import Hearing
from mtlsedge.http.access import AccessTokens
from mtlsedge.http.exchange import Exchange
from mtlsedge.http.messages import ResponseHead
from mtlsedge.http.origin_connection import OriginConnection
from mtlsedge.http.origins import OriginGroup
from mtlsedge.http.site import Crowd
from mtlsedge.http.upstreams import origin_group
from mtlsedge.ops.accesslog import AccessLog
from mtlsedge.ops.deadlines import Deadlines
from mtlsedge.serving.lending import Lent
from mtlsedge.serving.sources import store_of, with_kept
from mtlsedge.session.keys import KeyRing
from mtlsedge.session.keystore import SigningKey, load, make_key
from mtlsedge.session.tokens import TokenIssuer
from mtlsedge.tls.lobby import Lobby

_FOR_EVER = 1e12


class Notebook(AccessLog):
    """An access log that is read at once. ``lines`` are those since it was last emptied."""

    def __init__(self, reactor: Any) -> None:
        super().__init__("", reactor)
        self.enabled = True
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        """Take a line."""
        self.lines.append(line)


class Stage:
    """One configuration at one moment.

    Attributes:
        configuration: as it is served, with what URLs of CRLs held when they last answered.
        moment: seconds since the epoch; may be set between two questions.
        assembled: everything that a configuration becomes.
        notebook: the access log.
        heard: the heads that origins got.
        hearing: what verifiers said.
        own_keys: the edge's keys could be read, and sign what verifiers send.

    Raises:
        ConfigurationError: it cannot be served after all.
    """

    def __init__(self, configuration: model.Configuration, reactor: Any, moment: float) -> None:
        self.configuration = with_kept(configuration, store_of(configuration))
        self.moment = moment
        self.notebook = Notebook(reactor)
        self.heard: list[tuple[str, bytes]] = []
        self.hearing = Hearing()
        now = self.now
        keys = _keys_in(configuration.edge.state)
        self.own_keys = bool(keys)
        keys = keys or (_throwaway_key(),)
        ring = KeyRing(configuration.edge.state, now, _FOR_EVER, _FOR_EVER, keys)
        self._lent = Lent(reactor, now, ring)
        self.assembled: Assembled = assemble(
            self.configuration,
            Surroundings(
                reactor,
                now,
                Lobby(now),
                Deadlines(reactor),
                AccessTokens(ring, TokenIssuer(ring, now), now),
                self.notebook,
                Crowd(),
                lambda failure: None,
                reach=self._reach,
                seat=self.hearing.panel,
            ),
        )

    def now(self) -> float:
        """The moment."""
        return self.moment

    def open(self) -> None:
        """Start the verifiers that are services."""
        self.assembled.verifiers.start(self._lent)

    async def close(self) -> None:
        """Stop them."""
        await self.assembled.verifiers.stop()

    def _reach(self, host: model.Host, deadlines: Deadlines, reactor: Any) -> OriginGroup:
        real = origin_group(host, deadlines, reactor)  # where it cannot be, nothing is explained
        return _Unreached(real, self._note)

    def _note(self, origin: str, head: bytes) -> None:
        self.heard.append((origin, head))


class _Unreached(OriginGroup):
    """Origins that are always there and get nothing. The first of them has every turn."""

    def __init__(self, real: OriginGroup, note: Callable[[str, bytes], None]) -> None:
        super().__init__(real.origins)
        self._note = note

    def take_idle(self) -> OriginConnection:
        """What looks like a connection."""
        return cast(OriginConnection, _Paper(self.origins[0], self._note))


class _Paper:
    """What an exchange takes for a connection to its origin."""

    def __init__(self, origin: Any, note: Callable[[str, bytes], None]) -> None:
        self.origin = origin
        self._note = note

    def ask_whole(self, exchange: Exchange, method: str, head: bytes, **_: object) -> None:
        """A request: note it, and let the exchange end well."""
        self._note(self.origin.name, head)
        exchange.origin_answer(ResponseHead(200, b"", [], 0), b"")

    ask = ask_whole

    def release(self) -> None:
        """The exchange is over."""

    abandon = release


def _keys_in(state: Path) -> tuple[SigningKey, ...]:
    try:
        return load(state) or ()
    except (EdgeError, OSError):
        return ()


@lru_cache(maxsize=1)
def _throwaway_key() -> SigningKey:
    return make_key(0.0)
