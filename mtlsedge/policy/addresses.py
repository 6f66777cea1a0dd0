"""Is this address one of those? Networks of both versions, looked up by their prefixes."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

from mtlsedge.model import Network

Address = IPv4Address | IPv6Address
_MAPPED_BITS = 96


def unmapped(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped IPv6 one (RFC 4291 §2.5.5.2), else itself."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def unmapped_network(network: Network) -> Network:
    """The IPv4 network that an IPv4-mapped IPv6 one means, else itself."""
    if isinstance(network, IPv4Network) or network.prefixlen < _MAPPED_BITS:
        return network
    inner = network.network_address.ipv4_mapped
    return network if inner is None else IPv4Network((inner, network.prefixlen - _MAPPED_BITS))


class AddressSet:
    """Networks, compiled: one set look-up for each prefix length in use."""

    __slots__ = ("_prefixes",)

    def __init__(self, networks: Iterable[Network]) -> None:
        prefixes: dict[tuple[int, int], set[int]] = {}
        for network in map(unmapped_network, networks):
            shift = network.max_prefixlen - network.prefixlen
            known = prefixes.setdefault((network.version, shift), set())
            known.add(int(network.network_address) >> shift)
        self._prefixes = {
            version: tuple(
                (shift, frozenset(p)) for (v, shift), p in prefixes.items() if v == version
            )
            for version in (4, 6)
        }

    @classmethod
    def of_texts(cls, texts: Iterable[str], networks: Iterable[Network] = ()) -> AddressSet:
        """Addresses and networks written as text, and networks already read.

        Raises:
            ValueError: a text is neither an address nor a network.
        """
        return cls([*map(ip_network, texts), *networks])

    def __contains__(self, address: Address) -> bool:
        address = unmapped(address)
        value = int(address)
        return any(value >> shift in known for shift, known in self._prefixes[address.version])

    def has_text(self, text: str) -> bool:
        """Whether the text is an address, and one of these."""
        try:
            return ip_address(text) in self
        except ValueError:
            return False
