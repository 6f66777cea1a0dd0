"""One reading of a path, end to end: what policy judged is what the origin gets, or 400.

The origin's own readings are many; where they would fall under another application than the
one that was judged, the request is refused, and only there.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from support import certs
from support.client import Client, Connection
from support.edge import Edge
from support.origin import CountingOrigin
from support.tables import application, client_ca, host, policy

NAME = "iot.example.com"
EVERYONE = {"include": [{"everyone": True}]}


@pytest.fixture(scope="module")
def origin() -> Iterator[CountingOrigin]:
    with CountingOrigin() as running:
        yield running


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, origin: CountingOrigin) -> Iterator[Edge]:
    """/open lets everyone pass, /admin nobody; /v*/x and /team/* are patterns; the rest passes."""
    config = {
        "host": [host(NAME, upstream=origin.url, unprotected="pass")],
        "client_ca": [client_ca(NAME)],
        "application": [
            application(f"{NAME}/open", policy("bypass", **EVERYONE)),
            application(f"{NAME}/open/admin", policy("block", **EVERYONE)),
            application(f"{NAME}/admin", policy("block", **EVERYONE)),
            application(f"{NAME}/v*/x", policy("bypass", **EVERYONE)),
            application(f"{NAME}/team/*", policy("block", **EVERYONE)),
            application(f"{NAME}/files", policy("bypass", **EVERYONE)),
        ],
    }
    with Edge(tmp_path_factory.mktemp("edge"), config) as running:
        yield running


@pytest.fixture(scope="module")
def client() -> Client:
    return Client(certs.client())


@pytest.fixture
def connection(edge: Edge, client: Client) -> Iterator[Connection]:
    with client.connect(edge.port, NAME) as made:
        made.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield made


def ask(connection: Connection, raw: str) -> int:
    """The status for this request target, sent as it is."""
    return connection.request(f"GET {raw} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode()).status


def assert_refused(connection: Connection, origin: CountingOrigin, raw: str) -> None:
    """The answer is 400 and the last, and the origin hears nothing."""
    before = origin.count
    assert 400 == ask(connection, raw)
    assert connection.closed()
    assert before == origin.count


PASSED = [
    # what is sent, what the origin gets
    ("/open", "/open"),
    ("/open/", "/open/"),
    ("/open/a%2fb", "/open/a%2Fb"),
    ("/open/a%2Fb%3Bc", "/open/a%2Fb%3Bc"),
    ("/open/./a/../b", "/open/b"),
    ("/open/%2e/a/%2E%2e/b", "/open/b"),
    ("/%6fpen/%7Euser", "/open/~user"),
    ("/open/a//b", "/open/a//b"),
    ("/open/a;b=c", "/open/a;b=c"),
    ("/open/a\\b", "/open/a\\b"),
    ("/open/100%25", "/open/100%25"),
    ("/open/%e2%82%ac", "/open/%E2%82%AC"),
    ("/open?x=/../admin", "/open?x=/../admin"),
    ("/open?%2e%2e/%00", "/open?%2e%2e/%00"),
    ("/admin/../open/a", "/open/a"),
    ("/../open", "/open"),
    ("/v1/x", "/v1/x"),
    ("/v/x/y", "/v/x/y"),
    ("/team", "/team"),
    ("/elsewhere", "/elsewhere"),
    ("/openly", "/openly"),
    ("/files/a%20b", "/files/a%20b"),
]


@pytest.mark.parametrize(("raw", "got"), PASSED)
def test_what_passes_reaches_the_origin_in_canonical_form(
    connection: Connection, origin: CountingOrigin, edge: Edge, raw: str, got: str
) -> None:
    """The bytes that policy judged, and the same in the log."""
    before = origin.count
    assert 200 == ask(connection, raw)
    assert [got] == origin.targets[before:]
    request_id = origin.requests[-1].header("X-Request-Id")
    (line,) = (
        line for line in edge.access_log(count=origin.count) if line["request_id"] == request_id
    )
    assert got.partition("?")[0] == line["path"]


@pytest.mark.parametrize(
    "raw",
    ["/admin", "/admin/", "/admin/a", "/%61dmin", "/open/../admin", "/open/%2e%2e/admin",
     "/./admin/..;a/../../admin", "/open/admin", "/open/x/../admin/y", "/team/a", "/team/",
     "/admin?a=/open", "/admin/..%2fa/../b",
     "/open/;/../../admin", "/open/.%2e/admin"],
)  # fmt: skip
def test_what_is_denied_is_denied_by_the_path_it_leads_to(
    connection: Connection, origin: CountingOrigin, raw: str
) -> None:
    """403, or 400 where an origin may read it otherwise; never the origin."""
    before = origin.count
    assert ask(connection, raw) in (400, 403)
    assert before == origin.count


@pytest.mark.parametrize(
    "raw",
    [
        "/open/..%2fadmin", "/open/%2e%2e%2fadmin", "/open%2f..%2fadmin", "/open/..%5cadmin",
        "/open/..\\admin", "/open\\..\\admin", "/open%2fadmin", "/open/%252e%252e/admin",
        "/open/..%252fadmin", "/open/..;/admin", "/open/..;a=b/admin",
        "/open;/admin", "/open/;a/admin", "/open//admin", "//admin", "/%2fadmin", "//x/admin",
        "/open/x%2f..%2fadmin", "/open%3b/admin", "/admin%3fa", "/admin%23a", "/ADMIN", "/Admin/a",
        "/admin.", "/admin%20", "/open/%c0%ae%c0%ae/admin", "/open/..%c0%afadmin",
        "/open/%ef%bc%8e%ef%bc%8e/admin", "/%ef%bc%a1dmin", "/admin::$DATA",
        "/elsewhere/..%2fadmin", "/elsewhere/..;/open", "/team%2fa", "/v1%2fx", "/team;a/b",
    ],
)  # fmt: skip
def test_what_an_origin_may_take_for_another_applications_is_refused(
    connection: Connection, origin: CountingOrigin, raw: str
) -> None:
    """400, and the connection ends."""
    assert_refused(connection, origin, raw)


@pytest.mark.parametrize(
    "raw",
    ["/%", "/%2", "/%zz", "/open/%00", "/open/%2500", "/open/%0d%0aX:%20a", "/open/%250a",
     "/open/%7f", "/open/#a", "/open/%25252525252e", "/open/%25u002e", "open", "*"],
)  # fmt: skip
def test_what_no_path_should_hold_is_refused(
    connection: Connection, origin: CountingOrigin, raw: str
) -> None:
    """Whoever would govern it."""
    assert_refused(connection, origin, raw)


def test_no_header_says_another_path(connection: Connection, origin: CountingOrigin) -> None:
    """Frameworks that route by them would answer for a path that nobody judged."""
    lines = "".join(
        f"{name}: /admin\r\n"
        for name in ("X-Original-URL", "X_Original_URL", "X-Rewrite-URL", "X-Original-Uri",
                     "X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-Path")
    )  # fmt: skip
    request = f"GET /open HTTP/1.1\r\nHost: {NAME}\r\n{lines}\r\n".encode()
    assert 200 == connection.request(request).status
    assert b"admin" not in origin.requests[-1].head
