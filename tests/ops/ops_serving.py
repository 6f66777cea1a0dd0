"""A resource, served by this process while a test runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest_twisted
from twisted.web.resource import Resource
from twisted.web.server import Site


@contextmanager
def served(resource: Resource) -> Iterator[str]:
    """The URL of a resource, without a path."""
    from twisted.internet import reactor

    loop: Any = reactor
    port = loop.listenTCP(0, Site(resource), interface="127.0.0.1")
    yield f"http://127.0.0.1:{port.getHost().port}"
    pytest_twisted.blockon(port.stopListening())
