"""One origin whose connections are counted, and requests for it."""

from __future__ import annotations

from dataclasses import replace

from http_bench import SETTINGS, Bench, Wire, get


def one(**limits: int) -> Bench:
    """A bench whose origin has small limits."""
    return Bench(settings=replace(SETTINGS, **limits))


def ask(bench: Bench, count: int) -> list[Wire]:
    """So many clients, each with a request."""
    clients = [bench.client() for _ in range(count)]
    for number, client in enumerate(clients):
        client.say(get(f"/{number}"))
    return clients
