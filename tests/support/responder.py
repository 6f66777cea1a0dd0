"""An OCSP responder that answers as a test says, over real HTTP; and OpenSSL's, run beside it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from mtlsedge.pki.mint import Authority
from support import certs
from support.http_service import HTTPService, QuietHandler, ThreadedServer
from support.needs import needs
from support.ports import free_port, is_listening, wait_until

REQUEST_TYPE, RESPONSE_TYPE = "application/ocsp-request", "application/ocsp-response"

Answers = Callable[["BaseHTTPRequestHandler", bytes], None]


def sign(
    request: bytes,
    about: x509.Certificate,
    issuer: Authority,
    *,
    signer: Authority | None = None,
    revoked: bool = False,
    valid: timedelta | None = timedelta(hours=1),
    since: timedelta = timedelta(minutes=1),
    nonce: bytes | None = None,
) -> bytes:
    """An answer about a certificate, as of now; with the request's nonce, unless one is given."""
    now = datetime.now(UTC)
    signed_by = signer or issuer
    builder = ocsp.OCSPResponseBuilder().add_response(
        about,
        issuer.certificate,
        SHA1(),
        ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
        now - since,
        None if valid is None else now + valid,
        now - since if revoked else None,
        x509.ReasonFlags.key_compromise if revoked else None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signed_by.certificate)
    if signer is not None:
        builder = builder.certificates([signer.certificate])
    if nonce is None:
        found = ocsp.load_der_ocsp_request(request).extensions
        nonce = found.get_extension_for_class(x509.OCSPNonce).value.nonce
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), False)
    return builder.sign(signed_by.key, SHA256()).public_bytes(Encoding.DER)


def reply(
    handler: BaseHTTPRequestHandler, content: bytes, kind: str = RESPONSE_TYPE, status: int = 200
) -> None:
    """One whole HTTP answer."""
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(content)))
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(content)


class _Server(ThreadedServer):
    def handle_error(self, *_: object) -> None:
        """Whoever asked is gone."""


class ScriptedResponder(HTTPService):
    """A responder in a thread of its own. A context manager.

    Attributes:
        answers: what it does with a request.
        asked: the serial numbers that it was asked about, in order.
    """

    server_type = _Server

    def __init__(self, answers: Answers, pair: certs.Pair | None = None) -> None:
        self.answers = answers
        self.asked: list[int] = []
        responder = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                request = self.rfile.read(int(self.headers["Content-Length"]))
                responder.asked.append(ocsp.load_der_ocsp_request(request).serial_number)
                self.close_connection = True
                with suppress(OSError):  # whoever asked is gone
                    responder.answers(self, request)

        super().__init__(Handler, pair)
        self.url += "/"


def _index(statuses: Mapping[x509.Certificate, bool]) -> str:
    """OpenSSL's index of certificates, each with whether it is revoked."""
    lines = []
    for certificate, revoked in statuses.items():
        ends = f"{certificate.not_valid_after_utc:%y%m%d%H%M%SZ}"
        since = f"{datetime.now(UTC) - timedelta(hours=1):%y%m%d%H%M%SZ},keyCompromise"
        fields = ["R" if revoked else "V", ends, since if revoked else ""]
        serial = f"{certificate.serial_number:X}"
        serial = serial.rjust(len(serial) + len(serial) % 2, "0")
        lines.append("\t".join([*fields, serial, "unknown", "/CN=somebody"]) + "\n")
    return "".join(lines)


@contextmanager
def openssl_responder(
    directory: Path, issuer: Authority, statuses: Mapping[x509.Certificate, bool]
) -> Iterator[str]:
    """``openssl ocsp`` for one CA, which knows these certificates and whether they are revoked."""
    openssl = needs("openssl")
    directory.mkdir()
    files = {"ca.pem": issuer.certificate.public_bytes(Encoding.PEM), "key.pem": issuer.key_pem}
    for name, content in files.items():
        (directory / name).write_bytes(content)
    (directory / "index.txt").write_text(_index(statuses))
    port = free_port()
    command: list[Any] = [openssl, "ocsp", "-port", str(port), "-index", "index.txt", "-CA"]
    command += ["ca.pem", "-rsigner", "ca.pem", "-rkey", "key.pem", "-nmin", "60"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
    try:
        wait_until(lambda: is_listening(port), 10, "openssl ocsp to listen")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()
