"""Refusals: the right form for the asker, plain words, and nothing hostile in them."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsedge.http.refusal_words import WORDS, words_for
from mtlsedge.http.refusals import prefers_page, refusal
from mtlsedge.identity import Reason

FIREFOX = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (FIREFOX, True),
        (b"text/html", True),
        (b"TEXT/HTML ; Q=0.5", True),
        (b"text/*", True),
        (b"application/json;q=0.5, text/html;q=0.9", True),
        (b"", False),
        (b"*/*", False),
        (b"application/json", False),
        (b"application/json, text/html;q=0.9", False),
        (b"application/problem+json, text/html;q=0.2", False),
        (b"text/html;q=0", False),
        (b"text/html;q=nan", False),
        (b"text/html;q=7", False),
        (b"text/html;q=x", False),
        (b"image/webp,*/*", False),
        (b"," * 5000 + b"text/html", False),
    ],
)
def test_who_gets_a_page(accept: bytes, expected: bool) -> None:
    """A page for those who ask for HTML at least as much as for JSON."""
    assert expected is prefers_page(accept)


def test_a_page_says_what_happened_what_to_do_and_which_request() -> None:
    """The three things that help a person."""
    answer = refusal(403, "no_certificate", "id-42", FIREFOX, "iot.example.com")
    text = answer.body.decode()
    assert 403 == answer.status
    assert "This site needs your certificate" in text
    assert "What you can do" in text
    assert "id-42" in text
    assert "iot.example.com" in text


def test_json_has_the_class_and_the_request_id() -> None:
    """What a program needs, and nothing of the reason in full."""
    answer = refusal(403, "certificate_revoked", "id-42", b"*/*", "iot.example.com")
    expected = {
        "status": 403,
        "reason": "certificate_revoked",
        "title": "Your certificate has been revoked",
        "detail": words_for(403, "certificate_revoked").sentence,
        "host": "iot.example.com",
        "request_id": "id-42",
    }
    assert expected == json.loads(answer.body)
    assert (b"Content-Type", b"application/json") in answer.headers


@pytest.mark.parametrize("accept", [FIREFOX, b""])
def test_headers(accept: bytes) -> None:
    """Never stored, never sniffed, never framed, and of the length they say."""
    answer = refusal(403, "policy_denied", "id", accept, "a.example")
    headers = dict(answer.headers)
    assert len(answer.headers) == len(headers)
    assert b"no-store" == headers[b"Cache-Control"]
    assert b"nosniff" == headers[b"X-Content-Type-Options"]
    assert b"frame-ancestors 'none'" in headers[b"Content-Security-Policy"]
    assert str(len(answer.body)).encode() == headers[b"Content-Length"]
    assert b"Accept" == headers[b"Vary"]


def test_the_policy_allows_the_style_of_the_page_and_nothing_else() -> None:
    """The hash is of what stands between the tags; nothing is fetched from anywhere."""
    answer = refusal(403, "policy_denied", "id", FIREFOX, "a.example")
    style = re.search(rb"<style>(.*)</style>", answer.body, re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1]).digest()).decode()
    policy = dict(answer.headers)[b"Content-Security-Policy"].decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert not re.search(rb"https?:|//|src=|href=|<script|style=|@import|url\(", answer.body)


def test_overload_says_when_to_come_back() -> None:
    """503 with Retry-After; other answers without."""
    assert b"Retry-After" in dict(refusal(503, "overloaded", "id", b"", "a").headers)
    assert b"Retry-After" not in dict(refusal(502, "origin_unreachable", "id", b"", "a").headers)


def test_every_reason_of_an_identity_has_words_of_its_own() -> None:
    """A class without words would tell a person nothing."""
    assert {reason.value for reason in Reason if reason.value} <= WORDS.keys()


@pytest.mark.parametrize(("status", "title"), [(405, "Method Not Allowed"), (799, "The request")])
def test_an_unknown_class_gets_the_words_of_the_status(status: int, title: str) -> None:
    """No class can make the edge fail to answer."""
    assert words_for(status, "something new").title.startswith(title)
    assert json.loads(refusal(status, "something new", "id", b"", "a").body)["status"] == status


@pytest.mark.parametrize("reason", sorted(WORDS))
def test_words_are_whole_sentences(reason: str) -> None:
    """Titles have no full stop, everything else ends with one."""
    words = words_for(403, reason)
    assert not words.title.endswith(".")
    assert all(line.endswith(".") for line in (words.sentence, *words.advice))


@given(st.text(), st.text(), st.binary(max_size=80), st.sampled_from([FIREFOX, b"*/*"]))
def test_nothing_hostile_gets_into_the_body(
    host: str, request_id: str, junk: bytes, accept: bytes
) -> None:
    """Host and id come out as they went in, as text; no Accept raises."""
    prefers_page(junk)
    answer = refusal(403, "policy_denied", request_id, accept, host)
    if accept == FIREFOX:
        reference = refusal(403, "policy_denied", "", accept, "")
        for mark in (b"<", b">", b'"'):
            assert reference.body.count(mark) == answer.body.count(mark)
        if host.isprintable() and len(host) <= 255:
            assert host in unescape(answer.body.decode("ascii"))
    else:
        document = json.loads(answer.body)
        assert (host[:255], request_id) == (document["host"], document["request_id"])
