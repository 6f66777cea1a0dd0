"""What the service manager hears."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mtlsedge.ops.notify import Notifier


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_hears_every_state(tmp_path: Path, abstract: bool) -> None:
    """At a path, or at an abstract address."""
    name = f"@mtlsedge-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0", 1) if abstract else name)
        manager.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": name})
        notifier.ready()
        notifier.reloading()
        notifier.stopping()
        notifier.alive()
        heard = [manager.recv(100).decode() for _ in range(4)]
    assert "READY=1" == heard[0]
    assert heard[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert ["STOPPING=1", "WATCHDOG=1"] == heard[2:]


def test_a_manager_that_watches_says_how_closely() -> None:
    """In microseconds, to one process; to nobody, if that is another or the number is none."""
    me = str(os.getpid())
    for more, seconds in (
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": me}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": me + "0"}, 0.0),
        ({"WATCHDOG_USEC": ""}, 0.0),
        ({"WATCHDOG_USEC": "-1"}, 0.0),
        ({"WATCHDOG_USEC": "²"}, 0.0),
    ):
        assert seconds == Notifier(more).watched


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "vsock:2:1", "relative"])
def test_nobody_who_listens_is_no_error(address: str) -> None:
    """Nor is an address of a kind that is not known here."""
    notifier = Notifier({"NOTIFY_SOCKET": address} if address else {})
    notifier.ready()
    notifier.stopping()


def test_a_manager_that_goes_or_stalls_is_no_error(tmp_path: Path) -> None:
    """The edge has other things to do."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(5000):
            notifier.ready()
    notifier.ready()
