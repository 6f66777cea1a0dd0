"""What does ``[edge]`` say, with the limits and timeouts that hosts may override?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from mtlsedge.config.network import HTTP3_KEYS, address_and_port, host_name, listen, protocol
from mtlsedge.config.reader import Convert, Place, Table, Wrong
from mtlsedge.config.values import duration, integer, many, or_empty, path, size, text
from mtlsedge.model import Edge, Limits, Listen, Timeouts

_HOUR, _DAY, _YEAR = 3600.0, 86400.0, 365 * 86400.0
_MOST_WORKERS = 1024
_MOST_HEAD = 16 * 2**20  # one head is held whole in memory, per connection

_LIMITS: Mapping[str, Convert[int]] = {
    "request_line": size(64, 2**20),
    "request_head": size(256, _MOST_HEAD),
    "request_headers": integer(1, 10_000),
    "request_body": size(0, 2**62),
    "response_head": size(256, _MOST_HEAD),
    "min_request_rate": size(0, 2**30),
    "min_response_rate": size(0, 2**30),
    "connections": integer(1, 10_000_000),
    "origin_connections": integer(1, 1_000_000),
    "origin_idle": integer(0, 1_000_000),
    "origin_queue": integer(0, 1_000_000),
}

_TIMEOUTS: Mapping[str, Convert[float]] = dict.fromkeys(
    Timeouts.__dataclass_fields__, duration(0.0, _YEAR)
)

# What holds before the edge knows the host, or for the whole process.
_EDGE_LIMITS = {"connections": "is one number for all hosts; say it under [edge.limits]"}
_EDGE_TIMEOUTS = dict.fromkeys(
    ("handshake", "drain"), "is one time for all hosts; say it under [edge.timeouts]"
)


def read_edge(table: Table) -> Edge:
    """The ``[edge]`` table."""
    table.hint(HTTP3_KEYS)
    table.take("protocols", many(protocol), ())
    return Edge(
        listen=_listens(table),
        state=table.take("state", _state, table.place.loading.base / "state"),
        workers=table.take("workers", integer(0, _MOST_WORKERS), 1),
        admin=_admin(table),
        access_log=table.take("access_log", or_empty(_log), ""),
        default_host=table.take("default_host", or_empty(host_name), ""),
        key_rotation=table.take("key_rotation", duration(_HOUR, 10 * _YEAR), 42 * _DAY),
        limits=table.child("limits", lambda child: _limits(child, Limits(), {})),
        timeouts=table.child("timeouts", lambda child: _timeouts(child, Timeouts(), {})),
    )


def host_limits(table: Table, edge: Edge) -> Limits:
    """A host's ``limits``: the edge's, where it does not say otherwise."""
    if "limits" not in table:
        return table.take("limits", _unsaid, edge.limits)
    return table.child("limits", lambda child: _limits(child, edge.limits, _EDGE_LIMITS))


def host_timeouts(table: Table, edge: Edge) -> Timeouts:
    """A host's ``timeouts``: the edge's, where it does not say otherwise."""
    if "timeouts" not in table:
        return table.take("timeouts", _unsaid, edge.timeouts)
    return table.child("timeouts", lambda child: _timeouts(child, edge.timeouts, _EDGE_TIMEOUTS))


def _unsaid(_: object, __: Place) -> NoReturn:
    """The conversion of a key that is not there."""
    raise AssertionError


def _limits(table: Table, inherited: Limits, elsewhere: Mapping[str, str]) -> Limits:
    table.hint(elsewhere)
    said = {
        key: table.take(key, convert, getattr(inherited, key))
        for key, convert in _LIMITS.items()
        if key not in elsewhere
    }
    return replace(inherited, **said)


def _timeouts(table: Table, inherited: Timeouts, elsewhere: Mapping[str, str]) -> Timeouts:
    table.hint(elsewhere)
    said = {
        key: table.take(key, convert, getattr(inherited, key))
        for key, convert in _TIMEOUTS.items()
        if key not in elsewhere
    }
    return replace(inherited, **said)


def _listens(table: Table) -> tuple[Listen, ...]:
    remedy = "say where to listen, such as listen = ['127.0.0.1:8443']"
    listens = table.need("listen", many(listen), (), remedy)
    for index, one in enumerate(listens):
        # Port 0 asks the system for any free port, each time another.
        if one in listens[:index] and (one.port or one.descriptor is not None):
            table.at("listen").problem(f"{str(one)!r} stands there twice; take one out")
    return listens


def _admin(table: Table) -> str:
    admin = table.take("admin", or_empty(address_and_port), "")
    if admin.startswith((":", "0.0.0.0:", "[::]:")):
        table.at("admin").warn(f"{admin!r} shows health and metrics to whoever can reach it")
    return admin


def _state(value: object, place: Place) -> Path:
    directory = path(value, place)
    if directory.exists() and not directory.is_dir():
        raise Wrong(f"{directory} is not a directory; name one that the edge may keep keys in")
    return directory


def _log(value: object, place: Place) -> str:
    if text(value, place) == "-":
        return "-"
    log = path(value, place)
    if log.is_dir():
        raise Wrong(f"{log} is a directory; name a file in it, or '-' for standard output")
    return str(log)
