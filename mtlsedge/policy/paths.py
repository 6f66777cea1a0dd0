"""Which application governs a path? The path patterns of one host name, as resources.

A pattern covers the path it names and all below it. Of the patterns that cover a path the
deepest governs; of equally deep ones the most specific, segment by segment from the left: a
literal before any ``*``, then the longer literal text, then the longer text before the ``*``.

``*`` stands for any run of characters within one segment, the empty run too: ``/v*/x`` covers
``/v/x``; ``/alpha/*`` covers ``/alpha/``, whose last segment is empty, and not ``/alpha``.

Segments are compared as the bytes that they stand for, so that ``/%40x`` is ``/@x`` to policy
as it is to every origin; as ``twisted.web`` has it, a path is split first and unquoted then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast
from unicodedata import normalize
from urllib.parse import unquote_to_bytes

from twisted.web.resource import Resource, getChildForRequest

from mtlsedge.policy.application import CompiledApplication

Applications = tuple[CompiledApplication, ...]
_Shape = tuple[int, int]  # how much literal text stands before the '*' of a segment, and behind


def exactly(segment: bytes) -> bytes:
    """A segment as it is."""
    return segment


def loosely(segment: bytes) -> bytes:
    """A segment as the least particular origins read it.

    Letter case, full-width letters and decomposed accents make no difference to them (file
    systems of macOS and Windows, IIS, Express), nor ``+`` for a blank (form decoders).
    """
    segment = segment.replace(b"+", b" ")
    if segment.isascii():
        return segment.lower()
    text = segment.decode("utf-8", "surrogateescape").casefold()
    return normalize("NFKC", text).casefold().encode("utf-8", "surrogateescape")


class PatternNode:
    """One segment of the patterns: those that go on below it, and who begins here."""

    __slots__ = ("_literal", "_shapes", "_wild", "applications")

    def __init__(self) -> None:
        self.applications: Applications = ()
        self._literal: dict[bytes, PatternNode] = {}
        self._wild: dict[_Shape, dict[tuple[bytes, bytes], PatternNode]] = {}
        self._shapes: tuple[_Shape, ...] = ()

    @property
    def is_last(self) -> bool:
        """Whether no pattern goes on below."""
        return not self._literal and not self._wild

    def enter(self, pattern: str, fold: Callable[[bytes], bytes]) -> PatternNode:
        """The node for one more segment of a pattern, made if there is none yet."""
        before, star, behind = pattern.partition("*")
        head, tail = fold(unquote_to_bytes(before)), fold(unquote_to_bytes(behind))
        if not star:
            return self._literal.setdefault(head, PatternNode())
        shape = (len(head), len(tail))
        node = self._wild.setdefault(shape, {}).setdefault((head, tail), PatternNode())
        self._shapes = tuple(sorted(self._wild, key=lambda s: (-sum(s), -s[0])))
        return node

    def below(self, segment: bytes) -> Iterator[PatternNode]:
        """The nodes that a segment leads to, the most specific first."""
        literal = self._literal.get(segment)
        if literal is not None:
            yield literal
        length = len(segment)
        for head, tail in self._shapes:
            if head + tail <= length:
                texts = (segment[:head], segment[length - tail :])
                node = self._wild[head, tail].get(texts)
                if node is not None:
                    yield node


class Place(Resource):
    """A place in the tree that a path has led to.

    It stands for every pattern that may still match (``/a/*`` and ``/a/b`` after ``/a/b``), the
    most specific first, and holds the best application met so far. Nothing is remembered of
    where clients went: the tree does not grow with what they ask for.
    """

    def __init__(self, nodes: tuple[PatternNode, ...], applications: Applications) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._nodes = nodes
        self.applications = applications
        self.isLeaf = all(node.is_last for node in nodes)

    def getChild(self, path: bytes, request: object) -> Place:
        """The place one segment further down; the deeper application governs alone."""
        nodes = tuple(below for node in self._nodes for below in node.below(path))
        begins = next((node.applications for node in nodes if node.applications), None)
        return Place(nodes, begins or self.applications)


class _Walk:
    """The least that the standard traversal asks of a request."""

    __slots__ = ("postpath", "prepath")

    def __init__(self, postpath: list[bytes]) -> None:
        self.prepath: list[bytes] = []
        self.postpath = postpath


def pieces_of(path: str, depth: int) -> list[str]:
    """The segments of a path that patterns of this depth can tell apart; a long one costs no more.

    The path is split first and unquoted then.
    """
    return path[1:].split("/", depth)[:depth]


class PathTable:
    """The path patterns of one host name, for paths read with ``fold`` applied.

    Attributes:
        depth: the segments of the longest pattern. What lies deeper in a path makes no difference.
    """

    def __init__(self, fold: Callable[[bytes], bytes]) -> None:
        self._fold = fold
        self._root = PatternNode()
        self.depth = 0

    def add(self, pattern: str, application: CompiledApplication) -> Applications:
        """Enter a canonical pattern; returns the applications that begin there, this one too.

        Raises:
            ValueError: a segment has more than one ``*``.
        """
        segments = pattern[1:].split("/") if pattern != "/" else []
        node = self._root
        for segment in segments:
            if segment.count("*") > 1:
                raise ValueError(f"{pattern!r}: a segment of a path may have one '*'")
            node = node.enter(segment, self._fold)
        self.depth = max(self.depth, len(segments))
        if application not in node.applications:
            node.applications += (application,)
        return node.applications

    def find(self, path: str) -> Applications:
        """The applications of the most specific pattern that covers a path; () if none does."""
        if not self.depth:
            return self._root.applications
        walk = _Walk([self._fold(unquote_to_bytes(each)) for each in pieces_of(path, self.depth)])
        root = Place((self._root,), self._root.applications)
        place = getChildForRequest(root, walk)
        return cast(Place, place).applications
