"""The how-to that users come with: a CA and a client made by cfssl, nginx behind the edge."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import subprocess
from collections.abc import Callable
from http.cookies import SimpleCookie
from pathlib import Path

import jwt
import pytest

from support import certs, curl
from support.edge import Edge
from support.how_to import CA_CSR, CLIENT_CSR
from support.needs import needs
from support.tables import application, client_ca, host

IOT = "iot.example.com"
OTHER = "other.example.com"
AUDIENCE = "f00d" * 16

CA_CONFIG = {
    "signing": {
        "default": {"expiry": "8760h"},
        "profiles": {
            "client": {
                "expiry": "8760h",
                "usages": ["signing", "digital signature", "key encipherment", "client auth"],
            }
        },
    }
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ca.pem, client.pem and client-key.pem, as cfssl leaves them."""
    directory = tmp_path_factory.mktemp("cfssl")
    for name, content in [
        ("ca-csr.json", CA_CSR),
        ("ca-config.json", CA_CONFIG),
        ("client-csr.json", CLIENT_CSR),
    ]:
        (directory / name).write_text(json.dumps(content))
    cfssl(directory, "ca", "gencert", "-initca", "ca-csr.json")
    cfssl(
        directory,
        "client",
        "gencert",
        "-ca=ca.pem",
        "-ca-key=ca-key.pem",
        "-config=ca-config.json",
        "-profile=client",
        "client-csr.json",
    )
    return directory


@pytest.fixture
def edge(made: Path, nginx_origin: str, start_edge: Callable[..., Edge]) -> Edge:
    """One host with the cfssl CA, another host with another."""
    return start_edge(
        {
            "host": [host(IOT, upstream=nginx_origin), host(OTHER, upstream=nginx_origin)],
            "client_ca": [
                {"name": "Access Testing CA", "certificate": made / "ca.pem", "hosts": [IOT]},
                client_ca(OTHER, name=certs.OTHER_CA),
            ],
            "application": [application(IOT, aud=AUDIENCE), application(OTHER)],
        }
    )


def test_without_a_certificate_the_answer_is_403(edge: Edge) -> None:
    """curl as it is gets the refusal, and the log says what was missing."""
    assert 403 == curl.get(edge.port, IOT).status
    (line,) = edge.access_log(1)
    assert (403, IOT) == (line["status"], line["host"])
    assert line["cert"]["presented"] is False


def test_with_it_comes_the_origins_page_and_the_cookie(edge: Edge, made: Path) -> None:
    """The same curl with --cert and --key."""
    answer = curl.get(edge.port, IOT, client=james(made))
    assert (200, "<h1>nginx is here</h1>\n") == (answer.status, answer.body)
    assert token_of(answer)
    (line,) = edge.access_log(1)
    assert (True, True) == (line["cert"]["presented"], line["cert"]["verified"])
    assert "CN=James Royal" in line["cert"]["subject"]


def test_the_token_verifies_in_an_independent_library(edge: Edge, made: Path) -> None:
    """PyJWT, with nothing but the published key set, believes the cookie."""
    token = token_of(curl.get(edge.port, IOT, client=james(made)))
    keys = curl.get(edge.port, IOT, "/cdn-cgi/access/certs", james(made))
    assert 200 == keys.status
    key = jwt.PyJWKSet.from_dict(json.loads(keys.body))[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token,
        key,
        algorithms=["RS256"],
        audience=AUDIENCE,
        options={"require": ["iss", "iat", "nbf", "exp", "aud", "sub", "type"]},
    )
    assert ("", "James Royal") == (claims["sub"], claims["common_name"])
    der = ssl.PEM_cert_to_DER_cert((made / "client.pem").read_text())
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert {"x5t#S256": thumbprint} == claims["cnf"]
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(with_another_name(token), key, algorithms=["RS256"], audience=AUDIENCE)


def test_a_second_host_with_another_ca_refuses_the_same_client(edge: Edge, made: Path) -> None:
    """What verifies at one host is a stranger at the other."""
    assert 200 == curl.get(edge.port, IOT, client=james(made)).status
    assert 403 == curl.get(edge.port, OTHER, client=james(made)).status
    line = edge.access_log(2)[1]
    assert (OTHER, True, False) == (
        line["host"],
        line["cert"]["presented"],
        line["cert"]["verified"],
    )
    assert 200 == curl.get(edge.port, OTHER, client=certs.client("x", certs.OTHER_CA)).status


def cfssl(directory: Path, stem: str, *arguments: str) -> None:
    """``cfssl ... | cfssljson -bare stem``, as the how-to has it."""
    made = subprocess.run([needs("cfssl"), *arguments], cwd=directory, capture_output=True)
    assert 0 == made.returncode, made.stderr.decode()
    command = [needs("cfssljson"), "-bare", stem]
    subprocess.run(command, cwd=directory, input=made.stdout, check=True, capture_output=True)


def james(made: Path) -> certs.Pair:
    """The client that cfssl made."""
    nothing = certs.client().issued  # only the files count here
    return certs.Pair(made / "client.pem", made / "client-key.pem", nothing)


def token_of(answer: curl.Curled) -> str:
    """The token in the one ``CF_Authorization`` cookie, which must be safe from scripts."""
    cookies = [SimpleCookie(value) for value in answer.all("Set-Cookie")]
    (cookie,) = [each["CF_Authorization"] for each in cookies if "CF_Authorization" in each]
    assert (True, True) == (cookie["secure"], cookie["httponly"])
    return cookie.value


def with_another_name(token: str) -> str:
    """The token with its common name changed and its signature kept."""
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    claims["common_name"] = "Mallory"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{forged}.{signature}"
