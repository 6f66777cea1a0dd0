"""SIGHUP: the configuration is read again, and nobody's connection or request is lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from support import certs, tables, toml
from support.client import Client
from support.edge import Edge
from support.origin import Answer, CountingOrigin
from support.ports import free_port, is_listening, wait_until

NAME = "iot.example.com"
OTHER = "new.example.com"


def reload(edge: Edge, config: dict[str, Any] | str, expected: str) -> None:
    """Write another configuration, send SIGHUP, and wait until the log says what came of it."""
    before = edge.log().count(expected)
    text = config
    if not isinstance(config, str):
        defaults = {
            "listen": [f"127.0.0.1:{edge.port}"],
            "state": "state",
            "access_log": str(edge.access_log_path),
        }
        text = toml.dumps({**config, "edge": {**defaults, **config.get("edge", {})}})
    assert isinstance(text, str)
    edge.config_path.write_text(text)
    os.kill(edge.pid, signal.SIGHUP)
    wait_until(lambda: edge.log().count(expected) > before, 20, f"{expected!r} in the log")


@pytest.fixture
def edge(start_edge: Callable[..., Edge], origin: CountingOrigin) -> Edge:
    """An edge that has come up whole."""
    started = start_edge(tables.one_host(NAME, origin.url))
    wait_until(lambda: "serving generation 1" in started.log(), 20, "the edge to serve")
    return started


def test_a_new_host_is_served_and_an_old_one_is_gone(edge: Edge, origin: CountingOrigin) -> None:
    """New handshakes meet the new configuration."""
    reload(edge, tables.one_host(OTHER, origin.url), "serving generation 2")
    client = Client(certs.client())
    assert 200 == client.get(edge.port, OTHER).status
    with pytest.raises(OSError, match="UNRECOGNIZED_NAME"):
        client.get(edge.port, NAME)


def test_a_bad_configuration_never_replaces_a_good_one(edge: Edge, origin: CountingOrigin) -> None:
    """Broken TOML, a wrong value, a missing file, an address that is taken (invariant 9)."""
    good = edge.config_path.read_text()
    missing = tables.one_host(NAME, origin.url, certificate="/nowhere.pem")
    taken = {
        **tables.one_host(OTHER, origin.url),
        "edge": {"listen": [f"127.0.0.1:{edge.port}", f"127.0.0.1:{origin.port}"]},
    }
    wrong = tables.one_host(NAME, origin.url, handshake="perhaps")
    for bad in ("[[host", missing, wrong, taken):
        reload(edge, bad, "not reloaded")
        assert 200 == Client(certs.client()).get(edge.port, NAME).status
    reload(edge, good, "serving generation 2")
    assert 200 == Client(certs.client()).get(edge.port, NAME).status


def test_a_kept_connection_is_judged_anew_with_its_next_request(
    edge: Edge, origin: CountingOrigin
) -> None:
    """By the new policy; the answer asks for a new handshake. By the new CAs at once: it ends."""
    with Client(certs.client("device-1")).connect(edge.port, NAME) as connection:
        assert 200 == connection.get(NAME).status
        config = tables.one_host(NAME, origin.url)
        policy = tables.policy(include=[{"common_name": "device-2"}])
        config["application"] = [tables.application(NAME, policy)]
        reload(edge, config, "serving generation 2")
        answer = connection.get(NAME)
        assert (403, "close") == (answer.status, answer.header("Connection"))
    with Client(certs.client("device-2")).connect(edge.port, NAME) as connection:
        assert 200 == connection.get(NAME).status
        other_ca = {**config, "client_ca": [tables.client_ca(NAME, name=certs.OTHER_CA)]}
        reload(edge, other_ca, "serving generation 3")
        assert connection.closed()
    last = edge.access_log(4)[-1]
    assert ("cut", "certificate_untrusted") == (last["event"], last["cert"]["reason"])


def test_a_host_that_is_gone_says_so_to_a_kept_connection(
    edge: Edge, origin: CountingOrigin
) -> None:
    """421, and the connection ends; the origin hears nothing."""
    with Client(certs.client()).connect(edge.port, NAME) as connection:
        assert 200 == connection.get(NAME).status
        reload(edge, tables.one_host(OTHER, origin.url), "serving generation 2")
        assert 421 == connection.get(NAME).status
    assert 1 == origin.count


def test_a_request_under_way_ends_as_it_began(edge: Edge, origin: CountingOrigin) -> None:
    """Its answer comes whole from the origin that it was asked of, if it would still be let in."""
    origin.default = Answer(body=b"firstlast", delay=1.0)
    with Client(certs.client()).connect(edge.port, NAME) as connection:
        connection.send(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        origin.wait(1)
        reload(edge, tables.one_host(NAME, "http://127.0.0.1:9"), "serving generation 2")
        answer = connection.read()
        assert (200, b"firstlast") == (answer.status, answer.body)


def test_addresses_come_and_go(edge: Edge, origin: CountingOrigin) -> None:
    """A new one is bound before an old one is given up."""
    port = free_port()
    config = {**tables.one_host(NAME, origin.url), "edge": {"listen": [f"127.0.0.1:{port}"]}}
    reload(edge, config, "serving generation 2")
    assert 200 == Client(certs.client()).get(port, NAME).status
    wait_until(lambda: not is_listening(edge.port), 10, "the old address to be given up")


def test_reloads_under_load_break_no_request(edge: Edge, origin: CountingOrigin) -> None:
    """Twenty of them, bad ones among them, while clients connect and keep asking."""
    good, stop = edge.config_path.read_text(), threading.Event()
    failures: list[object] = []
    done: list[int] = []

    def ask() -> None:
        client = Client(certs.client())
        try:
            while not stop.is_set():
                with client.connect(edge.port, NAME) as connection:
                    for _ in range(20):
                        answer = connection.get(NAME)
                        done.append(answer.status)
                        if answer.header("Connection") == "close":
                            break
        except Exception as error:
            failures.append(error)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for each in clients:
        each.start()
    for number in range(20):
        if number % 5 == 4:
            reload(edge, "[[host", "not reloaded")
        else:
            reload(edge, good, "serving generation")
    stop.set()
    for each in clients:
        each.join(20)
    assert [] == failures
    assert {200} == set(done)


def test_the_access_log_is_opened_again_on_usr1(edge: Edge, origin: CountingOrigin) -> None:
    """Renamed by a rotation, it goes on in a new file of the old name."""
    client = Client(certs.client())
    client.get(edge.port, NAME)
    edge.access_log(1)
    rotated = edge.access_log_path.with_suffix(".1")
    edge.access_log_path.rename(rotated)
    os.kill(edge.pid, signal.SIGUSR1)
    wait_until(edge.access_log_path.exists, 10, "the new file")
    client.get(edge.port, NAME)
    assert 1 == len(edge.access_log(1))
    assert 1 == len(rotated.read_bytes().splitlines())
