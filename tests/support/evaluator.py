"""Services that a verifier asks: an evaluator by Cloudflare's published contract, and an OPA.

The evaluator follows what its example worker does (workers-access-external-auth-example): it
takes the edge's keys from ``/cdn-cgi/access/certs``, checks the token that was posted, and
answers with one of its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from support.http_service import HTTPService, QuietHandler

Answer = Callable[[dict[str, Any]], object]


class Service(HTTPService):
    """An HTTP service whose answers are by path, and may take their time.

    Attributes:
        gets, posts: the answers to each method.
        delay: seconds before each answer to a POST.
        asked: the paths that were asked for, in order.
        token: what everybody has to show; 401 without it.
    """

    def __init__(self) -> None:
        self.gets: dict[str, Answer] = {}
        self.posts: dict[str, Answer] = {}
        self.delay = 0.0
        self.asked: list[str] = []
        self.token = ""
        service = self

        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(service.gets, {})

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                self._answer(service.posts, json.loads(self.rfile.read(length)))

            def _answer(self, answers: dict[str, Answer], asked: dict[str, Any]) -> None:
                service.asked.append(self.path)
                time.sleep(service.delay if answers is service.posts else 0.0)
                answer = answers[self.path](asked)
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                wanted = f"Bearer {service.token}" if service.token else None
                self.send_response(200 if self.headers["Authorization"] == wanted else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        super().__init__(Handler)


class Evaluator(Service):
    """An evaluator whose business logic is ``admits``, of the claims it was sent.

    ``bend`` changes what it would answer, for the tests in which it is somebody else.
    """

    def __init__(self, access_keys: Callable[[], dict[str, Any]]) -> None:
        """``access_keys`` fetches the key set of the edge."""
        super().__init__()
        self.admits: Callable[[dict[str, Any]], bool] = lambda claims: True
        self.bend: Callable[[dict[str, Any]], dict[str, Any]] = lambda answer: answer
        self.signing = self.published = RSAKey.generate_key(2048, {"kid": "first"})
        self.gets["/keys"] = lambda _: {"keys": [self.published.as_dict(private=False)]}
        self.posts["/"] = self.evaluate
        self._access_keys = access_keys

    @property
    def spec(self) -> dict[str, str]:
        """The rule's two URLs."""
        return {"evaluate_url": f"{self.url}/", "keys_url": f"{self.url}/keys"}

    def rotate(self, kid: str) -> None:
        """Sign with a new key, and publish that one only."""
        self.signing = self.published = RSAKey.generate_key(2048, {"kid": kid})

    def evaluate(self, asked: dict[str, Any]) -> object:
        keys = KeySet.import_key_set(self._access_keys())  # type: ignore[arg-type]
        claims = jwt.decode(asked["token"], keys, ["RS256"]).claims
        now = int(time.time())
        assert now <= claims["exp"], "the edge sent an expired token"
        answer = {"success": False, "iat": now, "exp": now + 60, "nonce": claims["nonce"]}
        if self.admits(claims):
            answer["success"] = True
        header = {"alg": "RS256", "kid": self.signing.kid}
        return {"token": jwt.encode(header, self.bend(answer), self.signing)}
