"""What does the demonstration leave on disk? Two client CAs, certificates, a configuration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from mtlsedge.pki.files import write_authority, write_file, write_issued
from mtlsedge.pki.mint import Authority

DEVICES_HOST = "iot.localhost"
STAFF_HOST = "intranet.localhost"

_HEADER = "# The demonstration's configuration, written by `python -m mtlsedge.demo`."
_CONFIGURATION = (
    _HEADER
    + """
# It is written anew at every start. File names are relative to this file.

[edge]
listen     = ["127.0.0.1:{port}"]
state      = "state"              # the key that signs the tokens
access_log = "access.jsonl"

# Two hosts with one origin behind them. A host that a client CA names *asks* for a
# certificate; whether one is *needed* is for the applications below to say.

[[host]]
names       = ["{devices_host}"]
certificate = "server.pem"
key         = "server-key.pem"
upstream    = ["{origin}"]
forward_certificate = ["cf"]      # also "rfc9440" and "xfcc"

[[host]]
names       = ["{staff_host}"]
certificate = "server.pem"
key         = "server-key.pem"
upstream    = ["{origin}"]

# Each host has client CAs of its own: what verifies at one is a stranger at the other.

[[client_ca]]
name        = "Demo Devices CA"
certificate = "devices-ca.pem"
hosts       = ["{devices_host}"]

[[client_ca]]
name        = "Demo Staff CA"
certificate = "staff-ca.pem"
hosts       = ["{staff_host}"]

# Any verified certificate opens {devices_host}, except for what is below /admin:
# the most specific application governs alone.

[[application]]
name   = "devices"
domain = "{devices_host}"

[[application.policy]]
name     = "every device"
decision = "service_auth"
include  = [{{ certificate = true }}]

[[application]]
name   = "administration"
domain = "{devices_host}/admin"

[[application.policy]]
name     = "administrators"
decision = "service_auth"
include  = [{{ common_name = ["admin"] }}]

[[application]]
name   = "intranet"
domain = "{staff_host}"

[[application.policy]]
name     = "staff"
decision = "service_auth"
include  = [{{ certificate = true }}]
"""
)

_CLIENTS = {"device-1": "devices-ca", "admin": "devices-ca", "staff-1": "staff-ca"}
_AUTHORITIES = {
    "server-ca": "Demo Server CA",
    "devices-ca": "Demo Devices CA",
    "staff-ca": "Demo Staff CA",
}
_SPARE = timedelta(days=1)


class NotOurs(Exception):
    """The directory holds something that no demonstration wrote."""


def prepare(directory: Path, port: int, origin: str) -> Path:
    """Make or reuse the PKI, write the configuration; the configuration's path comes back.

    Raises:
        NotOurs: there is something else in the directory; nothing was written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "edge.toml"
    if any(directory.iterdir()) and not _is_ours(configuration):
        raise NotOurs(f"{directory} holds other things than a demonstration: name another")
    text = _CONFIGURATION.format(
        port=port, origin=origin, devices_host=DEVICES_HOST, staff_host=STAFF_HOST
    )
    write_file(configuration, text.encode())
    if not _still_good(directory):
        _mint(directory)
    return configuration


def _is_ours(configuration: Path) -> bool:
    return configuration.exists() and configuration.read_text().startswith(_HEADER)


def _still_good(directory: Path) -> bool:
    """Whether every file of the PKI is there and good for another day."""
    stems = ("server", *_CLIENTS, *_AUTHORITIES)
    if not all((directory / f"{stem}-key.pem").exists() for stem in stems):
        return False
    return all(_lasts(directory / f"{stem}.pem") for stem in stems)


def _lasts(path: Path) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return False
    return certificate.not_valid_after_utc > datetime.now(UTC) + _SPARE


def _mint(directory: Path) -> None:
    authorities = {stem: Authority.make_root(name) for stem, name in _AUTHORITIES.items()}
    for stem, authority in authorities.items():
        write_authority(directory, stem, authority, force=True)
    server = authorities["server-ca"].issue_server([DEVICES_HOST, STAFF_HOST])
    write_issued(directory, "server", server, force=True)
    for common_name, stem in _CLIENTS.items():
        issued = authorities[stem].issue_client(common_name)
        write_issued(directory, common_name, issued, force=True)
