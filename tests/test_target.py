"""A request path is read once, and every other reading that an origin may have is known."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlsedge import target
from mtlsedge.errors import BadTarget
from mtlsedge.target import RequestPath, canonical, read_path


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"/alpha/b", "/alpha/b"),
        (b"/alpha/", "/alpha/"),
        (b"/%61lpha", "/alpha"),
        (b"/%7Euser", "/~user"),
        (b"/a%2fb", "/a%2Fb"),
        (b"/a%20b", "/a%20b"),
        (b"/%40x", "/%40x"),
        (b"/./alpha", "/alpha"),
        (b"/x/../alpha", "/alpha"),
        (b"/x/%2e%2E/alpha", "/alpha"),
        (b"/x/.%2e/alpha", "/alpha"),
        (b"/../../alpha", "/alpha"),
        (b"/alpha/..", "/"),
        (b"/alpha/.", "/alpha/"),
        (b"/alpha/b/..", "/alpha/"),
        (b"/a//b", "/a//b"),
        (b"/a//../b", "/a/b"),
        (b"//a", "//a"),
        (b"/...", "/..."),
        (b"/%25%32%46", "/%252F"),
    ],
)
def test_the_canonical_path(raw: bytes, path: str) -> None:
    """RFC 3986 §6.2.2, and nothing more: what is not equal for certain stays different."""
    assert path == read_path(raw).path


@pytest.mark.parametrize(
    ("raw", "query"),
    [(b"/a?b", "?b"), (b"/a?", "?"), (b"/a", ""), (b"/a?%zz?/../;", "?%zz?/../;")],
)
def test_the_query_is_left_as_it_was_sent(raw: bytes, query: str) -> None:
    """No policy looks at it, and it makes no reading."""
    assert RequestPath("/a", query) == read_path(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"*",
        b"alpha",
        b"http://iot.example.com/",
        b"/a b",
        b"/a#b",
        b"/a?b#c",
        b"/a\tb",
        b"/a\nb",
        b"/a\n",
        b"/a\x00",
        b"/caf\xc3\xa9",
        b"/a%",
        b"/a%4",
        b"/a%zz",
        b"/a%u002f",
        b"/a%25u002f",
        b"/a%00",
        b"/a%0d%0aX:y",
        b"/a%7f",
        b"/a%2500",
        b"/a%252500",
        b"/a%25%30%30",
        b"/a%25252525252f",
        b"/%25%32%35%32%35%32%35%32%46",
        b"/admin%00.png",
    ],
)
def test_a_target_that_no_policy_can_judge_is_refused(raw: bytes) -> None:
    """Broken, with something hidden in it, or encoded past belief."""
    with pytest.raises(BadTarget):
        read_path(raw)


@pytest.mark.parametrize(
    ("raw", "readings"),
    [
        (b"/alpha/b.c/d-e_f~g", []),
        (b"/alpha/a%20b/c", []),
        (b"/100%25", []),
        (b"/odata/$metadata", []),
        (b"/users:batchGet", []),
        (b"/%40x/a+b", []),
        (b"/caf%C3%A9", []),
        (b"/x/../alpha", []),
        (b"/a%2Fb", ["/a/b"]),
        (b"/a\\b", ["/a/b"]),
        (b"/a//b", ["/a/b"]),
        (b"//a/b", ["/a/b", "/b"]),
        (b"/a;b=c", ["/a"]),
        (b"/a;b/c", ["/a", "/a/c"]),
        (b"/a%3Fb", ["/a"]),
        (b"/a%23b", ["/a"]),
        (b"/a.", ["/a"]),
        (b"/a%20", ["/a"]),
        (b"/a%20.%20/b", ["/a/b"]),
        (b"/a::$DATA", ["/a"]),
        (b"/a%3Ax:%24DATA", ["/a"]),
        (b"/a%3A$i30:$INDEX_ALLOCATION/b", ["/a/b"]),
        (b"/a%2541", ["/aA"]),
        (b"/a%252541", ["/a%2541", "/aA"]),
        (b"/p/..%2Fa", ["/a", "/p/../a"]),
        (b"/p/%252e%252e/a", ["/a", "/p/../a"]),
        (b"/p/..%20/a", ["/a", "/p//a", "/p/../a"]),
        (b"/p/..;/a", ["/", "/a", "/p/..", "/p/../a"]),
        (b"/p%C0%AF%C0%AE%C0%AE/a", ["/a"]),
        (b"/p/%EF%BC%8E%EF%BC%8E%EF%BC%8Fa", ["/a"]),
        (b"/p/%E2%80%A5/a", ["/a", "/p/../a"]),
    ],
)
def test_what_origins_may_take_a_path_for(raw: bytes, readings: list[str]) -> None:
    """All of these where there are few, and these among others where habits meet."""
    found = read_path(raw).readings
    assert set(readings) <= set(found)
    assert bool(readings) == bool(found)
    assert read_path(raw).path not in found
    assert sorted(set(found)) == list(found)


# Small models of how real origins get from a request target to the segments that they look up.


def _resolved(segments: list[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return tuple(kept)


def _split(text: str) -> list[str]:
    return text[1:].split("/")


def _merged(text: str) -> str:
    return re.sub("/+", "/", text)


def nginx(path: str) -> tuple[str, ...]:
    """Decodes everything once, then merges slashes and resolves dots."""
    return _resolved(_split(_merged(unquote(path, "latin-1"))))


def apache(path: str) -> tuple[str, ...]:
    """``AllowEncodedSlashes NoDecode``: splits and resolves, and decodes what it has then."""
    return tuple(unquote(segment, "latin-1") for segment in _resolved(_split(_merged(path))))


def tomcat(path: str) -> tuple[str, ...]:
    """Takes parameters off, decodes, turns backslashes, merges and resolves."""
    bare = re.sub(";[^/]*", "", path)
    return _resolved(_split(_merged(unquote(bare, "latin-1").replace("\\", "/"))))


def servlet_filter(path: str) -> tuple[str, ...]:
    """Decodes first and takes parameters off afterwards; leaves dots to the file system."""
    return tuple(_split(re.sub(";[^/]*", "", unquote(path, "latin-1"))))


def iis(path: str) -> tuple[str, ...]:
    """Decodes twice, turns backslashes, resolves, and lets Windows shorten names."""
    text = unquote(unquote(path, "latin-1"), "latin-1").replace("\\", "/")
    names = [re.sub(r":[^/]*[$].*", "", segment) for segment in _resolved(_split(_merged(text)))]
    return tuple(name if name in (".", "..") else name.rstrip(" .") for name in names)


def node(path: str) -> tuple[str, ...]:
    """``new URL(request.url, base).pathname``, each segment decoded by the router."""
    text = path.replace("\\", "/")
    if text.startswith("//"):
        text = "/" + text.lstrip("/").partition("/")[2]
    return tuple(unquote(segment, "latin-1") for segment in _resolved(_split(text)))


def front_controller(path: str) -> tuple[str, ...]:
    """A PHP script that decodes the whole target, and only then splits off the query."""
    text = re.split("[?#]", unquote(path, "latin-1"))[0] or "/"
    return _resolved(_split(text))


def wsgi(path: str) -> tuple[str, ...]:
    """``PATH_INFO`` is decoded once; the router merges slashes and knows no dots."""
    return tuple(_split(_merged(unquote(path, "latin-1"))))


def proxy_before_tomcat(path: str) -> tuple[str, ...]:
    """A proxy that decodes, resolves and forwards what it has, before a container."""
    return tomcat("/" + "/".join(nginx(path)))


ORIGINS = [
    nginx,
    apache,
    tomcat,
    servlet_filter,
    iis,
    node,
    front_controller,
    wsgi,
    proxy_before_tomcat,
]

_pieces = st.sampled_from(
    [
        *("/", "//", ".", "..", "/..", "/../", "a", "admin", "public", "\\", ";", ";x=1", "..;"),
        *("%2e", "%252e", "%2f", "%252F", "%25252f", "%5c", "%255C", "%3b", "%253B", "%3F", "%23"),
        *("%20", "%2520", "%25", "%61", "%2561", "::$DATA", ":x:$DATA", "%c3%a9", "$", "+", "%40"),
    ]
)
_targets = st.lists(_pieces, max_size=8).map(lambda pieces: "/" + "".join(pieces))


def _read_or_none(raw: str) -> RequestPath | None:
    try:
        return read_path(raw.encode())
    except BadTarget:
        return None


@settings(max_examples=300, deadline=None)
@given(_targets)
def test_what_a_real_origin_sees_is_among_the_readings(raw: str) -> None:
    """The origin gets the canonical path; policy has weighed whatever it makes of that."""
    read = _read_or_none(raw)
    if read is None:
        return
    known = {
        tuple(unquote(segment, "latin-1") for segment in _split(reading))
        for reading in (read.path, *read.readings)
    }
    views = {origin.__name__: origin(read.path) for origin in ORIGINS}
    assert {} == {name: view for name, view in views.items() if view not in known}


@given(st.one_of(_targets, st.text(st.characters(min_codepoint=33, max_codepoint=126))))
def test_the_canonical_path_is_its_own_canonical_path(raw: str) -> None:
    """Reading it again changes nothing, and finds the same rivals."""
    read = _read_or_none("/" + raw)
    if read is not None:
        assert RequestPath(read.path, "", read.readings) == read_path(read.path.encode())
        assert read.path == canonical(read.path)


@given(_targets)
def test_the_canonical_path_never_climbs(raw: str) -> None:
    """No dot segment is left in it, in whatever spelling of a dot."""
    read = _read_or_none(raw)
    if read is not None:
        assert not {".", ".."} & {unquote(segment) for segment in read.path.split("/")}


_HOSTILE = [
    *(b"%2f", b"%252f", b"%25252f", b"%2525252f", b"%25", b"%2525", b"%41", b"%20", b"%20/"),
    *(b".", b"../", b"..;/", b";", b";/", b"/", b"a/", b"\\", b":", b":$", b"$", b"%3F", b"%c3%a9"),
    *(b"%252f..;x//%5c%3f+%20/", b"a;x//%5c%20./", b"%25%32%35", b"%EF%B7%BA", b"e%CC%81"),
]


@pytest.mark.parametrize("unit", _HOSTILE)
def test_a_hostile_path_costs_a_bounded_amount_of_work(
    unit: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in characters given to habits: some passes over 8 KiB, not one for each way."""
    spent = 0

    def counted(habit: Callable[[str], str]) -> Callable[[str], str]:
        def count(path: str) -> str:
            nonlocal spent
            spent += len(path)
            return habit(path)

        return count

    habits = tuple((needed, counted(habit)) for needed, habit in target._HABITS)
    monkeypatch.setattr(target, "_HABITS", habits)
    _read_or_none("/" + (unit * 8192)[:8190].decode())
    room = target._ROOM + 8192
    assert spent <= room * len(target._HABITS)


def test_a_path_that_can_be_read_in_too_many_ways_is_refused() -> None:
    """Memory and time are bounded by refusing, never by overlooking a reading."""
    with pytest.raises(BadTarget, match="too many ways"):
        read_path(b"/" + b"%252f..;x//%5c%3f%20/" * 20)


@given(st.lists(st.sampled_from(["%2F", "%5C", "/", ";a", "..", "%3B", "%25", "2F", "%20"])))
def test_no_path_has_more_readings_than_can_be_weighed_in_passing(parts: list[str]) -> None:
    """They are made, and looked up one by one, before anything is decided."""
    read = _read_or_none("/" + "".join(parts))
    assert read is None or len(read.readings) <= 32


def test_long_targets_are_not_remembered() -> None:
    """A cache must not grow with what strangers send."""
    before = target._read_cached.cache_info().currsize
    read_path(b"/" + b"a" * 4096)
    assert before == target._read_cached.cache_info().currsize


@pytest.mark.parametrize("raw", [b"/a;b", b"/a%2Fb", b"/a//b", b"/a.", b"/a.?q", b"/./a", b"/a\\b"])
def test_readings_are_not_remembered(raw: bytes) -> None:
    """Nor with their readings: of a short path they may have 32 KiB."""
    before = target._read_cached.cache_info().currsize
    assert read_path(raw) == target._read(raw)
    assert before == target._read_cached.cache_info().currsize


@given(st.binary(max_size=24).map(lambda rest: b"/" + rest))
def test_whatever_is_remembered_has_no_readings(raw: bytes) -> None:
    """What may have some is told by its bytes, before it is read."""
    if target._MAY_RIVAL.search(raw) is None:
        read = _read_or_none(raw.decode("latin-1"))
        assert read is None or not read.readings
