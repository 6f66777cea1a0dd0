"""A real edge that asks services: an evaluator by Cloudflare's contract, and a decision service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from support import certs, tables
from support.client import Client
from support.edge import Edge
from support.evaluator import Evaluator, Service
from support.origin import CountingOrigin
from support.ports import wait_until

NAME = "iot.example.com"
CLOSED = "http://127.0.0.1:1/"


@pytest.fixture
def evaluator(origin: CountingOrigin) -> Iterator[Evaluator]:
    """Knows the edge's keys as everybody does, by asking for them."""
    port: list[int] = []

    def access_keys() -> dict[str, Any]:
        keys = Client(certs.client()).get(port[0], NAME, "/cdn-cgi/access/certs").json()
        return {"keys": keys["keys"]}

    running = Evaluator(access_keys)
    running.ports = port  # type: ignore[attr-defined]
    with running:
        yield running


def serve(
    start_edge: Callable[..., Edge], origin: CountingOrigin, rule: dict[str, Any], **more: Any
) -> Edge:
    """An edge whose one policy has this rule."""
    table = tables.one_host(NAME, origin.url, **more)
    table["application"] = [tables.application(NAME, tables.policy(include=[rule]))]
    edge = start_edge(table)
    wait_until(lambda: "serving generation 1" in edge.log(), 20, "the edge to serve")
    return edge


def status(edge: Edge, common_name: str = "device-1") -> int:
    return Client(certs.client(common_name)).get(edge.port, NAME).status


@pytest.fixture
def edge(
    start_edge: Callable[..., Edge],
    origin: CountingOrigin,
    evaluator: Evaluator,
    request: pytest.FixtureRequest,
) -> Edge:
    """Whose rule waits for the evaluator for long, or as long as the test says."""
    timeout = getattr(request, "param", "30s")
    rule = {"external_evaluation": {**evaluator.spec, "timeout": timeout}}
    edge = serve(start_edge, origin, rule)
    evaluator.ports.append(edge.port)  # type: ignore[attr-defined]
    return edge


def test_an_evaluator_decides_by_the_identity(edge: Edge, evaluator: Evaluator) -> None:
    """Signed both ways, each request anew, on one connection too."""
    evaluator.admits = lambda claims: claims["identity"]["common_name"] == "device-1"
    assert [200, 403] == [status(edge, "device-1"), status(edge, "device-2")]
    with Client(certs.client("device-1")).connect(edge.port, NAME) as connection:
        assert [200, 200] == [connection.get(NAME).status for _ in range(2)]
        evaluator.admits = lambda claims: False
        assert 403 == connection.get(NAME).status
    assert "the evaluator does not accept it" not in edge.log()


def test_an_evaluator_may_rotate_its_keys(edge: Edge, evaluator: Evaluator) -> None:
    """The next answer names the new one, and it is looked up."""
    assert 200 == status(edge)
    evaluator.rotate("second")
    wait_until(lambda: status(edge) == 200, 15, "the new key to count")


@pytest.mark.parametrize(
    "bend",
    [
        lambda answer: {**answer, "nonce": "an-old-one"},
        lambda answer: {**answer, "exp": answer["exp"] - 600, "iat": answer["iat"] - 600},
        lambda answer: {**answer, "success": "true"},
    ],
    ids=["replayed", "stale", "nearly true"],
)
def test_an_answer_that_is_not_to_this_question_now_is_a_no(
    edge: Edge, evaluator: Evaluator, bend: Any
) -> None:
    """However well it is signed."""
    evaluator.bend = bend
    assert 403 == status(edge)


def test_an_answer_that_somebody_else_signed_is_a_no(edge: Edge, evaluator: Evaluator) -> None:
    """Under the id of the key that is published."""
    evaluator.signing = RSAKey.generate_key(2048, {"kid": "first"})
    assert 403 == status(edge)


def test_an_unsigned_answer_is_a_no(edge: Edge, evaluator: Evaluator) -> None:
    """Nothing that is no token lets anyone in."""
    evaluator.posts["/"] = lambda asked: {"success": True, "token": "e30.e30."}
    assert 403 == status(edge)
    evaluator.posts["/"] = lambda asked: {"success": True}
    assert 403 == status(edge)


@pytest.mark.parametrize("edge", ["1s"], indirect=True)
def test_a_slow_evaluator_is_a_no(edge: Edge, evaluator: Evaluator) -> None:
    """After the rule's own timeout; and it is asked again the next time."""
    evaluator.delay = 3.0
    assert 403 == status(edge)
    evaluator.delay = 0.0
    wait_until(lambda: status(edge) == 200, 10, "an answer in time")


@pytest.mark.parametrize(("on_error", "expected"), [("deny", 403), ("allow", 200)])
def test_what_is_done_without_a_service_is_the_operators_word(
    start_edge: Callable[..., Edge], origin: CountingOrigin, on_error: str, expected: int
) -> None:
    """A refusal unless they said otherwise."""
    edge = serve(start_edge, origin, {"verifier": f"http:url={CLOSED},on_error={on_error}"})
    assert expected == status(edge)
    assert "verifier http failed" in edge.log() or on_error == "allow"


def test_a_decision_service_decides_and_tells_attributes(
    start_edge: Callable[..., Edge], origin: CountingOrigin
) -> None:
    """As Open Policy Agent's data API; asked once for as long as the answer holds."""
    with Service() as opa:
        seen: list[dict[str, Any]] = []

        def decide(asked: dict[str, Any]) -> object:
            seen.append(asked["input"])
            good = asked["input"]["certificate"]["common_name"] == "device-1"
            attributes = {"department": "radiology"} if good else {}
            return {"result": {"allow": True, "attributes": attributes, "cache_for": 60}}

        opa.posts["/v1/data/edge"] = decide
        table = tables.one_host(NAME, origin.url, forward_attributes=["department"])
        table["client_ca"][0]["verifier"] = f"http:url={opa.url}/v1/data/edge"
        rule = {"attribute": "department=radiology"}
        table["application"] = [tables.application(NAME, tables.policy(include=[rule]))]
        edge = start_edge(table)
        wait_until(lambda: "serving generation 1" in edge.log(), 20, "the edge to serve")
        assert [200, 200, 403] == [status(edge, f"device-{n}") for n in (1, 1, 2)]
        assert 2 == len(seen)
        assert NAME == seen[0]["host"]
        assert "radiology" == origin.requests[0].header("Cf-Cert-Attribute-Department")
        assert 2 == origin.count


def test_a_service_behind_a_token_is_shown_it(
    start_edge: Callable[..., Edge], origin: CountingOrigin, tmp_path: Path
) -> None:
    """The one that the file has now; without it nobody is let in, and no log has it."""
    file = tmp_path / "opa.token"
    file.write_text("first-secret\n")
    with Service() as opa:
        opa.posts["/"] = lambda asked: {"result": True}
        opa.token = "first-secret"
        edge = serve(start_edge, origin, {"verifier": f"http:url={opa.url}/,token_file={file}"})
        assert 200 == status(edge)
        opa.token = "second-secret"
        assert 403 == status(edge)
        new = file.with_suffix(".new")
        new.write_text("second-secret\n")
        new.rename(file)
        wait_until(lambda: status(edge) == 200, 10, "the new token to count")
        lines = str(edge.access_log())
    assert "the verifier 'http' failed: the service answered 401" in lines
    assert "secret" not in lines + edge.log()


def test_an_answer_without_end_is_cut(
    start_edge: Callable[..., Edge], origin: CountingOrigin
) -> None:
    """No service fills the edge's memory."""
    with Service() as opa:
        opa.posts["/"] = lambda asked: json.dumps({"result": True, "more": "x" * 2**20}).encode()
        edge = serve(start_edge, origin, {"verifier": f"http:url={opa.url}/"})
        assert 403 == status(edge)
        assert "has more than" in edge.log()
