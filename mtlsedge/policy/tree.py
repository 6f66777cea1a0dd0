"""Who governs this request? From a server name and a path to one application, or to nobody.

``/Alpha`` is not ``/alpha`` to the edge, and the same to many an origin (``paths.loosely``). So a
path is looked up exactly and loosely, and one that falls under another application when read
loosely is ambiguous, as any other path that can be read in two ways is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from mtlsedge.errors import ConfigurationError, Problem
from mtlsedge.model import Application, Domain, Group
from mtlsedge.names import NameTable, wildcard_of
from mtlsedge.policy.application import CompiledApplication
from mtlsedge.policy.paths import Applications, PathTable, exactly, loosely, pieces_of
from mtlsedge.policy.question import AmbiguousPath
from mtlsedge.policy.rules import RuleCompiler
from mtlsedge.target import RequestPath

_CACHED_PATHS = 8192
_CACHED_LENGTH = 256  # characters; longer paths are looked up each time

_Find = Callable[["HostPolicy", str], CompiledApplication | None]


class _NamePolicy:
    """The applications of one host pattern: by path read exactly, and by path read loosely."""

    __slots__ = ("_exact", "_loose")

    def __init__(self) -> None:
        self._exact = PathTable(exactly)
        self._loose = PathTable(loosely)

    def add(self, domain: Domain, application: CompiledApplication) -> None:
        others = self._exact.add(domain.path, application)
        if len(others) > 1:
            raise ValueError(f"{domain} is a domain of application {others[0].name!r} already")
        self._loose.add(domain.path, application)

    @property
    def depth(self) -> int:
        return self._exact.depth

    def find(self, path: str) -> Applications:
        return self._exact.find(path)

    def find_loose(self, path: str) -> Applications:
        return self._loose.find(path)


class HostPolicy:
    """The applications of one host: those of its name, and behind them its wildcard's."""

    __slots__ = ("_depth", "_find_cached", "_names")

    def __init__(self, names: tuple[_NamePolicy, ...], find_cached: _Find) -> None:
        self._names = names
        self._depth = max((name.depth for name in names), default=0)
        self._find_cached = find_cached

    def governing(self, request_path: RequestPath) -> CompiledApplication | None:
        """The application that governs a path, None where none covers it.

        Raises:
            AmbiguousPath: what an origin may make of the path is another application's.
        """
        path = request_path.path
        if not request_path.readings and len(path) <= _CACHED_LENGTH:
            return self._find_cached(self, path)
        application = self.find(path)
        looked_up: set[tuple[str, ...]] = set()
        for reading in request_path.readings:
            pieces = tuple(pieces_of(reading, self._depth))
            if pieces in looked_up:
                continue
            looked_up.add(pieces)
            other = self.find(reading)
            if other is not application:
                raise _ambiguous(path, application, repr(reading), other)
        return application

    def find(self, path: str) -> CompiledApplication | None:
        """The application that governs one reading of a path.

        Raises:
            AmbiguousPath: it is another's where the path is read loosely.
        """
        # An application of the exact name that covers the path shuts out the wildcard's.
        found = next(filter(None, (name.find(path) for name in self._names)), ())
        loose = next(filter(None, (name.find_loose(path) for name in self._names)), ())
        application = found[0] if found else None
        if loose and application not in loose:
            raise _ambiguous(path, application, "another spelling", loose[0])
        return application


class PolicyTree:
    """Every application of a configuration, to be found by server name and path.

    Attributes:
        applications: all of them, compiled, in the order of the configuration.
    """

    def __init__(self, applications: Sequence[Application], groups: Sequence[Group] = ()) -> None:
        """Compile applications and groups.

        Raises:
            ConfigurationError: a rule that the edge cannot evaluate, a domain that two
                applications have, a path pattern that is none. Holds every such problem.
        """
        names: dict[str, _NamePolicy] = {}
        problems: list[Problem] = []
        compiler = RuleCompiler(groups)
        compiled: list[CompiledApplication] = []
        for source in applications:
            try:
                application = CompiledApplication(source, compiler)
                _enter(names, source, application)
                compiled.append(application)
            except ConfigurationError as error:
                problems += error.problems
        if problems:
            raise ConfigurationError(tuple(problems))
        self.applications = tuple(compiled)
        # Shared by all hosts and owned by this tree: bounded whatever their number, and gone
        # with the configuration.
        find: _Find = lru_cache(_CACHED_PATHS)(HostPolicy.find)
        self._nobody = HostPolicy((), find)
        self._hosts: NameTable[HostPolicy] = NameTable()
        for pattern, policy in names.items():
            wildcard = names.get(wildcard_of(pattern), policy)
            both = (policy,) if wildcard is policy else (policy, wildcard)
            self._hosts.add(pattern, HostPolicy(both, find))

    def for_host(self, server_name: str) -> HostPolicy:
        """The policy for a canonical server name; one that governs nothing if there is none."""
        return self._hosts.find(server_name) or self._nobody


def _enter(
    names: dict[str, _NamePolicy], source: Application, application: CompiledApplication
) -> None:
    for domain in source.domains:
        try:
            names.setdefault(domain.host, _NamePolicy()).add(domain, application)
        except ValueError as error:
            raise ConfigurationError(
                (Problem(f"application {source.name!r}", str(error)),)
            ) from error


def _ambiguous(
    path: str,
    application: CompiledApplication | None,
    reading: str,
    other: CompiledApplication | None,
) -> AmbiguousPath:
    return AmbiguousPath(
        f"{path!r} falls under {_named(application)}, "
        f"but under {_named(other)} where an origin takes it for {reading}"
    )


def _named(application: CompiledApplication | None) -> str:
    return f"application {application.name!r}" if application else "no application"
