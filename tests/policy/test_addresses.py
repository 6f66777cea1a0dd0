"""Addresses are compared as addresses, whatever they are written like."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsedge.policy.addresses import AddressSet, unmapped

addresses = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address)
)


@pytest.mark.parametrize(
    ("network", "address", "inside"),
    [
        ("192.0.2.0/24", "192.0.2.255", True),
        ("192.0.2.0/24", "192.0.3.0", False),
        ("192.0.2.0/24", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.0/120", "192.0.2.1", True),
        ("::ffff:192.0.2.0/120", "::ffff:192.0.2.1", True),
        ("0.0.0.0/0", "::1", False),
        ("::/0", "192.0.2.1", False),
        ("::/0", "::ffff:192.0.2.1", False),
        ("2001:db8::/32", "2001:db8:ffff::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
    ],
)
def test_a_network_holds_its_own_addresses(network: str, address: str, inside: bool) -> None:
    """An IPv4-mapped IPv6 address is the IPv4 address in it."""
    found = ip_address(address) in AddressSet([ip_network(network)])
    assert inside == found


@given(st.lists(st.tuples(addresses, st.integers(0, 128)), max_size=5), addresses)
def test_it_agrees_with_the_standard_library(
    prefixes: list[tuple[IPv4Address | IPv6Address, int]], address: IPv4Address | IPv6Address
) -> None:
    """The compiled form is nothing but a faster ``address in network``."""
    networks = [
        ip_network(f"{base}/{min(length, base.max_prefixlen)}", strict=False)
        for base, length in prefixes
        if unmapped(base) == base
    ]
    expected = any(unmapped(address) in network for network in networks)
    assert expected == (address in AddressSet(networks))


@pytest.mark.parametrize("text", ["", "192.0.2", "192.0.2.1/24", "::1%", "a\0"])
def test_a_text_that_is_no_address_is_in_nothing(text: str) -> None:
    """It came out of a certificate and may be anything."""
    assert not AddressSet.of_texts(["0.0.0.0/0", "::/0"]).has_text(text)
