"""The how-to, with cfssl, with ``mtlsedge pki``, and with a bit of each: made, let in, revoked."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import certs, curl
from support.edge import Edge
from support.how_to import CA_CONFIG, CA_CSR, CLIENT_CSR
from support.needs import needs
from support.origin import CountingOrigin
from support.ports import wait_until
from support.tables import application, host

IOT = "iot.example.com"
HOW_TO = {
    "cfssl": {
        "ca": "cfssl gencert -initca ca-csr.json | cfssljson -bare ca",
        "client": (
            "cfssl gencert -ca=ca.pem -ca-key=ca-key.pem -config=ca-config.json -profile=client "
            "client-csr.json | cfssljson -bare client"
        ),
        "crl": "cfssl gencrl serials.txt ca.pem ca-key.pem | base64 -d > ca.crl",
    },
    "pki": {
        "ca": "mtlsedge pki init ca-csr.json",
        "client": (
            "mtlsedge pki issue -ca=ca.pem -ca-key=ca-key.pem -config=ca-config.json "
            "-profile=client client-csr.json"
        ),
        "crl": "mtlsedge pki gencrl serials.txt ca.pem ca-key.pem",
    },
}
WAYS = [
    ("cfssl", "cfssl", "cfssl", "rsa"),
    ("pki", "pki", "pki", "rsa"),
    ("cfssl", "pki", "cfssl", "ecdsa"),
    ("cfssl", "cfssl", "pki", "ecdsa"),
    ("pki", "cfssl", "pki", "ecdsa"),
    ("pki", "pki", "cfssl", "ecdsa"),
]
"""Who makes the CA, the client and the CRL, with which keys."""


def write_files(directory: Path, algorithm: str) -> None:
    """The how-to's three JSON files, with RSA keys as there or with others."""
    key = {} if algorithm == "rsa" else {"key": {"algo": algorithm, "size": 256}}
    contents = {
        "ca-csr.json": {**CA_CSR, **key},
        "ca-config.json": CA_CONFIG,
        "client-csr.json": {**CLIENT_CSR, **key},
    }
    for name, content in contents.items():
        (directory / name).write_text(json.dumps(content))


def shell(directory: Path, line: str) -> str:
    """Run a line as somebody types it, every part of a pipe with success."""
    needs(line.split()[0]) if line.startswith("cfssl") else None
    path = os.pathsep.join((sysconfig.get_path("scripts"), os.environ["PATH"]))
    command = ["bash", "-o", "pipefail", "-c", line]
    env = {**os.environ, "PATH": path}
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    return done.stdout


def serial(directory: Path, file: str = "client.pem") -> int:
    """A certificate's serial number, read by OpenSSL."""
    return int(shell(directory, f"openssl x509 -in {file} -noout -serial").split("=")[1], 16)


def client(directory: Path, file: str = "client") -> certs.Pair:
    """The client's files, for curl."""
    nothing = certs.client().issued  # only the files count here
    return certs.Pair(directory / f"{file}.pem", directory / f"{file}-key.pem", nothing)


def reload(edge: Edge) -> None:
    """Have the edge read its files again."""
    before = edge.log().count("serving generation")
    os.kill(edge.pid, signal.SIGHUP)
    wait_until(lambda: edge.log().count("serving generation") > before, 20, "the new generation")


def config(made: Path, origin: CountingOrigin, ca: str = "ca.pem", **more: Any) -> dict[str, Any]:
    """One host for the clients of this CA."""
    return {
        "host": [host(IOT, upstream=origin.url)],
        "client_ca": [{"name": "CA", "certificate": made / ca, "hosts": [IOT], **more}],
        "application": [application(IOT)],
    }


@pytest.mark.parametrize(("ca_by", "client_by", "crl_by", "algorithm"), WAYS)
def test_the_how_to(
    tmp_path: Path,
    origin: CountingOrigin,
    start_edge: Callable[..., Edge],
    ca_by: str,
    client_by: str,
    crl_by: str,
    algorithm: str,
) -> None:
    """CA, client, curl, revoke, CRL: whoever makes which, the edge lets in and then refuses."""
    made = tmp_path / "made"
    made.mkdir()
    write_files(made, algorithm)
    shell(made, HOW_TO[ca_by]["ca"])
    shell(made, HOW_TO[client_by]["client"])
    # The how-to says hexadecimal, which is not what cfssl itself reads.
    (made / "serials.txt").write_text("")
    shell(made, HOW_TO[crl_by]["crl"])
    edge = start_edge(config(made, origin, crl=[made / "ca.crl"]))
    assert 403 == curl.get(edge.port, IOT).status
    assert 200 == curl.get(edge.port, IOT, client=client(made)).status
    written = f"{serial(made):X}" if crl_by == "pki" else str(serial(made))
    (made / "serials.txt").write_text(f"{written}\n")
    shell(made, HOW_TO[crl_by]["crl"])
    reload(edge)
    assert 403 == curl.get(edge.port, IOT, client=client(made)).status
    assert "certificate_revoked" == edge.access_log(3)[2]["cert"]["reason"]


def test_what_pki_makes_cfssl_reads(tmp_path: Path) -> None:
    """Certificates, requests, and a server's bundle with its intermediate."""
    write_files(tmp_path, "ecdsa")
    (tmp_path / "sub-csr.json").write_text('{"CN": "Sub CA"}')
    shell(tmp_path, "mtlsedge pki init ca-csr.json && mtlsedge pki intermediate sub-csr.json")
    names = "--hostname iot.example.com -o server client-csr.json"
    shell(tmp_path, f"mtlsedge pki issue --ca sub.pem --profile server {names}")
    for file in ("ca.pem", "sub.pem", "server.pem"):
        info = json.loads(shell(tmp_path, f"cfssl certinfo -cert {file}"))
        assert str(serial(tmp_path, file)) == info["serial_number"]
    request = json.loads(shell(tmp_path, "cfssl certinfo -csr server.csr"))
    assert "James Royal" == request["Subject"]["CommonName"]
    bundled = shell(tmp_path, "cfssl bundle -cert server.pem -ca-bundle ca.pem -int-bundle sub.pem")
    assert (tmp_path / "server-chain.pem").read_text().strip() == json.loads(bundled)["bundle"]
    # A request of ours signed by cfssl, and one of cfssl's by ours.
    shell(
        tmp_path,
        "cfssl sign -ca sub.pem -ca-key sub-key.pem -config ca-config.json -profile client "
        "server.csr | cfssljson -bare signed",
    )
    shell(tmp_path, "cfssl genkey client-csr.json | cfssljson -bare theirs")
    shell(tmp_path, "mtlsedge pki sign --ca sub.pem --profile client theirs.csr")
    for file in ("signed.pem", "theirs.pem"):
        strict = "openssl verify -x509_strict -purpose sslclient -CAfile ca.pem -untrusted sub.pem"
        assert f"{file}: OK\n" == shell(tmp_path, f"{strict} {file}")


def test_pki_by_itself(
    tmp_path: Path, origin: CountingOrigin, start_edge: Callable[..., Edge]
) -> None:
    """Without a file of serials, below an intermediate, with a server certificate of its own."""
    made = tmp_path / "made"
    made.mkdir()
    write_files(made, "ecdsa")
    (made / "sub-csr.json").write_text('{"CN": "Sub CA"}')
    shell(made, "mtlsedge pki init ca-csr.json && mtlsedge pki intermediate sub-csr.json")
    shell(made, "mtlsedge pki issue --ca sub.pem client-csr.json")
    shell(made, "mtlsedge pki issue --ca sub.pem client-csr.json -o other")
    issue = f"mtlsedge pki issue --profile server --hostname {IOT} -o server"
    shell(made, f"{issue} --ca sub.pem client-csr.json")
    # Both CAs have a list: the one that signs clients, and the one that signed it.
    shell(made, "mtlsedge pki gencrl && mtlsedge pki gencrl --ca sub.pem")
    lists = [made / "ca.crl", made / "sub.crl"]
    settings = config(made, origin, "sub-bundle.pem", crl=lists)
    settings["host"][0] |= {
        "certificate": made / "server-chain.pem",
        "key": made / "server-key.pem",
    }
    edge = start_edge(settings)
    for file in ("client", "other"):
        who = client(made, file)
        assert 200 == curl.get(edge.port, IOT, client=who, ca=made / "ca.pem").status
    shell(made, "mtlsedge pki revoke --ca sub.pem --reason keyCompromise client.pem")
    shell(made, "mtlsedge pki gencrl --ca sub.pem")
    reload(edge)
    statuses = {
        file: curl.get(edge.port, IOT, client=client(made, file), ca=made / "ca.pem").status
        for file in ("client", "other")
    }
    assert {"client": 403, "other": 200} == statuses
    listed = json.loads(shell(made, "mtlsedge pki list --ca sub.pem --revoked --json"))
    assert [f"{serial(made):X}"] == [each["serial"] for each in listed]


def test_the_page_about_it_works_as_it_stands(tmp_path: Path) -> None:
    """Every file and every command of docs/pki.md, in their order."""
    page = (Path(__file__).parents[2] / "docs" / "pki.md").read_text()
    ca_csr, ca_config, client_csr = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    for name, text in [
        ("ca-csr.json", ca_csr),
        ("ca-config.json", ca_config),
        ("client-csr.json", client_csr),
        ("password.txt", "correct horse\n"),
    ]:
        (tmp_path / name).write_text(text)
    lines = "\n".join(re.findall(r"```console\n(.*?)```", page, re.DOTALL)).splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("$ "):
            shown = shell(tmp_path, line.removeprefix("$ "))
            assert after.startswith("$ ") or after in shown
    assert {"client.p12", "ca.crl", "sub-bundle.pem", "device-4-chain.pem"} <= {
        path.name for path in tmp_path.iterdir()
    }


def test_the_command_runs_as_a_module(tmp_path: Path) -> None:
    """``python -m mtlsedge pki``, for those whose PATH lacks the script."""
    command = [sys.executable, "-m", "mtlsedge", "pki"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (0, True) == (done.returncode, "mtlsedge pki init ca-csr.json" in done.stdout)
