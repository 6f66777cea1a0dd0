"""A list that comes into force says in the log what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import pytest_twisted
from twisted.internet.task import Clock

from mtlsedge import model
from mtlsedge.serving import lists
from mtlsedge.serving.lists import ListsInForce
from mtlsedge.trust.judge import ClientTrust
from support import certs
from support.logs import log_of
from support.verifiers import find_verifier

HOST = "iot.example.com"
NOW = certs.authority().certificate.not_valid_before_utc.timestamp() + 3600


@pytest.fixture
def logged() -> Iterator[Callable[[], list[str]]]:
    """What was said of lists so far."""
    with log_of(lists) as lines:
        yield lines


def in_force(*names: str) -> tuple[ListsInForce, list[str]]:
    """The lists of client CAs of these names, at two hosts; and a note of each change."""
    pem = certs.ca_file().read_bytes()
    source = model.CrlSource("ca.crl", certs.authority().crl())
    cas = [model.ClientCA(name, pem, (HOST,), crls=(source,)) for name in names]
    trusts = [
        ClientTrust(cas, find_verifier, Clock(), lambda: NOW, patience) for patience in (1, 2)
    ]
    changes: list[str] = []
    return ListsInForce(None, lambda: NOW, lambda: trusts, lambda: changes.append("x")), changes


@pytest_twisted.ensureDeferred
async def test_a_new_list_has_its_line_under_each_client_ca(
    logged: Callable[[], list[str]],
) -> None:
    """Once each, however many hosts there are."""
    held, changes = in_force("Devices", "All")
    assert "" == await held.replace("ca.crl", certs.authority().crl([7, 8], number=2))
    assert (["x"], 2) == (changes, held.changes)
    states = [line for line in logged() if line.startswith("crl state=")]
    assert ['client_ca="Devices"', 'client_ca="All"'] == [line.split()[2] for line in states]
    assert all(" number=2 " in line and line.endswith(" entries=2") for line in states)


@pytest_twisted.ensureDeferred
async def test_what_was_not_taken_stands_beside_what_serves_on(
    logged: Callable[[], list[str]],
) -> None:
    """And counts as a change for whoever looks after the lists."""
    held, changes = in_force("Devices")
    assert await held.replace("ca.crl", b"damaged")
    assert ([], 1) == (changes, held.changes)
    assert logged()[-1].startswith('crl state=failing client_ca="Devices" ')
    assert "not a CRL" in logged()[-1]
    held.complain("ca.crl", "it is gone")
    assert 2 == held.changes


@pytest_twisted.ensureDeferred
async def test_a_worker_leaves_that_to_its_parent(logged: Callable[[], list[str]]) -> None:
    held, _ = in_force("Devices")
    await held.replace("ca.crl", certs.authority().crl(number=2), quiet=True)
    await held.replace("ca.crl", b"damaged", quiet=True)
    assert [] == logged()
