"""Whose turn is it? Many paths and many clients, gone round over all rounds of a run.

A round that began with the first again would ask a server for what it still remembers of the
round before, and might never come to the last. So the turns outlive a round; each server has its
own, and everything that is sent is built before the clock starts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from OpenSSL import SSL

from perf.client import client_context
from perf.values import Load

_SERVERS = 32  # of one run, at most


def requests_in_turn(load: Load) -> Iterator[bytes]:
    """The bytes of one request after the other, without an end."""
    return _requests(_of_all_rounds(load))


def contexts_in_turn(load: Load) -> Iterator[SSL.Context]:
    """One client's TLS settings after the other's, without an end."""
    return _contexts(_of_all_rounds(load))


def targets_in_turn(load: Load) -> Iterator[tuple[Load, bytes]]:
    """Whom a handshake asks, and for what; it has an end if each of ``names`` is asked once."""
    if not load.names:
        return zip(itertools.repeat(load), requests_in_turn(load), strict=False)
    each = [replace(load, name=name) for name in load.names]
    targets = [(one, one.request()) for one in each]
    return iter(targets) if load.once else itertools.cycle(targets)


def _of_all_rounds(load: Load) -> Load:
    """What does not change from round to round: processes may."""
    return replace(load, server_pids=(), origin_pids=())


@lru_cache(_SERVERS)
def _requests(load: Load) -> Iterator[bytes]:
    return itertools.cycle(load.requests())


@lru_cache(_SERVERS)
def _contexts(load: Load) -> Iterator[SSL.Context]:
    return itertools.cycle(_made(replace(load, address=("", 0), cookie="", path="")))


@lru_cache(_SERVERS)
def _made(load: Load) -> list[SSL.Context]:
    """The same for every server: a context knows neither where nor for what one asks."""
    pems = load.client_pems or (load.client_pem,)
    return [client_context(replace(load, client_pem=pem)) for pem in pems]
