"""The most specific application governs alone, and an ambiguous path is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_values import application
from twisted.web.resource import IResource

from mtlsedge.errors import BadTarget, ConfigurationError
from mtlsedge.model import Group, RuleSet
from mtlsedge.policy import paths
from mtlsedge.policy.question import AmbiguousPath
from mtlsedge.policy.tree import HostPolicy, PolicyTree
from mtlsedge.target import RequestPath, read_path

HOST = "iot.example.com"


def tree_of(*patterns: str) -> PolicyTree:
    """Applications named by their path patterns, each on the same host."""
    return PolicyTree([application(pattern, HOST + pattern) for pattern in patterns])


def governing(tree: PolicyTree, path: str, host: str = HOST) -> str:
    """The name of the application that governs a path as a client sends it, or ""."""
    found = tree.for_host(host).governing(read_path(path.encode()))
    return found.name if found else ""


@pytest.mark.parametrize(
    ("pattern", "covered", "not_covered"),
    [
        ("/", ["/", "/a", "/a/b", "//"], []),
        ("/*", ["/", "/a", "/a/b"], []),
        ("/alpha", ["/alpha", "/alpha/", "/alpha/b/c"], ["/", "/alphab", "/alph", "/b/alpha"]),
        ("/alpha/*", ["/alpha/", "/alpha/b", "/alpha/b/c"], ["/alpha", "/alphab", "/"]),
        ("/a/*/c", ["/a/b/c", "/a/b/c/d", "/a//c"], ["/a/c", "/a/b", "/a/b/d", "/a/b/b/c"]),
        ("/v*/x", ["/v1/x", "/v/x", "/v1.2/x/y"], ["/w1/x", "/v1", "/v1/y", "/v/1/x"]),
        ("/*.js", ["/a.js", "/.js", "/a.js/b"], ["/a.jsx", "/js", "/a/b.js"]),
        ("/a*a", ["/aa", "/aba"], ["/a", "/ab"]),
        ("/%40x", ["/@x", "/%40x"], ["/%2540y"]),
        ("/a|b", ["/a%7Cb", "/a%7cb"], ["/ab"]),
        ("/v%2A", ["/v*"], ["/v1"]),
        ("/alpha", ["/%61lpha", "/x/../alpha", "/./alpha", "/../alpha"], ["/alpha/.."]),
    ],
)
def test_a_pattern_covers(pattern: str, covered: list[str], not_covered: list[str]) -> None:
    """Each row is one pattern with paths that are under it and paths that are not."""
    tree = tree_of(pattern)
    exact = tree.for_host(HOST)
    for path in covered:
        assert pattern == getattr(exact.find(read_path(path.encode()).path), "name", ""), path
    for path in not_covered:
        assert exact.find(read_path(path.encode()).path) is None, path


@pytest.mark.parametrize(
    ("patterns", "path", "governs"),
    [
        (["/", "/alpha"], "/alpha/b", "/alpha"),
        (["/", "/alpha"], "/beta", "/"),
        (["/alpha", "/alpha/b"], "/alpha/b/c", "/alpha/b"),
        (["/alpha", "/alpha/*"], "/alpha/", "/alpha/*"),
        (["/alpha", "/alpha/*"], "/alpha", "/alpha"),
        (["/alpha/*", "/alpha/b"], "/alpha/b", "/alpha/b"),
        (["/a/*/c", "/a/b"], "/a/b/c", "/a/*/c"),
        (["/a/*/c", "/a/b"], "/a/b/d", "/a/b"),
        (["/a/*/c/d", "/a/b/c"], "/a/b/c/x", "/a/b/c"),
        (["/*/b", "/a/*"], "/a/b", "/a/*"),
        (["/*/b", "/a*/*"], "/a/b", "/a*/*"),
        (["/v*", "/v1*"], "/v12", "/v1*"),
        (["/v*", "/*2"], "/v12", "/v*"),
        (["/v*", "/*12"], "/v12", "/*12"),
        (["/x*/b", "/*/bc"], "/xa/bc", "/*/bc"),
        (["/*", "/"], "/", "/*"),
    ],
)
def test_the_most_specific_pattern_governs(patterns: list[str], path: str, governs: str) -> None:
    """The deepest first, then literal before wildcard, from the left; in any order of entry."""
    for order in (patterns, patterns[::-1]):
        assert governs == governing(tree_of(*order), path)


# A reference that is slow and plain: every pattern against the path, one by one.


def _fits(pattern: str, segment: str) -> bool:
    head, star, tail = pattern.partition("*")
    if not star:
        return pattern == segment
    fits_ends = segment.startswith(head) and segment.endswith(tail)
    return fits_ends and len(head) + len(tail) <= len(segment)


def _rank(pattern: list[str]) -> tuple[object, ...]:
    """Larger is more specific."""
    segments = [("*" not in s, len(s.replace("*", "")), s.find("*")) for s in pattern]
    return (len(pattern), *segments)


def _by_brute_force(patterns: set[str], path: str) -> str:
    segments = path[1:].split("/")
    covering = []
    for pattern in patterns:
        parts = [] if pattern == "/" else pattern[1:].split("/")
        pairs = zip(parts, segments, strict=False)
        if len(parts) <= len(segments) and all(_fits(p, s) for p, s in pairs):
            covering.append((_rank(parts), pattern))
    return max(covering)[1] if covering else ""


_pattern_segment = st.sampled_from(["a", "b", "ab", "ba", "*", "a*", "*a", "a*b", "ab*", "*ab"])
_patterns = st.sets(
    st.lists(_pattern_segment, max_size=4).map(lambda segments: "/" + "/".join(segments)),
    max_size=8,
)
_paths = st.lists(st.sampled_from(["a", "b", "ab", "ba", "aab", "c"]), min_size=1, max_size=6).map(
    lambda segments: "/" + "/".join(segments)
)


@given(_patterns, st.lists(_paths, min_size=1, max_size=5))
def test_the_tree_agrees_with_brute_force(patterns: set[str], asked: list[str]) -> None:
    """Also where a path leads through several patterns at once."""
    tree = tree_of(*sorted(patterns))
    for path in asked:
        assert _by_brute_force(patterns, path) == governing(tree, path), path


@pytest.mark.parametrize(
    ("path", "reading"),
    [
        ("/public/..;/admin", "/admin"),
        ("/public/%2e%2e%2fadmin", "/admin"),
        ("/public/%252e%252e/admin", "/admin"),
        ("/public/..%5cadmin", "/admin"),
        ("/public/..\\admin", "/admin"),
        ("/%61dmin%2f..%2fpublic", "/public"),
        ("//admin", "/admin"),
        ("/admin;x", "/admin"),
        ("/admin%3bx", "/admin"),
        ("/admin%20", "/admin"),
        ("/admin.", "/admin"),
        ("/admin::$DATA", "/admin"),
        ("/admin%3Fx", "/admin"),
        ("//public/admin", "/admin"),
        ("/%2561dmin", "/admin"),
        ("/public%c0%af..%c0%afadmin", "/admin"),
        ("/Admin", "loosely"),
        ("/ADMIN/x", "loosely"),
        ("/%EF%BD%81dmin", "loosely"),
        ("/my+app", "loosely"),
    ],
)
def test_a_path_that_an_origin_may_take_for_anothers_is_refused(path: str, reading: str) -> None:
    """Public things are open and the rest is not: no spelling gets from one to the other."""
    tree = tree_of("/", "/public", "/admin", "/my%20app")
    with pytest.raises(AmbiguousPath) as caught:
        governing(tree, path)
    assert isinstance(caught.value, BadTarget)
    if reading == "loosely":
        assert () == read_path(path.encode()).readings
    else:
        assert reading in read_path(path.encode()).readings


@pytest.mark.parametrize(
    ("path", "governs"),
    [
        ("/admin/a%2fb", "/admin"),
        ("/admin/a;b=c//d", "/admin"),
        ("/files/a%2Fb%20c", ""),
        ("/Files", ""),
        ("/admin/..%5cadmin", "/admin"),
        ("/admin/%2e%2e%2fadmin", "/admin"),
    ],
)
def test_a_path_is_refused_only_where_the_difference_matters(path: str, governs: str) -> None:
    """Readings that fall under the same application, or all under none, hurt nobody."""
    assert governs == governing(tree_of("/admin"), path)


def test_spellings_that_the_operator_told_apart_are_told_apart() -> None:
    """Who configures /api and /API has an origin that heeds case."""
    tree = tree_of("/api", "/API", "/")
    assert "/api" == governing(tree, "/api")
    assert "/API" == governing(tree, "/API/x")
    with pytest.raises(AmbiguousPath):
        governing(tree, "/Api")


def test_one_application_at_two_domains_is_never_ambiguous_with_itself() -> None:
    """What matters is who governs, not by which of its patterns."""
    both = application("both", f"{HOST}/a", f"{HOST}/b")
    tree = PolicyTree([both])
    assert "both" == governing(tree, "/a/..%2fb")
    with pytest.raises(AmbiguousPath):
        governing(tree, "/c/..%2fb")


def test_readings_are_weighed_also_when_they_come_from_elsewhere() -> None:
    """And the message names both applications and the reading."""
    host = tree_of("/a", "/b").for_host(HOST)
    with pytest.raises(AmbiguousPath, match=r"'/a' .* '/b' .* '/b/x'"):
        host.governing(RequestPath("/a", "", ("/a/c", "/b/x")))
    with pytest.raises(AmbiguousPath, match="no application"):
        host.governing(RequestPath("/a", "", ("/c",)))


@pytest.mark.parametrize("path", ["/x/y%2F..%2Fz", "/x;a/z", "/x/%2e%2e;/x/z", "/x/q/..%2Fz"])
def test_readings_are_weighed_down_to_the_deepest_pattern(path: str) -> None:
    """Each reaches ``/x/z`` for some origin; in their first segment all are alike."""
    tree = tree_of("/x/z", "/x")
    with pytest.raises(AmbiguousPath):
        tree.for_host(HOST).governing(read_path(path.encode()))


def test_readings_that_no_pattern_tells_apart_are_looked_up_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hostile path has dozens of them, and is judged before anybody has shown a right."""
    looked_up: list[str] = []
    find = HostPolicy.find
    monkeypatch.setattr(
        HostPolicy, "find", lambda self, path: looked_up.append(path) or find(self, path)
    )
    request_path = read_path(b"/a/b/c;d%2Fe%5Cf")
    assert len(request_path.readings) > 4
    tree_of("/a", "/x/y").for_host(HOST).governing(request_path)
    assert 2 == len(looked_up)


def test_an_application_of_the_exact_host_shuts_out_the_wildcards() -> None:
    """However specific the wildcard's path is, where the exact one covers it at all."""
    tree = PolicyTree(
        [
            application("wild", "*.example.com/a/b/c"),
            application("wild root", "*.example.com"),
            application("exact", "iot.example.com/a"),
        ]
    )
    assert "exact" == governing(tree, "/a/b/c")
    assert "wild root" == governing(tree, "/b")
    assert "wild" == governing(tree, "/a/b/c", "other.example.com")
    assert "wild root" == governing(tree, "/a/b", "other.example.com")
    assert "" == governing(tree, "/a", "a.b.example.com")
    assert "" == governing(tree, "/a", "example.org")


def test_a_domain_of_two_applications_is_refused_with_every_other_problem() -> None:
    """All at once, each with its application."""
    with pytest.raises(ConfigurationError) as caught:
        PolicyTree(
            [
                application("a", f"{HOST}/x"),
                application("b", f"{HOST}/x"),
                application("c", f"{HOST}/y*z*"),
            ],
            [Group("unused", RuleSet(()))],
        )
    places = [problem.where for problem in caught.value.problems]
    assert ["application 'b'", "application 'c'"] == places


def test_ten_thousand_applications_are_one_look_up_for_each_segment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cost is counted in nodes looked at, whatever their number."""
    many = [f"/app-{number}/{end}" for number in range(5000) for end in ("x", "v*")]
    tree = tree_of(*many, "/")
    looked_at = []
    below = paths.PatternNode.below

    def counting(node: paths.PatternNode, segment: bytes):  # type: ignore[no-untyped-def]
        looked_at.append(segment)
        return below(node, segment)

    monkeypatch.setattr(paths.PatternNode, "below", counting)
    assert "/app-4321/v*" == governing(tree, "/app-4321/v7/deep/er")
    assert 4 == len(looked_at)  # two segments, read exactly and loosely


def test_a_path_looked_up_before_is_not_walked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One dictionary look-up; long paths and paths with readings are not kept."""
    tree = tree_of("/a")
    governing(tree, "/a/b")
    monkeypatch.setattr(paths, "getChildForRequest", None)
    assert "/a" == governing(tree, "/a/b")
    for walked in ("/a/" + "b" * 300, "/a/b;c"):
        with pytest.raises(TypeError):
            governing(tree, walked)


def test_wildcard_texts_of_one_shape_are_one_look_up() -> None:
    """Ten thousand patterns with a ``*`` at the same place are no list to go through."""
    root = paths.PatternNode()
    for number in range(10_000):
        root.enter(f"{number:04}*", paths.exactly)
    assert 1 == len(root._shapes)
    assert 1 == len(list(root.below(b"4321-x")))


@pytest.mark.parametrize("path", ["/a" * 4000, "/" * 8000, "/a/b" * 2000 + "/c"])
def test_a_very_deep_path_is_walked_no_deeper_than_the_patterns(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither recursion nor a list that is shifted four thousand times."""
    walked = []
    traverse = paths.getChildForRequest

    def watching(root, walk):  # type: ignore[no-untyped-def]
        walked.append(len(walk.postpath))
        return traverse(root, walk)

    monkeypatch.setattr(paths, "getChildForRequest", watching)
    tree = tree_of("/", "/*/*/x")
    assert "/" == governing(tree, path)
    assert max(walked) <= 3


def test_the_tree_is_made_of_resources_and_ends_where_the_patterns_do() -> None:
    """The standard traversal stops at a leaf, so nothing below the last pattern is looked at."""
    root = paths.PatternNode()
    root.enter("a", paths.exactly)
    place = paths.Place((root,), ())
    assert IResource.providedBy(place)
    assert not place.isLeaf
    assert place.getChild(b"a", None).isLeaf
    assert place.getChild(b"b", None).isLeaf
    assert {} == place.children  # nothing is remembered of what was asked for


def test_a_host_without_applications_has_a_policy_that_governs_nothing() -> None:
    """What then happens is the host's ``unprotected``."""
    assert PolicyTree([]).for_host(HOST).governing(RequestPath("/")) is None
