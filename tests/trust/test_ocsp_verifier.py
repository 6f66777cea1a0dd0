"""The ocsp verifier: what a responder says of a certificate, as a verdict."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from ocsp_making import REVOKED
from ocsp_making import answer as ocsp_answer
from trust_pki import authority, client, p256
from twisted.internet.defer import Deferred
from verifier_services import FakeEdge, Service, started

from mtlsedge.errors import VerifierFailed
from mtlsedge.identity import PeerChain
from mtlsedge.trust.ocsp_verifier import OcspFactory

ROOT = authority("Root", key=p256(0))
LEAF = client("asked", ROOT, key=p256(1))
ASKED = PeerChain(LEAF.read, (), (LEAF.read, ROOT.read))


def ocsp(answer: Any) -> tuple[Any, FakeEdge]:
    edge = FakeEdge(Service(lambda *_: answer))
    spec = f"url=http://ocsp{next(_numbers)}.example.com"  # what is known is kept by it
    return started(OcspFactory().makeVerifier(spec), edge), edge


_numbers = count()


def says(verifier: Any) -> Any:
    got: list[Any] = []
    Deferred.fromCoroutine(verifier.verify(ASKED, "a.example")).addBoth(got.append)
    return got[0]


def test_a_responder_that_calls_it_good_is_believed_and_remembered() -> None:
    """Over plain http: it is the signature that counts."""
    verifier, edge = ocsp(ocsp_answer(LEAF, ROOT))
    assert says(verifier).accepted
    assert says(verifier).accepted
    assert 1 == len(edge.service.asked)
    verifier.stopService()
    assert edge.service.closed
    says(verifier).trap(VerifierFailed)


def test_a_responder_that_calls_it_revoked_is_a_no() -> None:
    """A verdict, and no error."""
    verifier, _ = ocsp(ocsp_answer(LEAF, ROOT, status=REVOKED))
    verdict = says(verifier)
    assert not verdict.accepted
    assert "is revoked by OCSP" in verdict.reason


@pytest.mark.parametrize(
    "answer",
    [
        ocsp_answer(LEAF, ROOT, signer=authority("Other", key=p256(5))),
        b"nonsense",
        (500, b""),
        (404, b"none"),
    ],
)
def test_where_nobody_can_tell_it_is_an_error(answer: Any) -> None:
    """For ``on_error`` to say what then."""
    verifier, _ = ocsp(answer)
    says(verifier).trap(VerifierFailed)
