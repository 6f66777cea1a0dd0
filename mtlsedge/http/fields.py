"""What may a header field do? Every field of a message is read once, here, before it goes on.

Invariant 4 of the design: whatever the edge itself can say to an origin about a client is
deleted from what the client says. Names are compared by their letters and digits alone, since
origins have taken ``_``, ``.`` and any case for ``-``.

What goes with that and was not meant: nothing that a client of ours should be able to say. The
prefixes take Cloudflare's ``Cf-Access-*``, ``Cf-Cert-*``, ``Cf-Client-Cert-*`` and
``Cf-Connecting-*`` and every ``X-Forwarded-*``; of Cloudflare's others, ``Cf-Ray``, ``Cf-Visitor``
and ``Cf-Ipcountry`` pass, and so does a name of punctuation alone.

The framing fields are read here as well as in the parser, and each reader refuses what it does
not know for certain: a leniency in one is caught by the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from mtlsedge.http.altsvc import without_h3
from mtlsedge.http.forwarding import EDGE_CERTIFICATE_HEADERS
from mtlsedge.http.messages import Headers, Refuse, RequestHead, ResponseHead

_LOWER = bytes(range(256)).lower()
_PUNCTUATION = bytes(byte for byte in range(256) if not chr(byte).isalnum() or byte > 127)
_LENGTH = re.compile(rb"[0-9]{1,18}\Z")
_OWS = b" \t"


def letters(name: bytes) -> bytes:
    """A field name's letters and digits, lower case: what a careless reader goes by."""
    return name.translate(_LOWER, _PUNCTUATION)


# cfcert: also what Cloudflare's managed transform adds and the edge does not set. An origin that
# came from there may trust these.
_FORGEABLE_PREFIXES = (b"cfaccess", b"cfcert", b"cfclientcert", b"cfconnecting", b"xforwarded")
_FORGEABLE = frozenset(letters(name) for name in EDGE_CERTIFICATE_HEADERS) | {
    b"forwarded",
    b"xrequestid",
    # Tokens travel in a cookie of the second name; the first is what RFC 2965 read cookies from.
    b"cookie2",
    b"cfauthorization",
    # What other edges call the client's address. Ours is X-Forwarded-For.
    b"xrealip",
    b"cfpseudoipv4",
    b"trueclientip",
    b"clientip",
    b"xclientip",
    b"xclusterclientip",
    b"xoriginalforwardedfor",
    # Frameworks that take host or path from these would answer for another than was judged.
    b"xhost",
    b"xoriginalhost",
    b"xoriginalurl",
    b"xrewriteurl",
    b"xoriginaluri",
    # CGI programs would take it for HTTP_PROXY.
    b"proxy",
}
_HOP_BY_HOP = frozenset(
    {
        b"keepalive",
        b"proxyconnection",
        b"proxyauthorization",
        b"proxyauthenticate",
        b"http2settings",
    }
)

_Reader = Callable[[RequestHead, bytes], None]


def _read_host(head: RequestHead, value: bytes) -> None:
    if head.host is not None:
        raise Refuse(400, "malformed", "more than one Host field", close=True)
    head.host = value


def _read_length(head: RequestHead, value: bytes) -> None:
    _frame(head)
    if not _LENGTH.match(value):
        raise Refuse(400, "malformed", "Content-Length is not a number", close=True)
    head.length = int(value)


def _read_transfer_encoding(head: RequestHead, value: bytes) -> None:
    _frame(head)
    if value.lower() != b"chunked" or head.version != "1.1":
        raise Refuse(400, "malformed", "a Transfer-Encoding other than chunked", close=True)
    head.length = None


def _frame(head: RequestHead) -> None:
    if head.framed:
        raise Refuse(400, "malformed", "more than one field says how long the body is", close=True)
    head.framed = True


def _read_upgrade(head: RequestHead, value: bytes) -> None:
    head.upgrade = head.upgrade + b", " + value if head.upgrade else value


def _read_expect(head: RequestHead, value: bytes) -> None:
    if value.lower() != b"100-continue":
        raise Refuse(417, "malformed", "an Expect other than 100-continue", close=True)
    head.expects_continue = head.version == "1.1"


def _read_te(head: RequestHead, value: bytes) -> None:
    head.trailers = b"trailers" in tokens(value)


def _read_cookie(head: RequestHead, value: bytes) -> None:
    head.cookies.append(value)


def _read_client_id(head: RequestHead, value: bytes) -> None:
    head.client_id = value.decode("latin-1")


def _read_client_secret(head: RequestHead, value: bytes) -> None:
    head.client_secret = value.decode("latin-1")


_REQUEST_READERS: dict[bytes, _Reader] = {
    b"host": _read_host,
    b"content-length": _read_length,
    b"transfer-encoding": _read_transfer_encoding,
    b"upgrade": _read_upgrade,
    b"expect": _read_expect,
    b"te": _read_te,
    b"cookie": _read_cookie,
    b"cf-access-client-id": _read_client_id,
    b"cf-access-client-secret": _read_client_secret,
}
_READ_LETTERS = frozenset(letters(name) for name in _REQUEST_READERS) | {b"connection"}
_WITHHELD = _FORGEABLE | _HOP_BY_HOP | _READ_LETTERS


def tokens(value: bytes) -> list[bytes]:
    """The lower-case members of a comma-separated list, without parameters."""
    return [
        token for part in value.split(b",") if (token := part.split(b";")[0].strip(_OWS).lower())
    ]


def withheld(name: bytes) -> bool:
    """Whether a client's field of this name never goes on to an origin."""
    key = letters(name)
    return key in _WITHHELD or key.startswith(_FORGEABLE_PREFIXES)


def read_request(method: str, target: bytes, version: str, fields: Headers) -> RequestHead:
    """Read the fields of a request, each once.

    Raises:
        Refuse: fields that contradict each other, or that nobody should send.
    """
    head = RequestHead(method, target, version, keep_alive=version == "1.1")
    kept = head.headers
    connection: list[bytes] = []
    for name, value in fields:
        key = letters(name)
        if key not in _WITHHELD and not key.startswith(_FORGEABLE_PREFIXES):
            kept.append((name, value.strip(_OWS)))
            continue
        exact = name.lower()
        if exact == b"connection":
            connection += tokens(value)
        elif (reader := _REQUEST_READERS.get(exact)) is not None:
            reader(head, value.strip(_OWS))
    if connection:
        _read_connection(head, connection)
    else:
        head.upgrade = b""
    if head.expects_continue and not head.has_body:
        head.expects_continue = False
    return head


def _read_connection(head: RequestHead, options: list[bytes]) -> None:
    """RFC 9110 §7.6.1: the fields that Connection names end here too."""
    if b"close" in options:
        head.keep_alive = False
    elif b"keep-alive" in options:
        head.keep_alive = True
    if b"upgrade" not in options or head.version != "1.1":
        head.upgrade = b""  # RFC 9110 §7.8: not from HTTP/1.0
    named = {letters(option) for option in options}
    head.headers = [field for field in head.headers if letters(field[0]) not in named]


def read_trailers(fields: Headers) -> Headers:
    """The trailers of a request that may go on: none that is forgeable or about framing."""
    return [
        (name, value.strip(_OWS))
        for name, value in fields
        if not withheld(name) and letters(name) not in _NEVER_TRAILERS
    ]


_NEVER_TRAILERS = frozenset(
    {b"contentlength", b"contenttype", b"contentencoding", b"authorization", b"setcookie",
     b"cachecontrol", b"trailer", b"location"}
)  # fmt: skip

_RESPONSE_ENDS_HERE = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"te",
        b"transfer-encoding",
        b"content-length",
        b"upgrade",
        b"alt-svc",
    }
)


class BadResponse(Exception):
    """The origin answered something that cannot be passed on: a 502."""


def read_response(
    status: int, reason: bytes, version: str, fields: Headers, *, bodiless: bool
) -> ResponseHead:
    """Read the fields of a response.

    ``bodiless`` is for answers that have no body whatever they say (HEAD, 1xx, 204, 304).

    Raises:
        BadResponse: the framing is not to be trusted.
    """
    head = ResponseHead(status, reason, [], reusable=version == "1.1")
    connection: list[bytes] = []
    chunked = False
    if status < 100 or version not in ("1.1", "1.0"):
        raise BadResponse(f"the origin answered with status {status} of HTTP {version}")
    for name, value in fields:
        exact = name.lower()
        if exact not in _RESPONSE_ENDS_HERE:
            head.headers.append((name, value.strip(_OWS)))
        elif exact == b"alt-svc":
            _keep_alt_svc(head.headers, name, value)
        elif exact == b"connection":
            connection += tokens(value)
        elif exact == b"content-length":
            head.declared = _declared_length(head, value.strip(_OWS))
        elif exact == b"transfer-encoding":
            chunked = _is_chunked(value, version, repeated=chunked)
        elif exact == b"upgrade":
            head.upgrade = head.upgrade + b", " + value if head.upgrade else value
    _apply_connection(head, connection, version)
    _apply_framing(head, chunked, bodiless)
    return head


def _apply_framing(head: ResponseHead, chunked: bool, bodiless: bool) -> None:
    if chunked and head.declared:
        raise BadResponse("the origin used Content-Length and Transfer-Encoding both")
    if head.status < 200 and head.status != 101 and (chunked or head.declared):
        raise BadResponse("the origin sent an interim response with a body")
    if bodiless:
        head.length = 0
    elif head.declared and not chunked:
        head.length = int(head.declared)
    elif not chunked:
        head.until_close = True
        head.reusable = False


def _keep_alt_svc(headers: Headers, name: bytes, value: bytes) -> None:
    kept = without_h3(value)
    if kept is not None:
        headers.append((name, kept))


def _declared_length(head: ResponseHead, value: bytes) -> bytes:
    if head.declared or not _LENGTH.match(value):
        raise BadResponse("the origin's Content-Length is not one number")
    return value


def _is_chunked(value: bytes, version: str, *, repeated: bool) -> bool:
    if value.strip(_OWS).lower() != b"chunked" or repeated:
        raise BadResponse("the origin used a Transfer-Encoding other than chunked")
    if version != "1.1":
        raise BadResponse("the origin used Transfer-Encoding in HTTP/1.0")
    return True


def _apply_connection(head: ResponseHead, options: Iterable[bytes], version: str) -> None:
    named = set(options)
    if b"close" in named:
        head.reusable = False
    elif version != "1.1":
        head.reusable = b"keep-alive" in named
    gone = named - {b"close", b"keep-alive", b"upgrade"}
    if gone:
        head.headers = [field for field in head.headers if field[0].lower() not in gone]


def response_trailers(fields: Headers) -> Headers:
    """The trailers of a response that may go on."""
    return [
        (name, value.strip(_OWS))
        for name, value in fields
        if letters(name) not in _NEVER_TRAILERS and name.lower() not in _RESPONSE_ENDS_HERE
    ]
