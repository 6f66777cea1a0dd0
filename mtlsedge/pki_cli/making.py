"""The commands that make certificates: ``init``, ``issue``, ``sign``, ``intermediate``."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from cryptography import x509

from mtlsedge.errors import PkiError
from mtlsedge.pki.files import SECRET, NewFile, write_all
from mtlsedge.pki.keys import generate, key_file, load_key
from mtlsedge.pki.ledger import ledger_path, writing
from mtlsedge.pki.loading import authority_id, load_issuer, load_request, read
from mtlsedge.pki.mint import Authority, PrivateKey
from mtlsedge.pki.profiles import BUILT_IN, Profile, read_config
from mtlsedge.pki.register import record_issued
from mtlsedge.pki.requests import Request, read_hosts, read_request, read_subject
from mtlsedge.pki.signing import Asked, Signed, asked_by, sign, sign_request, sign_root
from mtlsedge.pki_cli.asking import secret_from
from mtlsedge.pki_cli.command import (
    CA,
    CA_KEY,
    FORCE,
    OUT,
    PASSPHRASE,
    Parameters,
    PkiCommand,
    identifier,
    now,
    pem,
    prefix,
    read_input,
    say_notes,
    say_written,
)

CONFIG: Parameters = [
    ["config", None, None, "A ca-config.json; else there are the profiles client and server."],
    ["profile", None, None, "Which profile to sign by; else the default one."],
]
HOSTNAME = ["hostname", None, None, "Names instead of the request's, with commas between."]
NEW_PASSPHRASE = ["new-passphrase-file", None, None, "A file with the passphrase for the new key."]
ENCRYPT = ["encrypt", None, "Ask for a passphrase, and write the new key under it."]


class InitOptions(PkiCommand):
    """``pki init``."""

    synopsis = "Usage: mtlsedge pki init [options] CA-CSR.json"
    longdesc = (
        "Makes a CA: a key, and a certificate signed by it. ca-csr.json is cfssl's: CN, names, "
        "key (algo, size), ca (expiry, pathlen). From it come ca.pem, ca-key.pem and ca.csr. "
        "With --ca-key, the CA is made anew with the key that it has, and what it signed stays "
        "good."
    )
    examples = (
        "mtlsedge pki init ca-csr.json",
        "mtlsedge pki init --encrypt ca-csr.json",
        "mtlsedge pki init --ca-key ca-key.pem --force ca-csr.json",
    )
    optParameters: ClassVar[Parameters] = [
        ["ca-key", None, None, "A key to use instead of a new one."],
        ["passphrase-file", None, None, "A file with the passphrase of the key, old or new."],
        OUT,
    ]
    optFlags: ClassVar[Parameters] = [ENCRYPT, FORCE]

    def parseArgs(self, request: str) -> None:  # type: ignore[override]
        """The request."""
        self["request"] = request

    def run(self) -> int:
        """Make the CA."""
        moment, stem = now(), prefix(self["output"], self["request"])
        request = read_request(self["request"], read_input(self["request"]))
        old = self.path("ca-key")
        key = self._old_key(old) if old is not None else generate(request.key)
        certificate = sign_root(request, key, moment)
        target = Path(f"{stem}.pem")
        files = [
            NewFile(target, pem([certificate])),
            NewFile(Path(f"{stem}.csr"), sign_request(request, key, for_ca=True)),
        ]
        if old is None:
            name = Path(f"{stem}-key.pem")
            files.insert(0, NewFile(name, key_file(key, self.new_passphrase(name)), SECRET))
        self.check_free(files)
        with writing(ledger_path(target), authority_id(certificate)) as ledger:
            write_all(
                files,
                force=bool(self["force"]),
                then=lambda: record_issued(ledger, certificate, moment, profile="ca"),
            )
            say_notes([*request.notes, *ledger.notes])
        say_written(files, certificate)
        return 0

    def _old_key(self, path: Path) -> PrivateKey:
        ask = secret_from(self.path("passphrase-file"), f"Passphrase of {path}: ")
        return load_key(str(path), read(path), ask)


class _Signing(PkiCommand):
    """What the commands that sign with a CA share."""

    def profile(self, built_in: str) -> Profile:
        """The profile to sign by; ``built_in`` is the one without a configuration."""
        file = self["config"]
        if file is None:
            return BUILT_IN.profile(self["profile"] or built_in)
        config = read_config(file, read_input(file))
        say_notes(config.notes)
        return config.profile(self["profile"])

    def keep(
        self, authority: Authority, files: list[NewFile], signed: Signed, name: str, at: datetime
    ) -> int:
        """Write the files and the record, or neither."""
        self.check_free(files)
        with writing(ledger_path(Path(self["ca"])), identifier(authority)) as ledger:
            write_all(
                files,
                force=bool(self["force"]),
                then=lambda: record_issued(ledger, signed.certificate, at, profile=name),
            )
            say_notes([*signed.notes, *ledger.notes])
        say_written(files, signed.certificate)
        return 0

    def with_key(
        self, stem: str, request: Request, authority: Authority, profile: Profile, at: datetime
    ) -> tuple[list[NewFile], Signed]:
        """A new key and what is signed for it, as files."""
        key = generate(request.key)
        names = read_hosts("--hostname", self["hostname"]) if self["hostname"] else request.names
        signed = sign(authority, Asked(request.subject, names, key.public_key()), profile, at)
        name = Path(f"{stem}-key.pem")
        files = [
            NewFile(name, key_file(key, self.new_passphrase(name)), SECRET),
            *certificate_files(stem, authority, signed),
            NewFile(Path(f"{stem}.csr"), sign_request(request, key, for_ca=profile.is_ca)),
        ]
        return files, signed


class IssueOptions(_Signing):
    """``pki issue``."""

    synopsis = "Usage: mtlsedge pki issue [options] CLIENT-CSR.json"
    longdesc = (
        "Makes a key and a certificate for a client or a server. client-csr.json is cfssl's: CN, "
        "names, hosts, key. From it come client.pem, client-key.pem and client.csr. If an "
        "intermediate CA signs, there is client-chain.pem, too: the certificate and the CAs that "
        "a client or a server sends along."
    )
    examples = (
        "mtlsedge pki issue --profile client client-csr.json",
        "mtlsedge pki issue --ca ca.pem --ca-key ca-key.pem --config ca-config.json \\\n"
        "      --profile client client-csr.json",
        "mtlsedge pki issue --profile server --hostname iot.example.com,192.0.2.7 server-csr.json",
    )
    optParameters: ClassVar[Parameters] = [
        CA,
        CA_KEY,
        PASSPHRASE,
        *CONFIG,
        HOSTNAME,
        NEW_PASSPHRASE,
        OUT,
    ]
    optFlags: ClassVar[Parameters] = [ENCRYPT, FORCE]

    def parseArgs(self, request: str) -> None:  # type: ignore[override]
        """The request."""
        self["request"] = request

    def run(self) -> int:
        """Make key and certificate."""
        moment, stem = now(), prefix(self["output"], self["request"])
        request = read_request(self["request"], read_input(self["request"]))
        profile = _leaf(self.profile("client"))
        authority = self.authority(moment)
        say_notes(request.notes)
        files, signed = self.with_key(stem, request, authority, profile, moment)
        return self.keep(authority, files, signed, profile.name, moment)


class SignOptions(_Signing):
    """``pki sign``."""

    synopsis = "Usage: mtlsedge pki sign [options] REQUEST.csr"
    longdesc = (
        "Signs a certificate signing request whose key was made elsewhere. Of the request only "
        "the subject, the alternative names and the key are taken, and of those what the "
        "profile's csr_whitelist and name_whitelist allow; what the certificate may be used for "
        "is the profile's word alone. From request.csr comes request.pem."
    )
    examples = (
        "mtlsedge pki sign --profile client device.csr",
        "mtlsedge pki sign --profile client --subject subject.json -o device-7 device.csr",
    )
    optParameters: ClassVar[Parameters] = [
        CA,
        CA_KEY,
        PASSPHRASE,
        *CONFIG,
        HOSTNAME,
        ["subject", None, None, "A JSON file with CN and names, instead of the request's subject."],
        OUT,
    ]
    optFlags: ClassVar[Parameters] = [FORCE]

    def parseArgs(self, request: str) -> None:  # type: ignore[override]
        """The request."""
        self["request"] = request

    def run(self) -> int:
        """Sign it."""
        moment, stem = now(), prefix(self["output"], self["request"])
        request = load_request(Path(self["request"]), read_input(self["request"]))
        file = self["subject"]
        subject = read_subject(file, read_input(file)) if file else None
        names = read_hosts("--hostname", self["hostname"]) if self["hostname"] else None
        profile = _leaf(self.profile("client"))
        authority = self.authority(moment)
        asked, notes = asked_by(request, profile, subject, names)
        say_notes(notes)
        signed = sign(authority, asked, profile, moment)
        files = certificate_files(stem, authority, signed)
        return self.keep(authority, files, signed, profile.name, moment)


class IntermediateOptions(_Signing):
    """``pki intermediate``."""

    synopsis = "Usage: mtlsedge pki intermediate [options] SUB-CSR.json"
    longdesc = (
        "Makes a CA below a CA. From sub-csr.json come sub.pem, sub-key.pem, sub.csr, and "
        "sub-bundle.pem, which has every CA up to the root: it is what [[client_ca]] takes as its "
        "certificate. Without --config, the expiry and the path length are those of the "
        "request's ca section (a path length of 0 unless it says otherwise)."
    )
    examples = (
        "mtlsedge pki intermediate --ca ca.pem sub-csr.json",
        "mtlsedge pki issue --ca sub.pem --profile client client-csr.json",
    )
    optParameters: ClassVar[Parameters] = [CA, CA_KEY, PASSPHRASE, *CONFIG, NEW_PASSPHRASE, OUT]
    optFlags: ClassVar[Parameters] = [ENCRYPT, FORCE]

    def parseArgs(self, request: str) -> None:  # type: ignore[override]
        """The request."""
        self["request"] = request
        self["hostname"] = None

    def run(self) -> int:
        """Make the CA."""
        moment, stem = now(), prefix(self["output"], self["request"])
        request = read_request(self["request"], read_input(self["request"]))
        profile = self._profile(request)
        authority = self.authority(moment)
        say_notes(request.notes)
        files, signed = self.with_key(stem, request, authority, profile, moment)
        first, above = load_issuer(Path(self["ca"]))
        whole = [signed.certificate, first, *above]
        files.append(NewFile(Path(f"{stem}-bundle.pem"), pem(whole)))
        status = self.keep(authority, files, signed, profile.name, moment)
        if whole[-1].subject != whole[-1].issuer:
            say_notes([f"the root is not in {self['ca']}, so add it to {stem}-bundle.pem yourself"])
        return status

    def _profile(self, request: Request) -> Profile:
        profile = self.profile("intermediate")
        if not profile.is_ca:
            raise PkiError(
                f"profile {profile.name!r} makes no CAs: take one with "
                '"ca_constraint": {"is_ca": true}'
            )
        if self["config"] is not None or request.ca is None:
            return profile
        ca = request.ca
        return replace(
            profile,
            expiry=ca.expiry,
            backdate=ca.backdate,
            path_length=ca.path_length or profile.path_length,
        )


def certificate_files(stem: str, authority: Authority, signed: Signed) -> list[NewFile]:
    """The certificate by itself, as cfssl has it; and with the intermediates, if there are any."""
    certificate, links = signed.certificate, authority.links()
    files = [NewFile(Path(f"{stem}.pem"), pem([certificate]))]
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    if links and not basic.ca:
        files.append(NewFile(Path(f"{stem}-chain.pem"), pem([certificate, *links])))
    return files


def _leaf(profile: Profile) -> Profile:
    if profile.is_ca:
        raise PkiError(f"profile {profile.name!r} makes CAs: that is what pki intermediate is for")
    return profile
