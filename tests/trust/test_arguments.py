"""What stands after the colon: pairs, quotes, files, and the terms that every verifier takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsedge.errors import BadVerifier
from mtlsedge.trust.arguments import quoted, read_arguments, split_arguments, the_one
from mtlsedge.trust.terms import Terms, take_terms
from mtlsedge.trust.verifiers import checked_spec, help_verifier, make_verifier, whole_spec

DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ("a=1,a=2", ["1", "2"]),
        ("a=1\\,2", ["1,2"]),
        ('a="1,2"', ["1,2"]),
        ('a="1,2",a=3', ["1,2", "3"]),
        ('a=x"1,2"y', ["x1,2y"]),
        ('a="say \\"no\\", twice"', ['say "no", twice']),
        ('a="C:\\\\x"', ["C:\\x"]),
        ('a=" x "', [" x "]),
        ("a= x ", ["x"]),
        ("a=b=c", ["b=c"]),
        ('a=\\"', ['"']),
    ],
)
def test_values_are_read_as_they_are_meant(spec: str, values: list[str]) -> None:
    """Quotes and backslashes, as in a shell."""
    assert values == [value for _, value in read_arguments(spec, ("a",))]


@pytest.mark.parametrize("spec", ['a="1', "a=1\\", 'a="1\\"', "a", "a=", '""=x', "=x", "a=1,,a=2"])
def test_what_does_not_end_or_is_no_pair_is_refused(spec: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(BadVerifier):
        read_arguments(spec, ("a",))


@given(st.lists(st.text(min_size=1), min_size=1))
def test_whatever_is_quoted_is_read_as_it_was(values: list[str]) -> None:
    """Any text at all, in any number."""
    values = [value for value in values if value.strip()] or ["x"]
    spec = ",".join(f"a={quoted(value)}" for value in values)
    assert values == [value for _, value in read_arguments(spec, ("a",))]


@given(st.text())
def test_any_text_is_taken_apart_or_refused(text: str) -> None:
    """And put together it is the same."""
    try:
        pieces = split_arguments(text)
    except BadVerifier:
        return
    assert text == ",".join(pieces)


def test_a_key_that_may_stand_once() -> None:
    """And has a default, or has not."""
    pairs = (("a", "1"), ("b", "2"), ("b", "3"))
    assert ("1", "x") == (the_one(pairs, "a"), the_one(pairs, "c", "x"))
    with pytest.raises(BadVerifier, match="b= stands 2 times"):
        the_one(pairs, "b")
    with pytest.raises(BadVerifier, match="c= is missing"):
        the_one(pairs, "c")


def test_terms_are_taken_out_wherever_they_stand() -> None:
    """What is left is the verifier's own, as it was written."""
    terms, rest = take_terms('timeout=250ms,dns="a,b",on_error=allow,uri=x,concurrency=2,queue=0')
    assert Terms(0.25, "allow", 2, 0) == terms
    assert 'dns="a,b",uri=x' == rest
    assert (Terms(), "whatever, you like") == take_terms("whatever, you like")


@pytest.mark.parametrize(
    ("spec", "seconds"), [("2s", 2.0), ("1m", 60.0), ("0", 0.0), ("1.5", 1.5), ("1h", 3600.0)]
)
def test_timeouts_are_durations(spec: str, seconds: float) -> None:
    """As elsewhere in the configuration."""
    assert seconds == take_terms(f"timeout={spec}")[0].timeout


@pytest.mark.parametrize(
    "spec",
    [
        "timeout=long",
        "timeout=2h",
        "timeout=-1",
        "timeout=nan",
        "timeout=1e9",
        "timeout=",
        "on_error=maybe",
        "concurrency=0",
        "concurrency=x",
        "concurrency=²",
        "queue=-1",
        "queue=99999999",
        "timeout=1s,timeout=2s",
    ],
)
def test_terms_that_cannot_be_are_refused(spec: str) -> None:
    """With the verifier's name."""
    with pytest.raises(BadVerifier, match="chain: "):
        make_verifier(f"chain:{spec}")


def test_terms_are_no_business_of_the_factory() -> None:
    """``chain`` takes no arguments, and these are none of its."""
    made = make_verifier("chain:timeout=1s")
    assert ("chain", 1.0) == (made.name, made.terms.timeout)


def test_long_arguments_live_in_a_file(tmp_path: Path) -> None:
    """One to a line, with comments; terms too. Relative to the configuration."""
    (tmp_path / "doors.pins").write_text(
        f"# the doors\n\n  sha256={DIGEST},\nspki={DIGEST}\ntimeout=1s\n"
    )
    whole = checked_spec("pin:@doors.pins", tmp_path)
    assert f"pin:sha256={DIGEST},spki={DIGEST},timeout=1s" == whole
    assert 1.0 == make_verifier(whole).terms.timeout


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "doors.pins cannot be read"),
        (b"\xff", "doors.pins cannot be read"),
        (b"x" * (1024 * 1024 + 1), "has more than"),
        (b"", "needs at least one"),
        (b"sha256=xyz", "not a SHA-256"),
    ],
)
def test_a_file_of_arguments_that_cannot_be_used(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    """By its path, before anything is served."""
    if content is not None:
        (tmp_path / "doors.pins").write_bytes(content)
    with pytest.raises(BadVerifier, match=words):
        checked_spec("pin:@doors.pins", tmp_path)


def test_a_string_without_files_stays_as_it_is(tmp_path: Path) -> None:
    """To the letter: rules are compared by it."""
    spec = 'san:dns= a.example , uri="x:y"'
    assert spec == whole_spec(spec, tmp_path)


def test_help_of_one_verifier() -> None:
    """With what every verifier takes, and where it is from."""
    text = help_verifier("pin")
    assert text.startswith("pin:sha256=HEX")
    assert "on_error" in text
    assert text.endswith("from mtlsedge.trust.pin_verifier.PinFactory\n")
    with pytest.raises(BadVerifier, match="there is no verifier 'pim'"):
        help_verifier("pim")
