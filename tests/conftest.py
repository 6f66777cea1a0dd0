"""What every test can ask for: an edge, an origin, nginx; each is gone when the test ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from support.edge import Edge
from support.nginx import nginx
from support.origin import CountingOrigin

# A slow machine is no mistake in what is tested.
settings.register_profile(
    "patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

# What a shell runs in the background ignores these, and so would every process started here.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


@pytest.fixture
def start_edge(tmp_path: Path) -> Iterator[Callable[..., Edge]]:
    """Start an edge with this configuration (see `Edge`); its log is judged at the end."""
    with ExitStack() as stack:
        started = 0

        def start(config: Any = None, **more: Any) -> Edge:
            nonlocal started
            started += 1
            return stack.enter_context(Edge(tmp_path / f"edge-{started}", config, **more))

        yield start


@pytest.fixture
def origin() -> Iterator[CountingOrigin]:
    """An origin that answers 200 everywhere and counts."""
    with CountingOrigin() as running:
        yield running


@pytest.fixture
def nginx_origin(tmp_path: Path) -> Iterator[str]:
    """The URL of an nginx that serves one page."""
    with nginx(tmp_path / "nginx", "<h1>nginx is here</h1>\n") as url:
        yield url
