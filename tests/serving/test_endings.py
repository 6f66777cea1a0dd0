"""Which certificates end, and from when on one should know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from mtlsedge import model
from mtlsedge.serving.endings import Ending, endings, last_days
from support import certs

NAME = "iot.example.com"
DAY = 86400.0


@pytest.mark.parametrize(
    ("days", "expected"), [(1, 0.25), (8, 2), (56, 14), (90, 14), (365, 14), (3650, 14)]
)
def test_the_last_days_are_two_weeks_or_a_quarter_of_a_short_life(
    days: float, expected: float
) -> None:
    """What lives for a day and is renewed at half of it is nothing to write home about."""
    assert (days - expected) * DAY == last_days(0.0, days * DAY)


def test_an_ending_is_near_and_then_over() -> None:
    """And each changes when the other begins."""
    ending = Ending("a certificate", 0.0, 365 * DAY)
    near = 351 * DAY
    assert (False, near) == (ending.is_near(near - 1), ending.next_change(near - 1))
    assert (True, 365 * DAY) == (ending.is_near(near), ending.next_change(near))
    assert "a certificate expires on 1971-01-01T00:00:00Z; renew it" == ending.words(near)
    assert "a certificate expired on 1971-01-01T00:00:00Z; renew it" == ending.words(365 * DAY)
    assert (True, inf) == (ending.is_near(365 * DAY), ending.next_change(365 * DAY))


def test_every_certificate_of_a_configuration_is_there_once() -> None:
    """Whatever it is for: the host's, those between, towards the origin, of clients, of CRLs."""
    middle = certs.intermediate("Middle").certificate.public_bytes(Encoding.PEM)
    server, outward = certs.server(NAME), certs.client("edge")
    chain = server.certificate.read_bytes() + middle
    tls = model.UpstreamTLS(client=model.KeyPair(outward.certificate.read_bytes(), b""))
    host = model.Host((NAME,), model.KeyPair(chain, b""), (), upstream_tls=tls)
    ca = certs.ca_file().read_bytes()
    client_ca = model.ClientCA("Devices", ca, (NAME,), crl_issuers=middle)
    edge = model.Edge((), cast(Any, None))
    found = endings(model.Configuration(edge, (host, host), (client_ca,)))
    assert [
        f"the server certificate of {NAME} (CN={NAME})",
        f"an intermediate of the server certificate of {NAME} (CN=Middle)",
        f"the certificate that {NAME} shows its origin (CN=edge)",
        f"client CA 'Devices' (CN={certs.CLIENT_CA})",
        "the CRL signer of client CA 'Devices' (CN=Middle)",
    ] == [each.what for each in found]
    issued = server.issued.x509
    assert issued.not_valid_after_utc.timestamp() == found[0].not_after
    assert issued.not_valid_before_utc.timestamp() == found[0].not_before


def test_a_certificate_that_cannot_be_read_is_left_out() -> None:
    """Somebody else says so; the others are told all the same."""
    now = datetime.now(UTC)
    soon = certs.authority().issue("soon", (NAME,), lifetime=timedelta(days=9), not_before=now)
    hosts = tuple(
        model.Host((NAME,), model.KeyPair(pem, b""), ()) for pem in (b"damaged", soon.certificate)
    )
    [found] = endings(model.Configuration(model.Edge((), cast(Any, None)), hosts))
    assert found.what.endswith("(CN=soon)")
