"""The commands that take certificates back: ``revoke`` and ``gencrl``."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

from twisted.python import usage

from mtlsedge.errors import PkiError
from mtlsedge.pki.crl import (
    EXPIRY,
    Present,
    belongs_to,
    crl_bytes,
    draft,
    read_present,
    sign_crl,
)
from mtlsedge.pki.files import NewFile, refuse_special, write_all
from mtlsedge.pki.ledger import Ledger, ledger_path, writing
from mtlsedge.pki.loading import authority_id, load_certificates, load_issuer, read
from mtlsedge.pki.mint import Authority
from mtlsedge.pki.reading import duration
from mtlsedge.pki.register import (
    LIFTED,
    REASONS,
    UNSPECIFIED,
    Draft,
    Register,
    add_up,
    record_crl,
    record_revoked,
    revoke,
)
from mtlsedge.pki.serials import Base, SerialReader, hexadecimal, read_serials
from mtlsedge.pki_cli.command import (
    CA,
    CA_KEY,
    PASSPHRASE,
    Parameters,
    PkiCommand,
    identifier,
    now,
    read_input,
    say,
    say_notes,
)

BASES: Parameters = [
    ["hex", None, "Serial numbers of nothing but digits are hexadecimal."],
    ["decimal", None, "Serial numbers of nothing but digits are decimal."],
    ["force", "f", "Take the serial number 0, and (gencrl) overwrite what is no CRL of the CA's."],
]
_REASONS = {name.casefold(): name for name in REASONS}
_SHOWN = 5


class _Revoking(PkiCommand):
    """What the commands that take serial numbers share."""

    def postOptions(self) -> None:
        """A serial cannot be in both."""
        if self["hex"] and self["decimal"]:
            raise usage.UsageError("--hex and --decimal exclude each other")

    def serial_reader(self, register: Register) -> SerialReader:
        """What reads them as the operator and the ledger say."""
        base = Base.HEX if self["hex"] else Base.DECIMAL if self["decimal"] else Base.EITHER
        return SerialReader(register.issued.keys(), base, bool(self["force"]))


class RevokeOptions(_Revoking):
    """``pki revoke``."""

    synopsis = "Usage: mtlsedge pki revoke [options] CERTIFICATE.pem|SERIAL ..."
    longdesc = (
        "Revokes certificates, given as files or by serial number. That is written into the "
        "ledger beside the CA; it holds at the edge once pki gencrl has put it into a CRL. A "
        "revocation is for good, but for the reason certificateHold: removeFromCRL lifts that. "
        f"Reasons: {', '.join(REASONS)}."
    )
    examples = (
        "mtlsedge pki revoke client.pem",
        "mtlsedge pki revoke --reason keyCompromise 4A:F3:10:9C:22:08:7E:51",
    )
    optParameters: ClassVar[Parameters] = [
        CA,
        ["reason", None, UNSPECIFIED, "Why, by its name in RFC 5280."],
    ]
    optFlags: ClassVar[Parameters] = BASES

    def parseArgs(self, *which: str) -> None:
        """The certificates."""
        if not which:
            raise usage.UsageError("name a certificate's file, or a serial number")
        self["which"] = which

    def postOptions(self) -> None:
        """The reason must be one."""
        super().postOptions()
        given = self["reason"].casefold().replace("-", "").replace("_", "")
        if given not in _REASONS:
            raise usage.UsageError(f"{self['reason']!r} is no reason: {', '.join(REASONS)}")
        self["reason"] = _REASONS[given]

    def run(self) -> int:
        """Write them into the ledger."""
        ca = Path(self["ca"])
        issuer, _ = load_issuer(ca)
        moment = now()
        with writing(ledger_path(ca), authority_id(issuer)) as ledger:
            register = add_up(ledger)
            reader = self.serial_reader(register)
            serials = [self._serial(each, reader) for each in self["which"]]
            for serial in dict.fromkeys(serials):
                say(revoke(ledger, register, serial, self["reason"], moment))
                register = add_up(ledger)
            say_notes(ledger.notes)
        say("pki gencrl makes the CRL that says so to the edge")
        return 0

    def _serial(self, which: str, reader: SerialReader) -> int:
        path = Path(which)
        if not path.exists() and path.suffix not in (".pem", ".crt", ".cer", ".der"):
            return reader.read(which)
        certificate = load_certificates(path)[0]
        issuer, _ = load_issuer(Path(self["ca"]))
        if not belongs_to(issuer, certificate):
            raise PkiError(
                f"{path} was not issued by {self['ca']}, which cannot revoke it: name the CA that "
                f"did, {certificate.issuer.rfc4514_string()}, with --ca"
            )
        return certificate.serial_number


class GencrlOptions(_Revoking):
    """``pki gencrl``."""

    synopsis = "Usage: mtlsedge pki gencrl [options] [SERIALS.txt] [CA.pem CA-KEY.pem [EXPIRY]]"
    longdesc = (
        "Makes a CRL of everything that was revoked, with a number one higher than the last, and "
        "puts it in place at once: ca.crl in this directory for ca.pem, as PEM. SERIALS.txt has "
        "further serial numbers to revoke, one a line, hexadecimal or decimal (one that could be "
        "either is refused); they are written into the ledger. EXPIRY says when the next CRL is "
        "due: seconds, as cfssl has it, or a length such as 24h or 7d."
    )
    examples = (
        "mtlsedge pki gencrl",
        "mtlsedge pki gencrl serials.txt ca.pem ca-key.pem",
        "mtlsedge pki gencrl --delta --expiry 24h",
    )
    optParameters: ClassVar[Parameters] = [
        CA,
        CA_KEY,
        PASSPHRASE,
        ["expiry", None, None, "When the next one is due, from now; else in 7 days."],
        ["base", None, None, "With --delta: the number of the full CRL to begin at.", int],
        ["output", "o", None, "The file to write; - is standard output."],
    ]
    optFlags: ClassVar[Parameters] = [
        ["delta", "d", "Only what changed since the last full CRL, into ca-delta.crl."],
        ["der", None, "Write DER instead of PEM."],
        *BASES,
    ]

    def parseArgs(self, *given: str) -> None:
        """Serials, CA and key, expiry: as cfssl has them, or fewer."""
        files = list(given)
        self["serials"] = files.pop(0) if len(files) in (1, 3, 4) else None
        if len(files) >= 2:
            self["ca"], self["ca-key"] = files[:2]
        if len(files) == 3:
            self["expiry"] = files[2]
        if len(files) > 3:
            raise usage.UsageError("too many files")

    def postOptions(self) -> None:
        """The expiry must be one."""
        super().postOptions()
        try:
            self["expiry"] = _expiry(self["expiry"])
        except ValueError as error:
            raise usage.UsageError(f"EXPIRY: {error}") from error
        if self["base"] is not None and not self["delta"]:
            raise usage.UsageError("--base needs --delta")

    def run(self) -> int:
        """Make the CRL."""
        moment = now()
        authority = self.authority(moment)
        ca = Path(self["ca"])
        target = None if self["output"] == "-" else Path(self["output"] or self._name(ca))
        with writing(ledger_path(ca), identifier(authority)) as ledger:
            register = add_up(ledger)
            present = self._present(target, authority)
            if self["serials"] is not None:
                data = read_input(self["serials"])
                serials = read_serials(self["serials"], data, self.serial_reader(register))
                new = [each for each in serials if each not in register.revoked]
                say_notes(_strangers(register, new))
                record_revoked(ledger, new, moment, UNSPECIFIED)
            if _adopt(ledger, register, present, moment):
                say_notes([f"{target} revokes serials that the ledger did not know: they are kept"])
            register = add_up(ledger)
            base = register.base(self["base"]) if self["delta"] else None
            wanted = draft(register, moment, self["expiry"], above=present.number, base=base)
            data = crl_bytes(sign_crl(authority, wanted), der=bool(self["der"]))
            self._keep(ledger, target, wanted, data)
        return 0

    def _present(self, target: Path | None, authority: Authority) -> Present:
        """The CRL that is there; only a CRL of this CA is overwritten, or nothing at all."""
        if target is not None:
            refuse_special([target])
        data = read(target) if target is not None and target.exists() else b""
        present = read_present(data, authority.certificate)
        if data and present is None and not self["force"]:
            raise PkiError(
                f"{target} is there already, and is no CRL of this CA: remove it, or say so with "
                "--force"
            )
        return present or Present(0, {})

    def _keep(self, ledger: Ledger, target: Path | None, wanted: Draft, data: bytes) -> None:
        name = str(target or "standard output")
        digest = hashlib.sha256(data).hexdigest()

        def record() -> None:
            record_crl(ledger, wanted, now(), file=name, digest=digest)

        if target is None:
            record()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            write_all([NewFile(target, data)], force=True, then=record)
        say_notes(ledger.notes)
        kind = "CRL" if wanted.base is None else f"delta from {wanted.base}: CRL"
        lifted = sum(each.reason == LIFTED for each in wanted.entries)
        say(
            f"wrote {name}: {kind} number {wanted.number}, {len(wanted.entries) - lifted} revoked"
            f"{f', {lifted} lifted' if lifted else ''}, the next one is due by "
            f"{wanted.next_update:%Y-%m-%d %H:%M} UTC"
        )

    def _name(self, ca: Path) -> str:
        stem = ca.stem.removesuffix("-bundle")
        return f"{stem}-delta.crl" if self["delta"] else f"{stem}.crl"


def _expiry(value: str | None) -> timedelta:
    if value is None:
        return EXPIRY
    if value.isdecimal():
        return duration(f"{value}s")
    return duration(value)


def _adopt(ledger: Ledger, register: Register, present: Present, at: datetime) -> bool:
    """Write down what the CRL that is there revokes and the ledger does not know of.

    Another program made it, or the ledger was lost: either way it stays revoked.
    """
    by_reason: dict[str, list[int]] = {}
    for serial, reason in present.revoked.items():
        known = serial in register.revoked or serial in register.lifted
        if serial > 0 and not known and reason != LIFTED:
            by_reason.setdefault(reason, []).append(serial)
    for reason, serials in by_reason.items():
        record_revoked(ledger, serials, at, reason)
    return bool(by_reason)


def _strangers(register: Register, serials: Iterable[int]) -> list[str]:
    """A warning of serials that are none of this CA's, where it is known which ones are."""
    if all(entry.profile == "ca" for entry in register.issued.values()):
        return []
    unknown = [hexadecimal(each) for each in serials if each not in register.issued]
    if not unknown:
        return []
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    return [
        f"the ledger knows no certificate with the serial {', '.join(unknown[:_SHOWN])}{more}: if "
        "it was issued here, the number is wrong"
    ]
