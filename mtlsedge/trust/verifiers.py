"""Which verifier does ``"san:dns=*.example.com"`` name? Plugins, found as Twisted finds them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill, indent
from typing import cast

from twisted.plugin import getPlugins
from zope.interface import Interface

from mtlsedge.errors import BadVerifier
from mtlsedge.interfaces import IVerifier, IVerifierFactory
from mtlsedge.trust.arguments import join_arguments, quoted, split_arguments, split_pair
from mtlsedge.trust.services import read_file
from mtlsedge.trust.terms import TERMS_HELP, Terms, take_terms

_LARGEST = 1024 * 1024  # bytes of a file of arguments
_A_MOMENT = 1.0  # seconds
_latest: tuple[float, object, tuple[IVerifierFactory, ...]] = (0.0, None, ())


@dataclass(frozen=True, slots=True)
class MadeVerifier:
    """What a verifier string names: the verifier, what logs call it, and how it is asked."""

    name: str
    verifier: IVerifier
    terms: Terms


def list_verifiers() -> tuple[IVerifierFactory, ...]:
    """Every verifier factory of every installed package, by name.

    Twisted looks through every directory each time, which takes a millisecond. A configuration
    may name verifiers by the thousand, so what was found a moment ago is not looked for again.
    """
    global _latest
    moment, source, listed = _latest
    now = time.monotonic()
    if source is not getPlugins or now - moment > _A_MOMENT:
        listed = _installed()
        _latest = (now, getPlugins, listed)
    return listed


def _installed() -> tuple[IVerifierFactory, ...]:
    found = cast(Iterable[IVerifierFactory], getPlugins(cast(type[Interface], IVerifierFactory)))
    named = [factory for factory in found if isinstance(getattr(factory, "name", None), str)]
    return tuple(sorted(named, key=lambda factory: factory.name))


def make_verifier(spec: str) -> MadeVerifier:
    """Make the verifier that a string names: ``NAME`` or ``NAME:ARGUMENTS``.

    Raises:
        BadVerifier: no factory, or more than one, has the name; or the factory refuses the
            arguments. The message shows how they are written.
    """
    name, _, arguments = spec.partition(":")
    factory = _factory(name)
    try:
        terms, arguments = take_terms(arguments)
    except BadVerifier as error:
        raise BadVerifier(f"{name}: {error}") from error
    return MadeVerifier(name, _made(factory, arguments), terms)


def checked_spec(spec: str, directory: Path) -> str:
    """The `whole_spec` of a string, of which a verifier can be made.

    Raises:
        BadVerifier: it cannot.
    """
    whole = whole_spec(spec, directory)
    make_verifier(whole)
    return whole


def whole_spec(spec: str, directory: Path) -> str:
    """A verifier string that means the same wherever it is read, and later.

    Its paths become absolute: relative ones start at ``directory``. Of ``NAME:@FILE`` the
    file's lines become the arguments; blank ones, and those that begin with ``#``, say nothing.

    Raises:
        BadVerifier: the file cannot be read, no factory has the name, or arguments do not end.
    """
    name, colon, arguments = spec.partition(":")
    keys: Sequence[str] = getattr(_factory(name), "files", ())
    try:
        if arguments.startswith("@"):
            arguments = _from_file(directory / arguments[1:])
        if keys:
            pieces = split_arguments(arguments)
            arguments = join_arguments([_absolute(piece, keys, directory) for piece in pieces])
    except BadVerifier as error:
        raise BadVerifier(f"{name}: {error}") from error
    return f"{name}{colon}{arguments}"


def help_verifiers() -> str:
    """What ``--help-verifiers`` prints: each verifier's syntax and what it does."""
    return "\n".join(_help(factory) for factory in list_verifiers())


def help_verifier(name: str) -> str:
    """What ``--help-verifier NAME`` prints.

    Raises:
        BadVerifier: there is none of that name.
    """
    factory = _factory(name)
    return f"{_help(factory)}\n{indent(fill(TERMS_HELP, 72), '    ')}\n\nfrom {_kind(factory)}\n"


def _factory(name: str) -> IVerifierFactory:
    factories = list_verifiers()
    named = [factory for factory in factories if factory.name == name]
    if not named:
        known = ", ".join(factory.name for factory in factories) or "none at all"
        raise BadVerifier(f"there is no verifier {name!r}; there is {known}")
    if len(named) > 1:
        kinds = " and ".join(sorted(_kind(factory) for factory in named))
        raise BadVerifier(f"two packages offer a verifier {name!r} ({kinds}): remove one")
    return named[0]


def _made(factory: IVerifierFactory, arguments: str) -> IVerifier:
    try:
        verifier = factory.makeVerifier(arguments)
    except BadVerifier as error:
        raise BadVerifier(f"{factory.name}: {error}. It is written {factory.syntax}") from error
    except Exception as error:
        raise BadVerifier(f"{factory.name}: {_kind(factory)} failed: {error!r}") from error
    if not IVerifier.providedBy(verifier):
        raise BadVerifier(f"{factory.name}: {_kind(factory)} made something that is no verifier")
    return verifier


def _from_file(path: Path) -> str:
    content = read_file(str(path), _LARGEST)
    try:
        lines = [line.strip() for line in content.decode("utf-8").split("\n")]
    except ValueError as error:
        raise BadVerifier(f"{path} cannot be read: {error}") from error
    # A comma at a line's end is one that the next line makes anyway.
    said = [line.rstrip(",") for line in lines if line and not line.startswith("#")]
    return join_arguments(said)


def _absolute(piece: str, keys: Sequence[str], directory: Path) -> str:
    key, value = split_pair(piece)
    if key not in keys or not value:
        return piece
    return f"{key}={quoted(os.path.abspath(directory / value))}"


def _help(factory: IVerifierFactory) -> str:
    text = " ".join(str(factory.help).split())
    return f"{factory.syntax}\n{indent(fill(text, 72), '    ')}\n"


def _kind(factory: IVerifierFactory) -> str:
    return f"{type(factory).__module__}.{type(factory).__qualname__}"
