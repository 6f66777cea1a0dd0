"""TLS ports that are gone, with all their connections, when the test ends; and a slow verifier."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_twisted
from thoughtful import Thoughtful
from tls_serving import Serving, open_serving, until


@pytest_twisted.async_yield_fixture
async def serve() -> AsyncIterator[Callable[..., Serving]]:
    """Open a port (see ``open_serving``)."""
    opened: list[Serving] = []

    def start(*args: Any, **more: Any) -> Serving:
        opened.append(open_serving(*args, **more))
        return opened[-1]

    yield start
    for serving in opened:
        if serving.port.connected:
            await serving.port.stopListening()
        for protocol in serving.protocols:
            if protocol.transport is not None and protocol.transport.connected:
                protocol.transport.abortConnection()
        await until(lambda port=serving.port: not port._open, "every connection to be gone")


@pytest.fixture
def verifier() -> Thoughtful:
    """Answers when it is told to."""
    return Thoughtful()
