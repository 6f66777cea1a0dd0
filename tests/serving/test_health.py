"""What the log says of lists and certificates as the days go by, by a clock on the wall."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, eventAsText, globalLogPublisher

from mtlsedge import model
from mtlsedge.serving import health
from mtlsedge.serving.health import Health
from mtlsedge.trust.crl_health import CrlHealth
from mtlsedge.trust.judge import ClientTrust
from support import certs
from support.verifiers import find_verifier

NAME = "iot.example.com"
DAY = 86400.0
HOUR = 3600.0
BEGIN = 20_000 * DAY + 6 * HOUR  # six in the morning
MOMENT = datetime.fromtimestamp(BEGIN, UTC)


class Edge:
    """An edge of which there is only what ends, and the time."""

    def __init__(self, *crls: bytes, host: bytes = b"", policy: Any = "require") -> None:
        self.clock = Clock()
        self.list_changes = 0
        self.errors: dict[str, str] = {}
        self.events: list[LogEvent] = []
        sources = tuple(model.CrlSource(f"{n}.crl", data) for n, data in enumerate(crls))
        pem = certs.ca_file().read_bytes()
        ca = model.ClientCA("Devices", pem, (NAME,), crls=sources, crl_policy=policy)
        hosts = (model.Host((NAME,), model.KeyPair(host, b""), ()),)
        self.configuration = model.Configuration(model.Edge((), cast(Any, None)), hosts, (ca,))
        self.trust = ClientTrust([ca], find_verifier, self.clock, self.now, 0)
        self.looking = Health(self, lambda: self.errors, self.clock, self.now)
        globalLogPublisher.addObserver(cast(Any, self.events.append))

    def now(self) -> float:
        return BEGIN + self.clock.seconds()

    def health(self, now: float) -> tuple[CrlHealth, ...]:
        return self.trust.health(now)

    def troubles(self) -> list[str]:
        return list(self.trust.troubles())

    def pass_by(self, seconds: float) -> list[str]:
        """Let time pass, a minute at a time; what was logged meanwhile."""
        self.said()
        for _ in range(int(seconds / 60)):
            self.clock.advance(60)
        return self.said()

    def said(self) -> list[str]:
        """What was logged since this was last asked."""
        lines = [
            eventAsText(each, includeTimestamp=False, includeSystem=False)
            for each in self.events
            if each.get("log_namespace") == health.__name__
        ]
        self.events.clear()
        return lines

    def close(self) -> None:
        self.looking.stop()
        globalLogPublisher.removeObserver(cast(Any, self.events.append))
        assert [] == self.clock.getDelayedCalls()


Make = Callable[..., Edge]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make an edge that has started."""
    made: list[Edge] = []

    def edge(*crls: bytes, **more: Any) -> Edge:
        made.append(Edge(*crls, **more))
        made[-1].looking.start()
        return made[-1]

    yield edge
    for each in made:
        each.close()


def crl(days: float = 100.0, number: int = 1) -> bytes:
    """A list that was made a moment before everything begins, and lasts so long."""
    root = certs.authority()
    return root.crl([5], timedelta(days=days), number=number, last_update=MOMENT)


def server(days: float) -> bytes:
    """A server certificate of a year that has so many days to go."""
    start = MOMENT + timedelta(days=days - 365)
    issued = certs.authority(certs.SERVER_CA).issue(
        NAME, (NAME,), lifetime=timedelta(days=365), not_before=start
    )
    return issued.certificate


def test_the_start_tells_each_of_a_few_lists_and_counts_them(make: Make) -> None:
    """The client CA and its number are there, and how long it lasts."""
    first, second, summary = make(crl(), crl(50, number=9)).said()
    assert first.startswith('crl state=good client_ca="Devices" issuer="CN=Test Client CA"')
    assert 'place="0.crl"' in first
    assert " number=9 age=0s " in second
    assert " left=50d entries=1" in second
    assert "crl summary lists=2 good=2 ending=0 failing=0 unusable=0" == summary


def test_an_edge_without_lists_says_nothing_of_them(make: Make) -> None:
    edge = make()
    assert [] == edge.said()
    assert [] == edge.pass_by(2 * DAY)


def test_of_many_lists_only_those_have_a_line_that_need_one(make: Make) -> None:
    """Nobody reads a thousand lines in which all is well."""
    lines = make(*[crl()] * 25, b"damaged").said()
    told = [line for line in lines if line.startswith("crl ")]
    assert ["crl state=unusable", "crl summary lists=26"] == [
        " ".join(line.split()[: 2 if "state" in line else 3]) for line in told
    ]
    assert "good=25 " in told[1]


def test_every_day_there_is_a_line_again_and_only_one(make: Make) -> None:
    """Within the first minutes of the day, for months."""
    edge = make(crl(100))
    edge.said()
    assert [] == edge.pass_by(18 * HOUR - 60)
    for _ in range(30):
        lines = edge.pass_by(DAY)
        assert ["crl state=good", "crl summary lists=1"] == [
            " ".join(line.split()[: 2 if "state" in line else 3]) for line in lines
        ]
    assert " age=29d18h " in lines[0]


def test_a_list_whose_successor_does_not_come_is_told_within_a_minute(make: Make) -> None:
    """When its last tenth begins, when it is over, and each day that this lasts."""
    edge = make(crl(10))
    edge.pass_by(9 * DAY - 60)
    [line] = edge.pass_by(180)
    assert "0.crl, the CRL of CN=Test Client CA, goes stale at " in line
    assert [] == edge.pass_by(HOUR)
    lines = edge.pass_by(17 * HOUR)
    assert 1 == len([line for line in lines if "goes stale at" in line])
    assert 1 == len([line for line in lines if line.startswith("crl state=ending ")])
    lines = edge.pass_by(6 * HOUR)
    assert ["no usable CRL of CN=Test Client CA"] == [line.partition(":")[0] for line in lines]
    assert "it is stale since" not in "".join(edge.pass_by(10 * HOUR))
    lines = edge.pass_by(DAY)
    assert ["crl state=unusable", "crl summary", "no usable"] == [
        " ".join(line.split()[:2]) for line in lines
    ]


def test_a_list_of_an_hour_is_told_of_before_its_hour_is_over(make: Make) -> None:
    """A look once a day would be too late."""
    edge = make(crl(1 / 24))
    lines = edge.pass_by(HOUR - 60)
    assert 1 == len(lines)
    assert "goes stale at" in lines[0]


def test_what_replaces_a_list_is_looked_at(make: Make) -> None:
    """What it brings is told once, and when it ends."""
    edge = make(crl(10))
    edge.pass_by(HOUR)
    edge.trust.lists["Devices"].replace("0.crl", b"damaged", edge.now())
    assert [] == edge.pass_by(60), "nobody said that something was replaced"
    edge.list_changes += 1
    [line] = edge.pass_by(60)
    assert "not a CRL" in line
    assert [] == edge.pass_by(HOUR)
    edge.trust.lists["Devices"].replace("0.crl", crl(200, number=2), edge.now())
    edge.list_changes += 1
    assert [] == edge.pass_by(HOUR)
    assert not [line for line in edge.pass_by(30 * DAY) if "goes stale at" in line]


def test_why_an_url_does_not_answer_stands_beside_its_list(make: Make) -> None:
    """It serves, and its latest error is known to whoever asked for it."""
    edge = make(crl())
    edge.errors["0.crl"] = "the answer was 503"
    line, summary = edge.pass_by(DAY)
    assert line.startswith("crl state=failing ")
    assert line.endswith(' error="the answer was 503"')
    assert " failing=1 " in summary


def test_a_server_certificate_is_told_of_every_day_of_its_last_two_weeks(make: Make) -> None:
    """And once it is over; the first day's word is the configuration's."""
    edge = make(host=server(15))
    assert [] == edge.said()
    lines = edge.pass_by(DAY + 60)
    assert [f"the server certificate of {NAME} (CN={NAME}) expires on"] == [
        line.partition(" 20")[0] for line in lines
    ]
    for _ in range(13):
        assert 1 == len(edge.pass_by(DAY))
    lines = edge.pass_by(DAY)
    assert "expired on" in lines[-1]
    assert 1 == len(edge.pass_by(DAY))


def test_what_the_configuration_has_warned_of_is_not_said_twice_a_day(make: Make) -> None:
    """It does so whenever it is read."""
    edge = make(host=server(5))
    edge.looking.renew()
    assert [] == [*edge.said(), *edge.pass_by(17 * HOUR)]
    assert 1 == len(edge.pass_by(2 * HOUR))
    edge.looking.renew()
    assert [] == edge.pass_by(HOUR)


def test_a_reload_tells_the_lists_again(make: Make) -> None:
    """Each with its line, as at the start; and warnings that this day has not had."""
    edge = make(crl())
    before = edge.said()
    edge.looking.renew()
    assert before == edge.said()


def test_a_look_that_fails_does_not_end_all_looking(make: Make) -> None:
    """The log has the failure, and the next minute its look."""
    edge = make(crl(10))
    edge.said()
    works, edge.troubles = edge.troubles, cast(Any, None)  # type: ignore[method-assign]
    edge.list_changes += 1
    assert ["looking at what ends failed"] == [line.partition("\n")[0] for line in edge.pass_by(60)]
    edge.troubles = works  # type: ignore[method-assign]
    assert 1 == len(edge.pass_by(9.5 * DAY)[-1:])
