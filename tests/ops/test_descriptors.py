"""The soft limit on descriptors is no limit for a server."""

from __future__ import annotations

import resource

import pytest

from mtlsedge.ops.descriptors import use_every_descriptor


def test_the_hard_limit_is_what_holds() -> None:
    """Asked again, nothing changes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        for _ in range(2):
            assert hard == use_every_descriptor()
            assert (hard, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_limit_that_cannot_be_raised_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no reason not to serve."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def forbidden(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft - 1, hard))
    monkeypatch.setattr(resource, "setrlimit", forbidden)
    assert soft - 1 == use_every_descriptor()
