"""What else can one do? The ``mtlsedge`` command: everything that is not serving."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from twisted.python import usage

from mtlsedge import __version__
from mtlsedge.check import report
from mtlsedge.config.load import load_file
from mtlsedge.errors import ConfigurationError, EdgeError
from mtlsedge.explain.command import ExplainOptions
from mtlsedge.pki_cli.options import PkiOptions
from mtlsedge.policy.service_tokens import mint
from mtlsedge.replay.command import ReplayOptions
from mtlsedge.trust.verifiers import checked_spec, help_verifier, help_verifiers

_REFUSED = 1
_USAGE = 2


class _Command(usage.Options):
    """A sub-command: it takes its arguments when it is parsed and does its work in ``run``."""

    synopsis: ClassVar[str]

    def getSynopsis(self) -> str:
        """How it is used, without how all that is above it is used."""
        return str(self.synopsis)

    def run(self) -> int:
        """Do the work; gives the exit status."""
        raise AssertionError


class CheckOptions(_Command):
    """Read a configuration and say what each kind of client would get."""

    synopsis = "Usage: mtlsedge check FILE"
    longdesc = (
        "Prints, for each host and application, what a client without a certificate, with one, "
        "and with one of another CA gets; how its CRLs are, and what ends soon; and warns of "
        "what would surprise. Exit status 0 if the configuration can be served, 1 if not."
    )

    def parseArgs(self, file: str) -> None:  # type: ignore[override]
        """The configuration file."""
        self["file"] = Path(file)

    def run(self) -> int:
        """Report on the file."""
        try:
            configuration = load_file(self["file"], check_verifier=checked_spec, now=time.time())
            lines = report(configuration, time.time())
        except ConfigurationError as error:
            count = len(error.problems)
            print(f"{self['file']}: {count} problem{'s' * (count != 1)}", file=sys.stderr)
            for problem in error.problems:
                print(f"  {problem}", file=sys.stderr)
            return _REFUSED
        print("\n".join(lines))
        return 0


class ServiceTokenOptions(_Command):
    """Make a service token: the client's credentials, and what to write in the configuration."""

    synopsis = "Usage: mtlsedge service-token [--days N] NAME"
    longdesc = (
        "The secret is shown once and kept nowhere; the configuration holds only its hash. "
        "Clients send CF-Access-Client-Id and CF-Access-Client-Secret."
    )
    optParameters: ClassVar[list[Any]] = [
        ["days", None, 365, "Days until the token expires; 0 is never.", float],
    ]

    def parseArgs(self, name: str) -> None:  # type: ignore[override]
        """The name by which rules call the token."""
        self["name"] = name

    def run(self) -> int:
        """Print a new token."""
        days = self["days"]
        expires = time.time() + days * 86400 if days else None
        token, secret = mint(self["name"], expires)
        print(f"CF-Access-Client-Id: {token.client_id}")
        print(f"CF-Access-Client-Secret: {secret}")
        print("\nThe secret is not shown again. In the configuration:\n")
        print("[[service_token]]")
        print(f"name          = {_toml(token.name)}")
        print(f"client_id     = {_toml(token.client_id)}")
        print(f"secret_sha256 = {_toml(token.secret_sha256)}")
        if token.expires is not None:
            moment = datetime.fromtimestamp(token.expires, UTC)
            print(f"expires       = {moment:%Y-%m-%dT%H:%M:%SZ}")
        return 0


class VerifiersOptions(_Command):
    """List the verifiers that are installed, with what can be said to them."""

    synopsis = "Usage: mtlsedge verifiers [NAME]"

    def parseArgs(self, name: str = "") -> None:
        """The one verifier to be told of."""
        self["name"] = name

    def run(self) -> int:
        """Print what ``--help-verifiers`` of ``twistd mtlsedge`` prints, or ``--help-verifier``."""
        print(help_verifier(self["name"]) if self["name"] else help_verifiers(), end="")
        return 0


class Options(usage.Options):
    """The ``mtlsedge`` command."""

    synopsis = "Usage: mtlsedge COMMAND"
    longdesc = "To serve: twistd mtlsedge --help"
    subCommands: ClassVar[list[Any]] = [
        ["check", None, CheckOptions, "Say what a configuration would do."],
        ["explain", None, ExplainOptions, "Say why a request is answered as it is."],
        ["replay", None, ReplayOptions, "Say what another configuration would decide otherwise."],
        ["pki", None, PkiOptions, "Make, hand out, list and revoke client certificates."],
        ["service-token", None, ServiceTokenOptions, "Make a service token."],
        ["verifiers", None, VerifiersOptions, "List the installed verifiers."],
    ]

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"mtlsedge {__version__}")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """There must be something to do."""
        if self.subCommand is None:
            raise usage.UsageError("name a command")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit status: 0 done, 1 refused, 2 asked wrongly."""
    options = Options()
    try:
        options.parseOptions(sys.argv[1:] if arguments is None else list(arguments))
    except usage.UsageError as error:
        shown: usage.Options = options
        while shown.subCommand is not None:
            shown = shown.subOptions
        print(f"{shown}\nmtlsedge: {error}", file=sys.stderr)
        return _USAGE
    command: _Command | PkiOptions | ExplainOptions | ReplayOptions = options.subOptions
    try:
        return command.run()
    except KeyboardInterrupt:
        print("mtlsedge: stopped", file=sys.stderr)
        return _REFUSED
    except BrokenPipeError:  # whoever read has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 # or the interpreter complains
        return _REFUSED
    except EdgeError as error:
        print(f"mtlsedge: {error}", file=sys.stderr)
        return _REFUSED


def _toml(text: str) -> str:
    """A TOML basic string: JSON's escapes are all TOML's, too."""
    return json.dumps(text)


if __name__ == "__main__":
    raise SystemExit(main())
