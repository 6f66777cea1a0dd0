"""CRLs: everything that was revoked and nothing else, numbered upwards, full and delta."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from pki_making import Pki, openssl

from mtlsedge.pki.crl import draft, sign_crl
from mtlsedge.pki.mint import Authority
from mtlsedge.pki.register import Register, Revocation


@pytest.fixture
def devices(room: Path, pki: Pki) -> list[int]:
    """Three devices of one CA; gives their serials."""
    pki("init", "ca-csr.json")
    for name in "abc":
        pki("issue", "client-csr.json", "-o", name)
    return [serial(f"{name}.pem") for name in "abc"]


def serial(path: str) -> int:
    """A certificate's serial."""
    return x509.load_pem_x509_certificate(Path(path).read_bytes()).serial_number


def crl(path: str = "ca.crl") -> x509.CertificateRevocationList:
    """A CRL's file, its signature checked."""
    data = Path(path).read_bytes()
    pem = data.startswith(b"-----")
    read = x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)
    ca = x509.load_pem_x509_certificate(Path("ca.pem").read_bytes())
    assert read.is_signature_valid(ca.public_key())
    return read


def number(of: x509.CertificateRevocationList) -> int:
    """Its number."""
    return of.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def reasons(of: x509.CertificateRevocationList) -> dict[int, str]:
    """Which serials are on it, and why."""
    found = {}
    for entry in of:
        extensions = [extension.value for extension in entry.extensions]
        found[entry.serial_number] = extensions[0].reason.value if extensions else ""
    return found


def test_what_was_revoked_is_on_it_with_its_reason(pki: Pki, devices: list[int]) -> None:
    """By certificate or by serial; no reason is said by saying nothing (RFC 5280 §5.3.1)."""
    pki("revoke", "a.pem")
    pki("revoke", "--reason", "key_compromise", f"{devices[1]:X}")
    pki("gencrl")
    assert {devices[0]: "", devices[1]: "keyCompromise"} == reasons(crl())
    assert 1 == number(crl())
    left = crl().next_update_utc
    assert left is not None
    assert timedelta(days=6.9) < left - datetime.now(UTC) < timedelta(days=7.1)


def test_numbers_only_rise(room: Path, pki: Pki, devices: list[int]) -> None:
    """Full and delta in one sequence (§5.2.3); a lost ledger does not set them back."""
    pki("gencrl")
    pki("gencrl", "--delta")
    pki("gencrl", "--der")
    assert [3, 2] == [number(crl()), number(crl("ca-delta.crl"))]
    (room / "ca-ledger.jsonl").unlink()
    pki("gencrl")
    assert 4 == number(crl())


def test_a_delta_has_what_changed_since_its_base(pki: Pki, devices: list[int]) -> None:
    """Revoked, or lifted; against the last full one or an earlier one."""
    pki("revoke", "--reason", "certificateHold", "a.pem")
    pki("gencrl")
    pki("revoke", "b.pem")
    pki("gencrl")
    pki("revoke", "--reason", "superseded", "c.pem")
    pki("revoke", "--reason", "removeFromCRL", "a.pem")
    pki("gencrl", "--delta")
    delta = crl("ca-delta.crl")
    indicator = delta.extensions.get_extension_for_class(x509.DeltaCRLIndicator)
    assert (True, 2) == (indicator.critical, indicator.value.crl_number)
    assert {devices[2]: "superseded", devices[0]: "removeFromCRL"} == reasons(delta)
    pki("gencrl", "--delta", "--base", "1")
    assert set(devices) == set(reasons(crl("ca-delta.crl")))
    pki("gencrl")
    assert {devices[1]: "", devices[2]: "superseded"} == reasons(crl())


def test_a_delta_needs_a_base(pki: Pki, devices: list[int]) -> None:
    """One that the ledger knows, and that is full."""
    assert "needs a full CRL to begin at" in pki("gencrl", "--delta", status=1).err
    pki("gencrl")
    pki("gencrl", "--delta")
    assert "no full CRL of number 2" in pki("gencrl", "--delta", "--base", "2", status=1).err
    assert "--base needs --delta" in pki("gencrl", "--base", "1", status=2).err


def test_a_revocation_is_for_good_but_for_a_hold(pki: Pki, devices: list[int]) -> None:
    """And one without a reason may get one."""
    lift = ["revoke", "--reason", "removeFromCRL", "a.pem"]
    assert "is not on hold" in pki(*lift, status=1).err
    pki("revoke", "a.pem")
    assert "is not on hold" in pki(*lift, status=1).err
    assert "was revoked already" in pki("revoke", "a.pem").err
    pki("revoke", "--reason", "keyCompromise", "a.pem")
    assert "was revoked already" in pki("revoke", "--reason", "superseded", "a.pem").err
    pki("gencrl")
    assert {devices[0]: "keyCompromise"} == reasons(crl())


def test_the_how_tos_file_of_serials(room: Path, pki: Pki, devices: list[int]) -> None:
    """Hexadecimal or decimal, in cfssl's order of arguments, with its expiry in seconds."""
    Path("serials.txt").write_text(f"{devices[0]:X}\n{devices[1]}\n")
    pki("gencrl", "serials.txt", "ca.pem", "ca-key.pem", "3600")
    assert set(devices[:2]) == set(reasons(crl()))
    left = crl().next_update_utc
    assert left is not None
    assert timedelta(minutes=59) < left - datetime.now(UTC) < timedelta(minutes=61)
    # What was revoked once stays so, whatever the next file says.
    Path("serials.txt").write_text(f"{devices[2]:x}\n")
    pki("gencrl", "serials.txt")
    assert set(devices) == set(reasons(crl()))


def test_a_file_of_serials_that_could_be_either_changes_nothing(
    room: Path, pki: Pki, devices: list[int]
) -> None:
    """Neither the ledger nor the CRL; with the operator's word it works."""
    Path("serials.txt").write_text("0x1F\n1234567890\n")
    before = (room / "ca-ledger.jsonl").read_bytes()
    files = ["gencrl", "serials.txt", "ca.pem", "ca-key.pem"]
    refused = pki(*files, status=1).err
    assert "serials.txt: line 2: '1234567890' could be hexadecimal or decimal" in refused
    assert before == (room / "ca-ledger.jsonl").read_bytes()
    assert not (room / "ca.crl").exists()
    assert (
        "the ledger knows no certificate with the serial 1F, 1234567890" in pki(*files, "--hex").err
    )
    assert {0x1F: "", 0x1234567890: ""} == reasons(crl())


def test_serial_zero_is_refused(pki: Pki, devices: list[int]) -> None:
    """It is what cfssl makes of hexadecimal serials."""
    assert "insist with --force" in pki("revoke", "0", status=1).err
    assert "revoked 0" in pki("revoke", "--force", "0").err


def test_a_certificate_of_another_ca_is_not_revoked_here(
    room: Path, pki: Pki, devices: list[int]
) -> None:
    """Nor the CA itself."""
    pki("init", "-o", "other", "ca-csr.json")
    wrong = pki("revoke", "--ca", "other.pem", "a.pem", status=1).err
    assert "a.pem was not issued by other.pem" in wrong
    assert "was not issued by" in pki("revoke", "ca.pem", status=1).err
    assert "cannot read gone.pem" in pki("revoke", "gone.pem", status=1).err


def test_standard_output_has_the_crl_and_nothing_else(pki: Pki, devices: list[int]) -> None:
    """For pipes; the file of the usual name stays away."""
    done = pki("gencrl", "-o", "-")
    assert done.out.startswith("-----BEGIN X509 CRL-----")
    assert done.out.endswith("-----END X509 CRL-----\n")
    assert not Path("ca.crl").exists()


def test_der_is_what_openssl_takes(pki: Pki, devices: list[int]) -> None:
    """As cfssl makes them."""
    pki("revoke", "a.pem")
    pki("gencrl", "--der")
    text = openssl("crl", "-inform", "DER", "-in", "ca.crl", "-noout", "-text", "-CAfile", "ca.pem")
    assert "verify OK" in text
    assert f"{devices[0]:X}" in text


def test_only_a_crl_of_this_ca_is_overwritten(room: Path, pki: Pki, devices: list[int]) -> None:
    """Not the key, whose name was typed by mistake; nor another CA's CRL."""
    before = (room / "ca-key.pem").read_bytes()
    assert "is no CRL of this CA" in pki("gencrl", "-o", "ca-key.pem", status=1).err
    assert before == (room / "ca-key.pem").read_bytes()
    pki("init", "-o", "other", "ca-csr.json")
    pki("gencrl", "--ca", "other.pem")
    assert "is no CRL of this CA" in pki("gencrl", "-o", "other.crl", status=1).err
    pki("gencrl", "-o", "other.crl", "--force")
    os.mkfifo(room / "pipe")
    assert "not a regular file" in pki("gencrl", "--force", "-o", "pipe", status=1).err
    (room / "ca.crl").touch()  # as a shell makes it for what is redirected there
    pki("gencrl")


def test_what_the_crl_there_revokes_stays_revoked(room: Path, pki: Pki, devices: list[int]) -> None:
    """A ledger that was lost lets nobody in again; what it knows to be lifted is."""
    pki("revoke", "--reason", "keyCompromise", "a.pem")
    pki("revoke", "--reason", "certificateHold", "b.pem")
    pki("gencrl")
    (room / "ca-ledger.jsonl").unlink()
    said = pki("gencrl").err
    assert "revokes serials that the ledger did not know: they are kept" in said
    assert {devices[0]: "keyCompromise", devices[1]: "certificateHold"} == reasons(crl())
    pki("revoke", "--reason", "removeFromCRL", "b.pem")
    assert "are kept" not in pki("gencrl").err
    assert {devices[0]: "keyCompromise"} == reasons(crl())


def test_a_crl_is_replaced_at_once(room: Path, pki: Pki, devices: list[int]) -> None:
    """Whoever has the old file open reads it to its end."""
    pki("gencrl")
    old = (room / "ca.crl").open("rb")
    before = os.fstat(old.fileno()).st_size
    pki("revoke", "a.pem")
    pki("gencrl")
    with old:
        assert before == len(old.read())
    assert 0o644 == (room / "ca.crl").stat().st_mode & 0o777


def test_the_ledger_remembers_each_crl(room: Path, pki: Pki, devices: list[int]) -> None:
    """Which number, how many entries, and what its bytes were."""
    pki("revoke", "a.pem")
    pki("gencrl")
    record = json.loads((room / "ca-ledger.jsonl").read_text().splitlines()[-1])
    assert ("crl", 1, None, 1) == tuple(record[k] for k in ("event", "number", "base", "entries"))
    assert record["sha256"] in openssl("dgst", "-sha256", "ca.crl")


def test_many_entries_are_signed_in_little_time() -> None:
    """No entry costs more for those before it: a hundred thousand are seconds, not hours."""
    now = datetime.now(UTC)
    register = Register(
        revoked={n: Revocation(n, now, "keyCompromise", n) for n in range(1, 100_001)}
    )
    made = sign_crl(Authority.make_root("Big"), draft(register, now, timedelta(days=1)))
    assert 100_000 == len(made)
