"""Which verifier does ``"san:dns=*.example.com"`` name? Plugins, found as Twisted finds them."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import fill, indent
from typing import cast

from twisted.plugin import getPlugins
from zope.interface import Interface

from mtlsedge.errors import BadVerifier
from mtlsedge.interfaces import IVerifier, IVerifierFactory


def list_verifiers() -> tuple[IVerifierFactory, ...]:
    """Every verifier factory of every installed package, by name."""
    found = cast(Iterable[IVerifierFactory], getPlugins(cast(type[Interface], IVerifierFactory)))
    return tuple(sorted(found, key=lambda factory: factory.name))


def find_verifier(spec: str) -> IVerifier:
    """Make the verifier that a string names: ``NAME`` or ``NAME:ARGUMENTS``.

    Raises:
        BadVerifier: no factory, or more than one, has the name; or the factory refuses the
            arguments. The message shows how they are written.
    """
    name, _, arguments = spec.partition(":")
    factories = list_verifiers()
    named = [factory for factory in factories if factory.name == name]
    if not named:
        known = ", ".join(factory.name for factory in factories) or "none at all"
        raise BadVerifier(f"there is no verifier {name!r}; there is {known}")
    if len(named) > 1:
        kinds = " and ".join(sorted(_kind(factory) for factory in named))
        raise BadVerifier(f"two packages offer a verifier {name!r} ({kinds}): remove one")
    return _made(named[0], arguments)


def help_verifiers() -> str:
    """What ``--help-verifiers`` prints: each verifier's syntax and what it does."""
    return "\n".join(_help(factory) for factory in list_verifiers())


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


def _help(factory: IVerifierFactory) -> str:
    text = " ".join(factory.help.split())
    return f"{factory.syntax}\n{indent(fill(text, 72), '    ')}\n"


def _kind(factory: IVerifierFactory) -> str:
    return f"{type(factory).__module__}.{type(factory).__qualname__}"
