"""What does ``twistd mtlsedge`` run? Options in, a service out."""

from __future__ import annotations

import os
import sys
import time

from twisted.application.service import IService

from mtlsedge.config.options import ServeOptions
from mtlsedge.errors import ConfigurationError
from mtlsedge.model import Configuration
from mtlsedge.service import EdgeService
from mtlsedge.trust.verifiers import find_verifier, help_verifiers


def _print_verifiers() -> None:
    sys.stdout.write(help_verifiers())


def check_verifier(spec: str) -> None:
    """Raise ``BadVerifier`` unless a verifier can be made of the string."""
    find_verifier(spec)


class Options(ServeOptions):
    """The options of ``twistd mtlsedge``."""

    print_verifiers = staticmethod(_print_verifiers)


def makeService(options: Options) -> IService:
    """The edge as a Twisted service.

    Raises:
        SystemExit: the configuration was refused; its message lists every problem.
    """
    from twisted.internet import reactor

    if options["config"] is not None:
        # A daemon leaves this directory, and is to read the same file again when it reloads.
        options["config"] = os.path.abspath(options["config"])

    def read(generation: int) -> Configuration:
        return options.configuration(check_verifier, time.time(), generation)

    try:
        configuration = read(1)
    except ConfigurationError as error:
        problems = "\n".join(f"  {problem}" for problem in error.problems)
        raise SystemExit(f"mtlsedge: the configuration was refused:\n{problems}") from None
    foreground = options.parent is None or bool(options.parent["nodaemon"])
    return EdgeService(configuration, reactor, read, foreground=foreground)
