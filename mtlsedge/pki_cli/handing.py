"""The commands for what is there already: ``p12`` and ``list``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from twisted.python import usage

from mtlsedge.errors import PkiError
from mtlsedge.pki.bundles import bundle
from mtlsedge.pki.files import SECRET, NewFile, write_all
from mtlsedge.pki.keys import load_key
from mtlsedge.pki.ledger import ledger_path, moment, reading
from mtlsedge.pki.loading import authority_id, load_certificates, load_issuer, read
from mtlsedge.pki.register import Entry, add_up
from mtlsedge.pki.serials import hexadecimal
from mtlsedge.pki_cli.asking import ask_for, first_line, from_environment, secret_from
from mtlsedge.pki_cli.command import (
    CA,
    FORCE,
    Parameters,
    PkiCommand,
    beside,
    now,
    printable,
    say,
    say_notes,
)


class P12Options(PkiCommand):
    """``pki p12``."""

    synopsis = "Usage: mtlsedge pki p12 [options] CLIENT.pem [CLIENT-KEY.pem]"
    longdesc = (
        "Packs a certificate, its key and its CA into client.p12, for browsers and phones to "
        "import. They ask for the password that you choose. Should one say that the password is "
        "wrong though it is right, or that the file is damaged, it does not know the newer "
        "encryption (older versions of macOS, iOS, Android and Windows): use --legacy for it."
    )
    examples = (
        "mtlsedge pki p12 client.pem",
        'mtlsedge pki p12 --legacy --name "James at Example" client.pem client-key.pem',
    )
    optParameters: ClassVar[Parameters] = [
        ["ca", None, None, "Files of CAs to put in, with commas between; else ca.pem if it fits."],
        ["name", None, None, "What the browser is to call it; else its common name."],
        ["password-file", None, None, "A file with the password; else you are asked, twice."],
        ["password-env", None, None, "The environment variable with the password."],
        ["passphrase-file", None, None, "A file with the passphrase of the client's key."],
        ["output", "o", None, "The file to write; else client.p12 for client.pem."],
    ]
    optFlags: ClassVar[Parameters] = [
        ["legacy", None, "3DES and SHA-1, for older systems; choose a long password."],
        FORCE,
    ]

    def parseArgs(self, certificate: str, key: str | None = None) -> None:  # type: ignore[override]
        """The certificate, and its key unless it is beside it."""
        self["certificate"], self["key"] = Path(certificate), key

    def postOptions(self) -> None:
        """One source is enough."""
        if self["password-file"] and self["password-env"]:
            raise usage.UsageError("--password-file and --password-env exclude each other")

    def run(self) -> int:
        """Pack it."""
        certificate: Path = self["certificate"]
        chain = load_certificates(certificate)
        key_path = Path(self["key"] or beside(certificate))
        ask = secret_from(self.path("passphrase-file"), f"Passphrase of {key_path}: ")
        key = load_key(str(key_path), read(key_path), ask)
        authorities = [each for file in self._authorities() for each in load_certificates(file)]
        target = Path(self["output"] or certificate.with_suffix(".p12").name)
        if target.exists() and not self["force"]:  # before anybody types a password
            raise PkiError(f"{target} is there already: remove it, or say so with --force")
        password = self._password(target)
        data = bundle(
            chain,
            key,
            authorities,
            password,
            name=self["name"] or "",
            legacy=bool(self["legacy"]),
        )
        write_all([NewFile(target, data, SECRET)], force=bool(self["force"]))
        say(f"wrote {target}: it has the private key in it, so remove it once it is imported")
        return 0

    def _authorities(self) -> Iterable[Path]:
        if self["ca"] is not None:
            return [Path(each) for each in self["ca"].split(",")]
        own: Path = self["certificate"]
        usual = (own.with_name(f"{own.stem}-chain.pem"), own.with_name("ca.pem"), Path("ca.pem"))
        return [each for each in dict.fromkeys(usual) if each.exists()]

    def _password(self, target: Path) -> bytes:
        if self["password-file"]:
            return first_line(Path(self["password-file"]))
        if self["password-env"]:
            return from_environment(self["password-env"])
        return ask_for(f"Password for {target}: ", twice=True)


class ListOptions(PkiCommand):
    """``pki list``."""

    synopsis = "Usage: mtlsedge pki list [options]"
    longdesc = (
        "Lists the certificates that the CA issued and revoked, from the ledger beside it: all of "
        "them, or with options only those that are revoked, or end soon, or are still good."
    )
    examples = (
        "mtlsedge pki list",
        "mtlsedge pki list --expiring 30",
        "mtlsedge pki list --revoked --json",
    )
    optParameters: ClassVar[Parameters] = [
        CA,
        ["expiring", "e", None, "Those that end within so many days.", float],
    ]
    optFlags: ClassVar[Parameters] = [
        ["revoked", "r", "Those that are revoked."],
        ["valid", None, "Those that are good, whether or not they end soon."],
        ["json", None, "Print a JSON array instead of a table."],
    ]

    def parseArgs(self) -> None:
        """None."""

    def run(self) -> int:
        """Print them."""
        ca = Path(self["ca"])
        issuer, _ = load_issuer(ca)
        ledger = reading(ledger_path(ca), authority_id(issuer))
        say_notes(ledger.notes)
        if not ledger.records:
            say_notes([f"{ledger.path} knows of no certificate of this CA"])
        at, within = now(), timedelta(days=30 if self["expiring"] is None else self["expiring"])
        wanted = self._wanted()
        rows = [
            (entry, status)
            for entry in add_up(ledger).entries()
            if (status := entry.status(at, within)) in wanted
        ]
        if self["json"]:
            print(json.dumps([_as_json(*row) for row in rows], indent=2))
        else:
            print("\n".join(_table([_as_row(entry, status, at) for entry, status in rows])))
        sys.stdout.flush()  # so that a reader who went away is noticed here
        return 0

    def _wanted(self) -> frozenset[str]:
        wanted = set[str]()
        if self["revoked"]:
            wanted.add("revoked")
        if self["expiring"] is not None:
            wanted.add("expiring")
        if self["valid"]:
            wanted |= {"valid", "expiring"}
        every = {"revoked", "expired", "expiring", "valid", "unknown"}
        return frozenset(wanted or every)


_HEADS = ("SERIAL", "STATUS", "UNTIL", "PROFILE", "SUBJECT")


def _as_row(entry: Entry, status: str, at: datetime) -> tuple[str, ...]:
    if entry.revoked is not None:
        status = f"revoked {entry.revoked.time:%Y-%m-%d} ({entry.revoked.reason})"
    elif status == "expiring" and entry.not_after is not None:
        status = f"ends in {_days(entry.not_after - at)}"
    until = f"{entry.not_after:%Y-%m-%d}" if entry.not_after else "-"
    subject = entry.subject or ", ".join(entry.names) or "-"
    return hexadecimal(entry.serial), status, until, entry.profile or "-", printable(subject)


def _days(left: timedelta) -> str:
    days = left.days
    return "less than a day" if days < 1 else f"{days} day{'s' * (days != 1)}"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(_HEADS, *rows, strict=True)]
    for row in (_HEADS, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _as_json(entry: Entry, status: str) -> dict[str, Any]:
    revoked = entry.revoked
    return {
        "serial": hexadecimal(entry.serial),
        "serial_decimal": str(entry.serial),
        "status": status,
        "subject": entry.subject,
        "names": list(entry.names),
        "profile": entry.profile,
        "not_after": moment(entry.not_after) if entry.not_after else None,
        "fingerprint_sha256": entry.fingerprint or None,
        "revoked": {"time": moment(revoked.time), "reason": revoked.reason} if revoked else None,
    }
