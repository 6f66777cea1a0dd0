"""What tests ask of answers and logs, in their own words."""

from __future__ import annotations

import ssl
from typing import Any

from support.client import Connection
from support.edge import Edge
from support.ports import wait_until
from support.stream import StreamEnded


def is_cut(connection: Connection, method: str = "GET") -> bool:
    """Whether the next answer breaks off before its framing says that it is whole."""
    try:
        connection.read(method)
    except (StreamEnded, ConnectionError, ssl.SSLError):
        return True
    return False


def lines(edge: Edge, path: str, count: int = 1, timeout: float = 10) -> list[dict[str, Any]]:
    """The access log's lines for a path, once there are ``count`` of them."""

    def found() -> list[dict[str, Any]]:
        return [line for line in edge.access_log() if line.get("path") == path]

    wait_until(lambda: len(found()) >= count, timeout, f"{count} lines for {path} in the log")
    return found()


def line(edge: Edge, path: str) -> dict[str, Any]:
    """The one line for a path."""
    found = lines(edge, path)
    assert 1 == len(found), found
    return found[0]
