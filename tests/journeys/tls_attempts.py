"""Connections that may be refused, each with the line that the access log has of it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from itertools import count
from typing import Any

from support.client import Answered, Client, Connection
from support.edge import Edge
from support.ports import wait_until
from support.stream import StreamEnded


@dataclass(frozen=True)
class Attempt:
    """What became of one connection with one request on it.

    ``error`` is why there was no answer, in the words of Python's ssl where it has any.
    """

    answer: Answered | None
    error: str
    resumed: bool
    session: ssl.SSLSession | None
    client: str

    @property
    def status(self) -> int:
        """The answer's, 0 where there was none."""
        return self.answer.status if self.answer else 0


def attempt(
    edge: Edge,
    client: Client,
    name: str,
    session: ssl.SSLSession | None = None,
    host: str = "",
) -> Attempt:
    """Ask for ``/`` of a host by its name in the handshake (and in ``Host``, unless it differs)."""
    raw = connect(edge)
    address = str(raw.getsockname()[0])
    try:
        with client.context.wrap_socket(raw, server_hostname=name, session=session) as sock:
            connection = Connection(sock)
            answer = connection.get(host or name)
            return Attempt(answer, "", connection.resumed, connection.session, address)
    except (OSError, StreamEnded) as error:
        raw.close()
        reason = getattr(error, "reason", None) or type(error).__name__
        return Attempt(None, str(reason), False, None, address)


def connect(edge: Edge, timeout: float = 15) -> socket.socket:
    """A TCP connection from a loopback address of its own, by which its line can be found."""
    number = next(_numbers)
    source = f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    return socket.create_connection(("127.0.0.1", edge.port), timeout, (source, 0))


_numbers = count(1)


def line_of(edge: Edge, client: str) -> dict[str, Any]:
    """The access log's one line of the connection from this address."""
    return lines_by_client(edge, [client])[client]


def lines_by_client(edge: Edge, clients: list[str]) -> dict[str, dict[str, Any]]:
    """The one line of each connection, by the client's address, once all are there."""
    wanted = set(clients)
    found: dict[str, dict[str, Any]] = {}

    def look() -> bool:
        found.clear()
        for line in edge.access_log():
            client = line["client"]
            if client in wanted:
                assert client not in found, f"two lines of one: {found[client]}, {line}"
                found[client] = line
        return len(found) == len(wanted)

    wait_until(look, 10, f"a line of each of {len(wanted)} connections")
    return found
