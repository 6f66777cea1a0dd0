"""What do all commands of ``mtlsedge pki`` have in common?"""

from __future__ import annotations

import getopt
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from twisted.python import usage

from mtlsedge import __version__
from mtlsedge.errors import PkiError
from mtlsedge.pki.files import NewFile, refuse_taken
from mtlsedge.pki.loading import authority_id, load_authority, read
from mtlsedge.pki.mint import Authority
from mtlsedge.pki_cli.asking import ask_for, secret_from

CA = ["ca", None, "ca.pem", "The CA's certificate."]
CA_KEY = ["ca-key", None, None, "The CA's key; else the file beside it: ca-key.pem for ca.pem."]
PASSPHRASE = [
    "passphrase-file",
    None,
    None,
    "A file with the passphrase of the CA's key, if it has one; else you are asked.",
]
OUT = ["output", "o", None, "What the names of the files begin with; else as the request's does."]
FORCE = ["force", "f", "Overwrite files that are there."]


class PkiUsage(usage.Options):
    """A command that says no more of itself than it has to."""

    synopsis: ClassVar[str]

    def getSynopsis(self) -> str:
        """How it is used, without how all that is above it is used."""
        return str(self.synopsis)

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"mtlsedge {__version__}")
        raise SystemExit(0)


class PkiCommand(PkiUsage):
    """One command. Options may stand before, between and after the files.

    They may have one dash, as cfssl's have: ``-ca=ca.pem``.
    """

    examples: ClassVar[Sequence[str]] = ()

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """As Twisted reads them, once they stand before the files."""
        given = [self._two_dashes(each) for each in (sys.argv[1:] if options is None else options)]
        try:
            found, files = getopt.gnu_getopt(given, self.shortOpt, self.longOpt)
        except getopt.GetoptError as error:
            raise usage.UsageError(str(error)) from error
        before: list[str] = []
        for name, value in found:
            before += [name, value] if self._takes_value(name) else [name]
        super().parseOptions([*before, "--", *files])

    def getUsage(self, width: int | None = None) -> str:
        """The options, what the command does, and lines to copy."""
        lines = "".join(f"  $ {each}\n" for each in self.examples)
        text = str(super().getUsage(width))
        return f"{text}\nExamples:\n{lines}" if lines else text

    def run(self) -> int:
        """Do the work; gives the exit status."""
        raise AssertionError

    def path(self, option: str) -> Path | None:
        """The file that an option names."""
        return Path(self[option]) if self[option] is not None else None

    def check_free(self, files: Iterable[NewFile]) -> None:
        """See that nothing is overwritten, before anything is written."""
        if not self["force"]:
            refuse_taken(file.path for file in files)

    def authority(self, now: datetime) -> Authority:
        """The CA with its key."""
        ca = Path(self["ca"])
        key = self.path("ca-key") or beside(ca)
        file = self.path("passphrase-file")
        asked: list[bytes] = []

        def ask() -> bytes:
            asked.append(secret_from(file, f"Passphrase of {key}: ")())
            return asked[-1]

        authority = load_authority(ca, key, ask, now)
        if file is not None and not asked:
            say_notes([f"{key} has no passphrase, so {file} was not used"])
        return authority

    def new_passphrase(self, key: Path) -> bytes | None:
        """With which passphrase a new key is written; None is none."""
        option = "new-passphrase-file" if "new-passphrase-file" in self else "passphrase-file"
        file = self.path(option)
        if file is not None:
            return secret_from(file, "")()
        return ask_for(f"Passphrase for {key}: ", twice=True) if self["encrypt"] else None

    def _two_dashes(self, argument: str) -> str:
        name = argument.lstrip("-").partition("=")[0]
        one = argument.startswith("-") and not argument.startswith("--") and len(name) > 1
        return f"-{argument}" if one and {name, f"{name}="} & set(self.longOpt) else argument

    def _takes_value(self, name: str) -> bool:
        if name.startswith("--"):
            return f"{name[2:]}=" in self.longOpt
        return f"{name[1:]}:" in self.shortOpt


def now() -> datetime:
    """This moment, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def beside(certificate: Path) -> Path:
    """Where cfssl puts the key of a certificate: ``ca-key.pem`` beside ``ca.pem``."""
    stem = certificate.stem.removesuffix("-bundle")
    return certificate.with_name(f"{stem}-key.pem")


def prefix(given: str | None, request: str) -> str:
    """What names of new files begin with: as told, else ``client`` for ``client-csr.json``."""
    if given:
        return given
    if request == "-":
        raise PkiError("the request comes from standard input: name the files with -o PREFIX")
    return Path(request).stem.removesuffix("-csr")


def read_input(name: str) -> bytes:
    """A file, or standard input for ``-``."""
    return sys.stdin.buffer.read() if name == "-" else read(Path(name))


def say(*lines: str) -> None:
    """Tell what was done."""
    for line in lines:
        print(printable(line), file=sys.stderr)


def printable(text: str) -> str:
    """Text whose marks neither move the cursor nor turn what is around them."""
    return "".join(m if m.isprintable() else "\N{REPLACEMENT CHARACTER}" for m in text)


def say_notes(notes: Iterable[str]) -> None:
    """Tell what should be known besides."""
    say(*(f"note: {each}" for each in notes))


def say_written(files: Iterable[NewFile], certificate: x509.Certificate) -> None:
    """Tell which files there are now, and of what."""
    say(f"wrote {', '.join(str(file.path) for file in files)}")
    say(
        f"  {certificate.subject.rfc4514_string() or 'no subject'}, serial "
        f"{certificate.serial_number:X}, until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    )


def pem(certificates: Iterable[x509.Certificate]) -> bytes:
    """Certificates one after the other, as PEM."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def identifier(authority: Authority) -> str:
    """By what a ledger knows this authority."""
    return authority_id(authority.certificate)


Parameters = list[list[Any]]
