"""``mtlsedge pki`` as people type it: words, exit statuses, passphrases, what is left behind."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pki_making import CA_CSR, Pki, write

from mtlsedge.cli import main
from support.needs import needs


def names(room: Path) -> set[str]:
    """What is in the directory, but for the JSON files."""
    return {path.name for path in room.iterdir() if path.suffix != ".json"}


def type_at(lines: list[str], *arguments: str) -> tuple[int, str]:
    """Run a command at a terminal and type these lines when it asks; gives status and screen."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-m", "mtlsedge", "pki", *arguments])
    screen, waiting, deadline = b"", list(lines), time.monotonic() + 60
    asked = 0
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                piece = os.read(terminal, 4096)
            except OSError:
                break
            if not piece:
                break
            screen += piece
        questions = screen.count(b": ") - screen.count(b"mtlsedge: ") - screen.count(b"wrote")
        if waiting and questions > asked and screen.endswith(b": "):
            asked = questions
            os.write(terminal, waiting.pop(0).encode() + b"\n")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(terminal)
    return status, screen.decode()


def test_alone_it_shows_a_walk(pki: Pki) -> None:
    """On standard output, and whatever it shows exists."""
    walk = pki().out
    for command in ("init", "issue", "p12", "list", "revoke", "gencrl"):
        assert f"$ mtlsedge pki {command}" in walk


@pytest.mark.parametrize(
    "command", ["init", "issue", "sign", "intermediate", "revoke", "gencrl", "p12", "list"]
)
def test_each_command_has_help_for_people(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """How it is used, what it does, and lines to copy."""
    with pytest.raises(SystemExit) as caught:
        main(["pki", command, "--help"])
    assert 0 == caught.value.code
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: mtlsedge pki {command} ")
    assert f"  $ mtlsedge pki {command}" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["init"],
        ["init", "a", "b"],
        ["issue", "--nonsense", "x.json"],
        ["revoke"],
        ["revoke", "--reason", "boredom", "1F"],
        ["revoke", "--hex", "--decimal", "1F"],
        ["gencrl", "a", "b", "c", "d", "e"],
        ["gencrl", "--expiry", "soon"],
        ["gencrl", "s", "c", "k", "-5"],
        ["gencrl", "--base", "x", "--delta"],
        ["list", "--expiring", "x"],
        ["list", "x"],
        ["p12"],
    ],
)
def test_what_was_asked_wrongly_is_answered_with_usage(pki: Pki, arguments: list[str]) -> None:
    """Exit status 2, on standard error."""
    done = pki(*arguments, status=2)
    assert "" == done.out
    assert "Usage: mtlsedge pki" in done.err
    assert "mtlsedge: " in done.err.splitlines()[-1]


def test_init_writes_cfssls_names(room: Path, pki: Pki) -> None:
    """And the ledger; keys for their owner only."""
    pki("init", "ca-csr.json")
    assert {"ca.pem", "ca-key.pem", "ca.csr", "ca-ledger.jsonl"} == names(room)
    assert 0o600 == (room / "ca-key.pem").stat().st_mode & 0o777


def test_nothing_is_overwritten_without_force(room: Path, pki: Pki) -> None:
    """Nor is anything else written, or noted in the ledger."""
    pki("init", "ca-csr.json")
    before = {path: path.read_bytes() for path in room.iterdir()}
    assert "ca-key.pem is there already" in pki("init", "ca-csr.json", status=1).err
    (room / "client.csr").write_text("mine")
    assert "client.csr is there already" in pki("issue", "client-csr.json", status=1).err
    (room / "client.csr").unlink()
    assert before == {path: path.read_bytes() for path in room.iterdir()}
    pki("init", "--force", "ca-csr.json")
    assert before[room / "ca-key.pem"] != (room / "ca-key.pem").read_bytes()


def test_what_failed_left_nothing(room: Path, pki: Pki) -> None:
    """Not even an empty ledger."""
    write(room / "ca-csr.json", {**CA_CSR, "key": {"algo": "rsa", "size": 512}})
    done = pki("init", "ca-csr.json", status=1)
    assert "1 problem, and nothing was done" in done.err
    assert "ca-csr.json: key.size" in done.err
    assert "cannot read gone.json" in pki("init", "gone.json", status=1).err
    assert "No such file" in pki("init", "-o", "gone/ca", "client-csr.json", status=1).err
    assert set() == names(room)


def test_a_ledger_that_cannot_be_written_is_named(room: Path, pki: Pki) -> None:
    """Instead of a traceback; and no certificate is handed out that it does not know."""
    (room / "ca-ledger.jsonl").mkdir()
    said = pki("init", "ca-csr.json", status=1).err
    assert "cannot open the ledger ca-ledger.jsonl: Is a directory" in said
    assert {"ca-ledger.jsonl"} == names(room)


def test_requests_can_come_through_a_pipe(room: Path) -> None:
    """``-``, as with cfssl."""
    command = [sys.executable, "-m", "mtlsedge", "pki", "init", "-"]
    data = (room / "ca-csr.json").read_bytes()
    done = subprocess.run(command, input=data, capture_output=True, cwd=room)
    assert (1, True) == (done.returncode, b"-o PREFIX" in done.stderr)
    done = subprocess.run([*command, "-o", "ca"], input=data, capture_output=True, cwd=room)
    assert 0 == done.returncode, done.stderr
    assert "ca.pem" in names(room)


def test_a_ca_made_anew_with_its_key_keeps_its_children(room: Path, pki: Pki) -> None:
    """And its ledger."""
    pki("init", "ca-csr.json")
    pki("issue", "client-csr.json")
    pki("init", "--ca-key", "ca-key.pem", "--force", "ca-csr.json")
    command = [needs("openssl"), "verify", "-x509_strict", "-CAfile", "ca.pem", "client.pem"]
    assert b"client.pem: OK\n" == subprocess.run(command, capture_output=True).stdout
    assert 3 == len(json.loads(pki("list", "--json").out))


def test_a_new_ca_under_an_old_name_begins_anew(room: Path, pki: Pki) -> None:
    """What the old one issued is not its own."""
    pki("init", "ca-csr.json")
    pki("issue", "client-csr.json")
    pki("init", "--force", "ca-csr.json")
    assert ["ca"] == [each["profile"] for each in json.loads(pki("list", "--json").out)]


def test_passphrases_from_files(room: Path, pki: Pki) -> None:
    """The CA's key is encrypted, opens with the right one, and not with another."""
    (room / "secret").write_text("hunter2\n")
    (room / "wrong").write_text("hunter3\n")
    pki("init", "--passphrase-file", "secret", "ca-csr.json")
    assert "BEGIN ENCRYPTED PRIVATE KEY" in (room / "ca-key.pem").read_text()
    wrong = pki("issue", "--passphrase-file", "wrong", "client-csr.json", status=1)
    assert "the passphrase does not open this key" in wrong.err
    new = ["--new-passphrase-file", "secret"]
    pki("issue", "--passphrase-file", "secret", *new, "client-csr.json")
    assert "BEGIN ENCRYPTED PRIVATE KEY" in (room / "client-key.pem").read_text()
    pki("gencrl", "--passphrase-file", "secret")
    pki("p12", "--passphrase-file", "secret", "--password-file", "wrong", "client.pem")
    pki("issue", "-o", "x", "--passphrase-file", "secret", "client-csr.json")
    assert "has no passphrase" in pki(
        "issue", "--ca", "ca.pem", "-o", "y", "--ca-key", _plain(room), "client-csr.json",
        "--passphrase-file", "secret",
    ).err  # fmt: skip


def test_passphrases_at_a_terminal(room: Path) -> None:
    """Asked for twice when they are new, once when they are not, and never shown."""
    status, screen = type_at(
        ["horse", "hose", "horse", "horse"], "init", "--encrypt", "ca-csr.json"
    )
    assert 0 == status, screen
    assert "The two differ" in screen
    status, screen = type_at(["horse"], "issue", "client-csr.json")
    assert 0 == status, screen
    status, screen = type_at(["pass", "pass"], "p12", "client.pem")
    assert 0 == status, screen
    assert "horse" not in screen
    status, screen = type_at([""], "p12", "--force", "client.pem")
    assert (1, True) == (status, "nothing was typed" in screen)


def test_without_a_terminal_nobody_is_asked(room: Path) -> None:
    """A script is told which option to use, and does not hang."""
    command = [sys.executable, "-m", "mtlsedge", "pki", "init", "--encrypt", "ca-csr.json"]
    done = subprocess.run(
        command, cwd=room, stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True
    )
    assert (1, True) == (done.returncode, b"there is no terminal to ask on" in done.stderr)
    assert set() == names(room)


def test_the_list_says_what_became_of_each(room: Path, pki: Pki) -> None:
    """As a table and as JSON, all of them or some."""
    pki("init", "ca-csr.json")
    for name in ("a", "b"):
        pki("issue", "-o", name, "client-csr.json")
    pki("revoke", "--reason", "keyCompromise", "a.pem")
    pki("revoke", "--hex", "1234")
    config = {"signing": {"default": {"usages": ["client auth"], "expiry": "72h"}}}
    write(room / "ca-config.json", config)
    pki("issue", "--config", "ca-config.json", "-o", "c", "client-csr.json")
    table = pki("list").out.splitlines()
    assert ["SERIAL", "STATUS", "UNTIL", "PROFILE", "SUBJECT"] == table[0].split()
    assert 6 == len(table)
    assert any("(keyCompromise)" in line and "CN=James Royal" in line for line in table)
    assert any("ends in 2 days" in line for line in table)
    rows = {
        what: json.loads(pki("list", "--json", *what.split()).out)
        for what in ("--revoked", "--expiring 30", "--valid", "--expiring 1")
    }
    counts = {what: len(found) for what, found in rows.items()}
    assert {"--revoked": 2, "--expiring 30": 1, "--valid": 3, "--expiring 1": 0} == counts
    (soon,) = rows["--expiring 30"]
    assert ("expiring", "default") == (soon["status"], soon["profile"])
    stranger = rows["--revoked"][1]
    assert ("1234", "4660", None) == tuple(
        stranger[key] for key in ("serial", "serial_decimal", "not_after")
    )


def test_a_list_of_nothing_says_so(room: Path, pki: Pki) -> None:
    """A CA without a ledger."""
    pki("init", "ca-csr.json")
    (room / "ca-ledger.jsonl").unlink()
    done = pki("list")
    assert "knows of no certificate of this CA" in done.err


def test_a_damaged_ledger_stops_revocations(room: Path, pki: Pki) -> None:
    """A CRL made from half of it would let somebody in."""
    pki("init", "ca-csr.json")
    pki("issue", "client-csr.json")
    pki("revoke", "client.pem")
    ledger = room / "ca-ledger.jsonl"
    ledger.write_text(ledger.read_text().replace('"unspecified"', '"nonsense"'))
    assert "is not as it was written" in pki("gencrl", status=1).err
    ledger.write_text("nonsense\n" + ledger.read_text())
    assert "line 1 cannot be read" in pki("gencrl", status=1).err


def _plain(room: Path) -> Path:
    """ca-key.pem without its passphrase."""
    plain = room / "plain-key.pem"
    command = ["pkey", "-in", "ca-key.pem", "-passin", "file:secret", "-out", plain]
    subprocess.run([needs("openssl"), *command], check=True, capture_output=True, cwd=room)
    return plain
