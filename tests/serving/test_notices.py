"""Client certificates that end soon: a line a day each, and not more than so many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from mtlsedge.identity import ANONYMOUS, Identity, Reason
from mtlsedge.serving import notices
from mtlsedge.serving.notices import DAY, ClientNotices, ClientWatch, Today
from support.logs import log_of
from support.memory import holder

NAME = "iot.example.com"


class Wall:
    """A clock on the wall, that is set as the test has it."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def logged() -> Iterator[Callable[[], list[str]]]:
    """What notices said in the log so far."""
    with log_of(notices) as lines:
        yield lines


def numbered(count: int, remaining: float) -> list[Identity]:
    """Clients with different certificates that end so many seconds after the wall's 1000 days."""
    known = holder()
    assert known.chain is not None
    ends = 1000 * DAY + remaining
    leaf = replace(known.chain.leaf, not_before=ends - 365 * DAY, not_after=ends)
    return [
        replace(
            known,
            chain=replace(known.chain, leaf=replace(leaf, fingerprint_sha256=f"{number:064x}")),
        )
        for number in range(count)
    ]


def test_a_key_counts_once_a_day_and_again_on_the_next() -> None:
    """The day is that of the wall clock, in UTC, also where somebody sets it back."""
    wall = Wall(1000 * DAY + 5)
    today = Today(wall, 10)
    assert [True, False, True] == [today.admits(key) for key in "aab"]
    wall.now = 1001 * DAY - 1
    assert not today.admits("a")
    wall.now = 1001 * DAY
    assert [True, False] == [today.admits(key) for key in "aa"]
    wall.now = 1000 * DAY + 5
    assert today.admits("a")


def test_not_more_keys_count_than_there_is_room_for() -> None:
    """What is kept does not grow with what comes."""
    today = Today(Wall(0.0), 3)
    assert 3 == sum(today.admits(str(number)) for number in range(1000))
    assert 3 == len(today)


def test_each_certificate_has_a_line_a_day(logged: Callable[[], list[str]]) -> None:
    """However often it comes, and through however many processes."""
    wall = Wall(1000 * DAY)
    parent = ClientNotices(wall)
    watches = [ClientWatch(wall, parent.tell) for _ in range(3)]
    one, other = numbered(2, 3 * DAY)

    def everybody_comes() -> None:
        for watch in watches:
            for identity in (one, other, one):
                watch.seen(identity, NAME)

    everybody_comes()
    assert 2 == len(logged())
    assert all("left=3d " in line for line in logged())
    wall.now += DAY - 1
    everybody_comes()
    assert 2 == len(logged())
    wall.now += 1
    everybody_comes()
    assert 4 == len(logged())
    assert "left=2d " in logged()[-1]


def test_only_verified_certificates_in_their_last_days_are_told() -> None:
    """Of a year, the last two weeks; of a day, its last quarter."""
    wall = Wall(1000 * DAY)
    told: list[str] = []
    watch = ClientWatch(wall, lambda key, text: told.append(key))
    [far], [near] = numbered(1, 14 * DAY + 1), numbered(1, 14 * DAY)
    watch.seen(ANONYMOUS, NAME)
    watch.seen(replace(near, verified=False, reason=Reason.REVOKED), NAME)
    watch.seen(far, NAME)
    assert far.chain is not None
    short = replace(far.chain.leaf, not_before=1000 * DAY - 17 * 3600, not_after=1000.3 * DAY)
    watch.seen(replace(far, chain=replace(far.chain, leaf=short)), NAME)
    assert [] == told
    wall.now += 2 * 3600
    watch.seen(replace(far, chain=replace(far.chain, leaf=short)), NAME)
    assert ["0" * 64] == told
    told.clear()
    wall.now = 1000 * DAY
    ClientWatch(wall, lambda key, text: told.append(key)).seen(near, NAME)
    assert ["0" * 64] == told


def test_a_flood_of_certificates_is_a_thousand_lines_and_one(
    logged: Callable[[], list[str]],
) -> None:
    """Of all workers together; the last line says that there are more."""
    wall = Wall(1000 * DAY)
    parent = ClientNotices(wall)
    crowd = numbered(3000, DAY)
    for start in (0, 1500):
        watch = ClientWatch(wall, parent.tell)
        for identity in crowd[start : start + 1500]:
            watch.seen(identity, NAME)
    assert 1001 == len(logged())
    assert "1000 were named today; further ones are not" in logged()[-1]
    wall.now += DAY
    parent.tell("key", "text")
    assert "text" == logged()[-1]


def test_what_a_worker_tells_is_one_line(logged: Callable[[], list[str]]) -> None:
    """Whatever it holds."""
    ClientNotices(Wall(0.0)).tell("key", "one\ntwo {three}" + "x" * 10_000)
    [line] = logged()
    assert line.startswith(r"one\ntwo {three}xxx")
    assert len(line) < 5000
