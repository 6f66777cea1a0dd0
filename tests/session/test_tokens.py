"""Tokens: what they say, how seldom they are signed, and which are taken back."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import RSAKey

from mtlsedge.session import tokens
from mtlsedge.session.keys import KeyRing
from mtlsedge.session.tokens import TokenIssuer

AUD, ISS, NAME = "a" * 64, "https://iot.example.com", "device-1"
PRINT, OTHER_PRINT = "ab" * 32, "cd" * 32
DAY = 86400.0


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "keys"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def ring(state: Path, time: Time) -> KeyRing:
    return KeyRing.open(state, time, rotation=1000 * DAY, overlap=DAY)


@pytest.fixture
def issuer(ring: KeyRing, time: Time) -> TokenIssuer:
    return TokenIssuer(ring, time)


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Counts the signatures that are made."""
    made: list[object] = []
    sign = tokens._sign

    def counting(*arguments: Any) -> str:
        made.append(arguments)
        return sign(*arguments)

    monkeypatch.setattr(tokens, "_sign", counting)
    yield made


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _issue(issuer: TokenIssuer, **changes: Any) -> tokens.Token:
    wanted = {"aud": AUD, "iss": ISS, "common_name": NAME, "thumbprint": PRINT, "lifetime": DAY}
    return issuer.token(**(wanted | changes))


def _accepts(issuer: TokenIssuer, text: str, **changes: Any) -> bool:
    return issuer.accepts(**({"text": text, "aud": AUD, "iss": ISS, "thumbprint": PRINT} | changes))


def test_an_independent_library_reads_the_claims(issuer: TokenIssuer, ring: KeyRing) -> None:
    """PyJWT verifies the token with the published key set, and finds the design's claims."""
    token = _issue(issuer)
    header = pyjwt.get_unverified_header(token.text)
    assert {"alg": "RS256", "kid": ring.signing.kid, "typ": "JWT"} == header
    published = pyjwt.PyJWKSet.from_dict(ring.public_keys())[header["kid"]]
    claims = pyjwt.decode(
        token.text, published.key, ["RS256"], audience=AUD, issuer=ISS,
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )  # fmt: skip
    expected = {
        "type": "app",
        "aud": [AUD],
        "iss": ISS,
        "iat": 1_790_000_000,
        "nbf": 1_790_000_000,
        "exp": 1_790_086_400,
        "sub": "",
        "common_name": NAME,
        "cnf": {"x5t#S256": _encode(b"\xab" * 32)},
    }
    assert expected == claims
    assert expected["exp"] == token.expires


@pytest.mark.parametrize("thumbprint", [PRINT, ""])
@pytest.mark.parametrize(
    "name",
    [
        "",
        "device-1",
        "Gerät \N{GRINNING FACE}",
        'a"\\b',
        '","aud":["b"],"x":"',
        "\0\x1f\n\x7f\u2028{}%s",
    ],
)
def test_another_library_would_sign_the_same_bytes(
    issuer: TokenIssuer, ring: KeyRing, name: str, thumbprint: str
) -> None:
    """RS256 leaves nothing to chance, so that a token can be compared to the letter."""
    text = _issue(issuer, common_name=name, thumbprint=thumbprint).text
    read = jwt.decode(text, ring.signing.key, ["RS256"])
    assert name == read.claims["common_name"]
    header = {"alg": "RS256", "kid": ring.signing.kid}
    assert jwt.encode(header, read.claims, ring.signing.key, ["RS256"]) == text


def test_a_token_names_the_key_that_signed_it(tmp_path: Path, time: Time) -> None:
    """Also the first one after a rotation."""
    ring = KeyRing.open(tmp_path / "s", time, rotation=10 * DAY, overlap=2 * DAY)
    before = tokens.sign(ring, {"n": 1})
    time.now += 9.9 * DAY
    ring.rotate_if_due()
    time.now += DAY
    for text in (before, tokens.sign(ring, {"n": 1})):
        kid = pyjwt.get_unverified_header(text)["kid"]
        key = ring.verifying(kid)
        assert key is not None
        assert {"n": 1} == jwt.decode(text, key.key, ["RS256"]).claims
    assert kid == ring.signing.kid != pyjwt.get_unverified_header(before)["kid"]


def test_a_session_without_a_certificate_is_bound_to_none(issuer: TokenIssuer) -> None:
    """Service tokens: no cnf, and such a token passes for no certificate's session."""
    token = _issue(issuer, thumbprint="")
    assert _accepts(issuer, token.text, thumbprint="")
    assert not _accepts(issuer, token.text)
    assert not _accepts(issuer, _issue(issuer).text, thumbprint="")


def test_one_signature_serves_every_request(issuer: TokenIssuer, signatures: list[object]) -> None:
    """Many requests, one signature; another session or application, another signature."""
    for _ in range(100):
        _issue(issuer)
    assert 1 == len(signatures)
    for change in ({"aud": "b"}, {"iss": "x"}, {"common_name": "n"}, {"thumbprint": OTHER_PRINT}):
        _issue(issuer, **change)
    assert 5 == len(signatures)


@pytest.mark.parametrize(("lifetime", "kept"), [(DAY, DAY * 0.9), (300.0, 240.0), (60.0, 30.0)])
def test_a_token_is_replaced_near_its_end(
    issuer: TokenIssuer, time: Time, lifetime: float, kept: float
) -> None:
    """With a tenth of its life left, or a minute."""
    time.now = float(int(time.now))
    first = _issue(issuer, lifetime=lifetime)
    time.now += kept - 1
    assert first is _issue(issuer, lifetime=lifetime)
    time.now += 2
    assert first.expires < _issue(issuer, lifetime=lifetime).expires


def test_a_token_from_the_future_is_replaced(issuer: TokenIssuer, time: Time) -> None:
    """After the clock was put back, verifiers would refuse the old one."""
    first = _issue(issuer)
    time.now -= 3600
    second = _issue(issuer)
    assert second.expires < first.expires
    assert not _accepts(issuer, first.text)
    assert _accepts(issuer, second.text)


def test_tokens_follow_the_signing_key(tmp_path: Path, time: Time) -> None:
    """A new key signs anew; the old token is accepted while its key is published."""
    ring = KeyRing.open(tmp_path / "s", time, rotation=10 * DAY, overlap=2 * DAY)
    issuer = TokenIssuer(ring, time)
    time.now += 9.9 * DAY
    ring.rotate_if_due()
    old = _issue(issuer, lifetime=30 * DAY)
    time.now += DAY
    assert _issue(issuer, lifetime=30 * DAY).text != old.text
    assert _accepts(issuer, old.text)
    time.now += 2 * DAY
    assert not _accepts(issuer, old.text)


def test_memory_is_bounded(ring: KeyRing, time: Time, signatures: list[object]) -> None:
    """The oldest are forgotten, and signed again when they are wanted."""
    issuer = TokenIssuer(ring, time, remembered=4)
    for number in range(6):
        token = _issue(issuer, aud=str(number))
        assert _accepts(issuer, token.text, aud=str(number))
        assert not _accepts(issuer, f"{number}.b.c")
    _issue(issuer, aud="5")
    assert 6 == len(signatures)
    _issue(issuer, aud="0")
    assert 7 == len(signatures)
    assert [4, 1, 1] == [len(c) for c in (issuer._issued, issuer._accepted, issuer._refused)]


def test_a_verdict_is_remembered(issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cookie that comes with every request is verified once, good or bad."""
    good, bad = _issue(issuer).text, _issue(issuer).text[:-4] + "AAAA"
    calls: list[object] = []
    decode = jwt.decode
    monkeypatch.setattr(tokens.jwt, "decode", lambda *a: calls.append(a) or decode(*a))
    assert [True] * 5 == [_accepts(issuer, good) for _ in range(5)]
    assert [False] * 5 == [_accepts(issuer, bad) for _ in range(5)]
    assert 2 == len(calls)


def test_expiry_is_checked_every_time(issuer: TokenIssuer, time: Time) -> None:
    """A remembered yes ends when the token does."""
    token = _issue(issuer)
    assert _accepts(issuer, token.text)
    time.now = token.expires - 0.5
    assert _accepts(issuer, token.text)
    time.now = token.expires
    assert not _accepts(issuer, token.text)
    assert not TokenIssuer(issuer._ring, time).accepts(token.text, AUD, ISS, PRINT)


def test_a_remembered_no_is_asked_again(tmp_path: Path, time: Time) -> None:
    """A token of another worker's new key is good as soon as the key is known."""
    one = KeyRing.open(tmp_path / "s", time, 10 * DAY, 2 * DAY)
    other = KeyRing.open(tmp_path / "s", time, 10 * DAY, 2 * DAY)
    time.now += 9.9 * DAY
    other.rotate_if_due()
    time.now += DAY
    text = _issue(TokenIssuer(other, time)).text
    issuer = TokenIssuer(one, time)
    assert not _accepts(issuer, text)
    one.rotate_if_due()
    time.now += 61
    assert _accepts(issuer, text)


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "b" * 64},
        {"aud": ""},
        {"iss": "https://other.example.com"},
        {"thumbprint": OTHER_PRINT},
        {"thumbprint": "no hexadecimal"},
        {"common_name": "device-2"},
    ],
)
def test_a_token_is_of_one_session_and_application(
    issuer: TokenIssuer, change: dict[str, str]
) -> None:
    """Another audience, issuer, certificate or name: no, also after a yes."""
    text = _issue(issuer).text
    assert _accepts(issuer, text, common_name=NAME)
    assert not _accepts(issuer, text, **change)


def _forged(
    ring: KeyRing, time: Time, header: dict[str, Any], claims: dict[str, Any], key: Any = None
) -> str:
    everything = {
        "type": "app", "aud": [AUD], "iss": ISS, "sub": "", "common_name": NAME,
        "iat": int(time()), "nbf": int(time()), "exp": int(time()) + 100,
        "cnf": {"x5t#S256": _encode(b"\xab" * 32)},
    }  # fmt: skip
    claims = {name: value for name, value in (everything | claims).items() if value is not None}
    header = {"alg": "RS256", "kid": ring.signing.kid} | header
    return jwt.encode(header, claims, key or ring.signing.key, [header["alg"]])


STRANGER = RSAKey.generate_key(2048)


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({}, {"type": "org"}),
        ({}, {"type": None}),
        ({}, {"exp": None}),
        ({}, {"exp": "never"}),
        ({}, {"exp": 1}),
        ({}, {"nbf": 1_890_000_000}),
        ({}, {"nbf": None}),
        ({}, {"aud": None}),
        ({}, {"aud": ["x"]}),
        ({}, {"iss": None}),
        ({}, {"cnf": None}),
        ({}, {"cnf": {"x5t#S256": ""}}),
        ({}, {"cnf": "x"}),
        ({"alg": "RS512"}, {}),
        ({"alg": "PS256"}, {}),
        ({"kid": "stranger"}, {}),
    ],
)
def test_claims_and_header_are_held_to_what_we_issue(
    issuer: TokenIssuer, ring: KeyRing, time: Time, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    """Even under our own signature."""
    assert _accepts(issuer, _forged(ring, time, {}, {}))
    assert not _accepts(issuer, _forged(ring, time, header, claims))


def test_other_signatures_are_refused(issuer: TokenIssuer, ring: KeyRing, time: Time) -> None:
    """A stranger's key, none, and our public key taken for a shared secret."""
    assert not _accepts(issuer, _forged(ring, time, {}, {}, STRANGER))
    head, body, _ = _issue(issuer).text.split(".")
    unsigned = _encode(b'{"alg":"none","typ":"JWT"}')
    assert not _accepts(issuer, f"{unsigned}.{body}.")
    assert not _accepts(issuer, f"{head}.{body}.")
    symmetric = _encode(json.dumps({"alg": "HS256", "kid": ring.signing.kid}).encode())
    signed = f"{symmetric}.{body}".encode()
    digest = hmac.digest(ring.signing.key.as_pem(), signed, "sha256")
    assert not _accepts(issuer, f"{symmetric}.{body}.{_encode(digest)}")


def test_overlong_tokens_are_not_looked_at(issuer: TokenIssuer) -> None:
    """Nor kept: memory does not grow with what a peer sends."""
    assert not _accepts(issuer, "a." + "b" * 5000 + ".c")
    assert 0 == len(issuer._refused)


def test_a_name_that_utf8_cannot_carry_does_not_break_the_request(issuer: TokenIssuer) -> None:
    """Half a surrogate pair comes out as text."""
    text = _issue(issuer, common_name="a\ud800b").text
    body = text.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert "a\\ud800b" == claims["common_name"]
    assert _accepts(issuer, text, common_name="a\ud800b")


@pytest.fixture(scope="module")
def hostile(state: Path) -> Callable[[str], bool]:
    time = Time()
    issuer = TokenIssuer(KeyRing.open(state, time, 1000 * DAY, DAY), time)
    good = _issue(issuer).text

    def check(text: str) -> bool:
        for candidate in (text, good + text, text + good, good.replace(good[50:60], text)):
            if candidate != good and issuer.accepts(candidate, AUD, ISS, PRINT):
                return False
        return True

    return check


@given(st.text(max_size=60) | st.text(alphabet="abcAB01-_.=", max_size=60))
def test_no_text_is_accepted_or_raises(hostile: Callable[[str], bool], text: str) -> None:
    """Only what was issued passes, to the letter."""
    assert hostile(text)
