"""What does a whole configuration say? TOML, or a mapping like it, to one ``Configuration``."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from mtlsedge.config.applications import ApplicationReader
from mtlsedge.config.clients import ClientCAReader, ServiceTokenReader
from mtlsedge.config.edge import read_edge
from mtlsedge.config.files import Unreadable, read_regular
from mtlsedge.config.groups import GroupReader, refuse_cycles
from mtlsedge.config.hosts import HostReader
from mtlsedge.config.network import HTTP3_KEYS
from mtlsedge.config.reader import Loading, Place, Table
from mtlsedge.config.rules import scope_of
from mtlsedge.errors import ConfigurationError, Problem
from mtlsedge.model import ADVERTISED_AT_MOST, Configuration, names_size
from mtlsedge.names import NameTable

_SPOT = re.compile(r" \(at line ([0-9]+), column ([0-9]+)\)")


def load_file(
    path: Path,
    *,
    check_verifier: Callable[[str, Path], str],
    now: float,
    generation: int = 1,
) -> Configuration:
    """Read a TOML file and every file that it names.

    Args:
        path: the file; relative paths in it start at its directory.
        check_verifier: ``trust.verifiers.checked_spec``, or what does as it does.
        now: seconds since the epoch, by which certificates are judged.
        generation: the number that the configuration carries.

    Raises:
        ConfigurationError: with every problem at once.
    """
    return load_mapping(
        read_toml(path),
        path.parent,
        check_verifier=check_verifier,
        now=now,
        generation=generation,
    )


def load_mapping(
    mapping: Mapping[str, object],
    base: Path,
    *,
    check_verifier: Callable[[str, Path], str],
    now: float,
    generation: int = 1,
) -> Configuration:
    """As ``load_file``, from what TOML would have given; relative paths start at ``base``.

    Raises:
        ConfigurationError: with every problem at once.
    """
    # Absolute, since twistd changes its directory once it serves.
    loading = Loading(Path(os.path.abspath(base)), now, check_verifier)
    configuration = _read(Table(Place(loading), mapping), mapping, generation)
    if loading.problems:
        raise ConfigurationError(tuple(loading.problems))
    return configuration


def read_toml(path: Path) -> dict[str, object]:
    """The mapping that a TOML file spells, unjudged.

    Raises:
        ConfigurationError: the file cannot be read, or is not TOML; the place is the file's
            with line and column.
    """
    try:
        text = read_regular(path).data.decode("utf-8")
        return tomllib.loads(text)
    except Unreadable as error:
        problem = Problem(str(path), f"{error}; check the path and the permissions")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = Problem(f"{path}:{line}", "is not UTF-8, which TOML is; save it as UTF-8")
    except tomllib.TOMLDecodeError as error:
        problem = _syntax_problem(path, str(error))
    except (ValueError, RecursionError) as error:
        problem = Problem(str(path), f"is not TOML that can be read: {type(error).__name__}")
    raise ConfigurationError((problem,))


def _read(root: Table, mapping: Mapping[str, object], generation: int) -> Configuration:
    root.hint(HTTP3_KEYS)
    edge = root.child("edge", read_edge)
    hosts = HostReader(edge)
    scope = scope_of(mapping)
    remedy = "write at least one [[host]], with names, certificate, key and upstream"
    if mapping.get("host") in (None, []):
        root.at("host").problem(f"is missing; {remedy}")
    read_hosts = root.each("host", hosts.read)
    ca_reader = ClientCAReader(hosts.claims)
    client_cas = root.each("client_ca", ca_reader.read)
    groups = root.each("group", GroupReader(scope).read)
    refuse_cycles(groups, root.at("group"))
    configuration = Configuration(
        edge=edge,
        hosts=read_hosts,
        client_cas=client_cas,
        applications=root.each("application", ApplicationReader(hosts.claims, scope).read),
        groups=groups,
        service_tokens=root.each("service_token", ServiceTokenReader().read),
        generation=generation,
        warnings=tuple(root.place.loading.warnings),
    )
    root.close()
    _check_default_host(configuration, root.at("edge").key("default_host"))
    _check_required_handshakes(configuration, root.at("host"))
    _check_advertised_names(configuration, ca_reader.subjects, root.at("host"))
    return configuration


def _check_default_host(configuration: Configuration, place: Place) -> None:
    table: NameTable[str] = NameTable()
    for host in configuration.hosts:
        for name in host.names:
            table.add(name, host.name)
    chosen = configuration.edge.default_host
    if chosen and table.find(chosen) is None:
        place.problem(f"{chosen!r} is served by no [[host]]; name one that is")


def _check_required_handshakes(configuration: Configuration, place: Place) -> None:
    """A host that requires certificates, and has no CA to verify them by, refuses everybody."""
    verified = {name for ca in configuration.client_cas for name in ca.hosts}
    for index, host in enumerate(configuration.hosts):
        missing = [name for name in host.names if name not in verified]
        if host.handshake == "require" and missing:
            place.item(index).key("handshake").problem(
                f"requires a certificate, and no [[client_ca]] names {', '.join(missing)} in its "
                "hosts; name it there, or write handshake = 'record'"
            )


def _check_advertised_names(
    configuration: Configuration, subjects: Mapping[str, frozenset[bytes]], place: Place
) -> None:
    """With more names than fit into TLS's message every handshake would fail."""
    for index, host in enumerate(configuration.hosts):
        if host.advertise_cas != "always":
            continue
        named: set[bytes] = set()
        for ca in configuration.client_cas:
            if not set(host.names).isdisjoint(ca.hosts):
                named |= subjects.get(ca.name, frozenset())
        size = names_size(named)
        if size > ADVERTISED_AT_MOST:
            place.item(index).key("advertise_cas").problem(
                f"cannot be 'always': the names of its {len(named)} CAs take {size} bytes, and no "
                f"handshake carries more than {ADVERTISED_AT_MOST}; write 'auto'"
            )


def _syntax_problem(path: Path, message: str) -> Problem:
    spot = _SPOT.search(message)
    where = f"{path}:{spot[1]}:{spot[2]}" if spot else str(path)
    return Problem(where, f"is not TOML: {_SPOT.sub('', message)}")
