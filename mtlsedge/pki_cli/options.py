"""Which commands does ``mtlsedge pki`` have, and what does it say when it is given none?"""

from __future__ import annotations

import os
import sys
from typing import Any, ClassVar

from mtlsedge.errors import ConfigurationError
from mtlsedge.pki_cli.command import PkiCommand, PkiUsage, say
from mtlsedge.pki_cli.handing import ListOptions, P12Options
from mtlsedge.pki_cli.making import InitOptions, IntermediateOptions, IssueOptions, SignOptions
from mtlsedge.pki_cli.revoking import GencrlOptions, RevokeOptions

_REFUSED = 1

WALK = """\
The life of a client certificate, in six commands. The JSON files are cfssl's; so are the names
of what is made of them, and each command takes what cfssl made.

  $ mtlsedge pki init ca-csr.json                         # ca.pem, ca-key.pem, ca.csr
  $ mtlsedge pki issue --profile client client-csr.json   # client.pem, client-key.pem, client.csr
  $ mtlsedge pki p12 client.pem                           # client.p12, for a browser or a phone
  $ mtlsedge pki list --expiring 30                       # whose certificate ends soon
  $ mtlsedge pki revoke client.pem                        # into ca-ledger.jsonl, beside the CA
  $ mtlsedge pki gencrl                                   # ca.crl, for crl = ["ca.crl"]

ca-csr.json:      {"CN": "My CA", "key": {"algo": "ecdsa", "size": 256}, "names": [{"O": "Me"}]}
client-csr.json:  {"CN": "device-1", "key": {"algo": "ecdsa", "size": 256}}

There are also pki sign, for requests made elsewhere, and pki intermediate, for a CA below a CA.
mtlsedge pki COMMAND --help says more.
"""


class PkiOptions(PkiUsage):
    """``mtlsedge pki``: a certificate authority for clients."""

    synopsis = "Usage: mtlsedge pki [COMMAND]"
    longdesc = "A certificate authority for clients. Without a command: a short walk."
    subCommands: ClassVar[list[Any]] = [
        ["init", None, InitOptions, "Make a CA."],
        ["issue", None, IssueOptions, "Make a key and a certificate for a client or a server."],
        ["sign", None, SignOptions, "Sign a request that was made elsewhere."],
        ["intermediate", None, IntermediateOptions, "Make a CA below a CA."],
        ["revoke", None, RevokeOptions, "Take certificates back."],
        ["gencrl", None, GencrlOptions, "Make the list of what was taken back."],
        ["p12", None, P12Options, "Pack a certificate for a browser or a phone."],
        ["list", None, ListOptions, "List what was issued, ends soon, or is revoked."],
    ]

    def run(self) -> int:
        """Do what the command says.

        Raises:
            EdgeError: it cannot be done; the message says why.
        """
        if self.subCommand is None:
            print(WALK, end="")
            return 0
        command: PkiCommand = self.subOptions
        try:
            return command.run()
        except ConfigurationError as error:
            count = len(error.problems)
            say(f"mtlsedge: {count} problem{'s' * (count != 1)}, and nothing was done:")
            say(*(f"  {problem}" for problem in error.problems))
        except BrokenPipeError:  # whoever read has seen enough
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 # or the interpreter complains
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            say(f"mtlsedge: {name}{error.strerror or error}")
        except (KeyboardInterrupt, EOFError):
            say("", "mtlsedge: stopped; nothing was done")
        return _REFUSED
