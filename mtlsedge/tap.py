"""What does ``twistd mtlsedge`` run? Options in, a service out."""

from __future__ import annotations

import os
import sys
import time

from twisted.application.service import IService
from twisted.python.usage import UsageError

from mtlsedge.config.options import ServeOptions
from mtlsedge.errors import BadVerifier, ConfigurationError
from mtlsedge.model import Configuration
from mtlsedge.ops.notify import Notifier
from mtlsedge.service import EdgeService
from mtlsedge.trust.verifiers import checked_spec, help_verifier, help_verifiers


def _print_verifiers(name: str = "") -> None:
    try:
        sys.stdout.write(help_verifier(name) if name else help_verifiers())
    except BadVerifier as error:
        raise UsageError(str(error)) from None


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
        return options.configuration(checked_spec, time.time(), generation)

    try:
        configuration = read(1)
    except ConfigurationError as error:
        problems = "\n".join(f"  {problem}" for problem in error.problems)
        raise SystemExit(f"mtlsedge: the configuration was refused:\n{problems}") from None
    foreground = options.parent is None or bool(options.parent["nodaemon"])
    # Made now: a chroot puts the service manager out of reach.
    notifier = Notifier(os.environ)
    return EdgeService(configuration, reactor, read, foreground=foreground, notifier=notifier)
