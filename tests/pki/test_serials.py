"""Serial numbers in hexadecimal and decimal: never one for the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsedge.errors import ConfigurationError, PkiError
from mtlsedge.pki.serials import Base, SerialReader, hexadecimal, read_serials

READ = SerialReader().read
BIG = 0x2F2E8D48365CFE1958A7583F6D651DA9DAF2711B


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4AF3109C", 0x4AF3109C),
        ("4a:f3:10:9c", 0x4AF3109C),
        ("0x10", 0x10),
        ("0X10", 0x10),
        ("12:34", 0x1234),
        ("serial=1234", 0x1234),
        ("Serial Number: 0a", 0x0A),
        ("7", 7),
        ("269360707912760819629365988503807129450334810395", BIG),
    ],
)
def test_what_can_only_be_one_number_is_read(text: str, expected: int) -> None:
    """As OpenSSL, browsers and cfssl write them."""
    assert expected == READ(text)


@pytest.mark.parametrize("text", ["10", "12345678", "72623859790382856", "1234567890123456"])
def test_what_could_be_either_is_refused_with_the_remedy(text: str) -> None:
    """Digits alone, short enough to be both."""
    with pytest.raises(PkiError, match=f"could be hexadecimal or decimal: write 0x{text}"):
        READ(text)


def test_the_operator_or_the_ledger_settles_it() -> None:
    """By option, or because only one of the two was issued."""
    assert 0x10 == SerialReader(base=Base.HEX).read("10")
    assert 10 == SerialReader(base=Base.DECIMAL).read("10")
    assert 0x10 == SerialReader({0x10}).read("10")
    assert 10 == SerialReader({10}).read("10")
    with pytest.raises(PkiError, match="could be"):
        SerialReader({0x10, 10}).read("10")
    with pytest.raises(PkiError, match="is hexadecimal, and --decimal"):
        SerialReader(base=Base.DECIMAL).read("1F")


@pytest.mark.parametrize("text", ["", "x", "1,2", "-5", "0x", "1:234", "1 2", "é", "١٢", "12-34"])
def test_what_is_no_serial_is_refused(text: str) -> None:
    """cfssl makes 0 of such a thing."""
    with pytest.raises(PkiError, match="is not a serial number"):
        READ(text)


@pytest.mark.parametrize(
    "text", ["F" * 41, "8" + "0" * 60, "f" * 40, "1" * 5000, "0x" + "f" * 5000]
)
def test_what_is_too_long_is_refused(text: str) -> None:
    """RFC 5280 §4.1.2.2 has 20 octets."""
    with pytest.raises(PkiError, match="longer than a serial number can be"):
        READ(text)


@pytest.mark.parametrize("text", ["0", "0x0", "00:00"])
def test_zero_is_refused_unless_insisted_on(text: str) -> None:
    """It is what a mistaken reading makes of a serial."""
    with pytest.raises(PkiError, match="insist with --force"):
        READ(text)
    assert 0 == SerialReader(zero=True).read(text)


def test_a_file_names_every_bad_line() -> None:
    """With its number; comments and repetitions are no lines of their own."""
    data = b"\xef\xbb\xbf# mine\n0x10\n\n0x10 # again\nAB\n"
    assert [0x10, 0xAB] == read_serials("s.txt", data, SerialReader())
    with pytest.raises(ConfigurationError) as caught:
        read_serials("s.txt", b"nonsense\n0x10\n10\n\xff\n", SerialReader())
    places = [problem.where for problem in caught.value.problems]
    assert ["s.txt: line 1", "s.txt: line 3", "s.txt: line 4"] == places


@given(st.integers(min_value=1, max_value=2**159 - 1))
def test_no_reading_is_ever_wrong(serial: int) -> None:
    """Written either way, a serial is read as itself or refused."""
    for written, base in ((hexadecimal(serial), Base.HEX), (str(serial), Base.DECIMAL)):
        assert serial == SerialReader(base=base).read(written)
        try:
            assert serial == READ(written)
        except PkiError as error:
            assert "could be" in str(error)


def test_a_comment_ends_where_its_line_does() -> None:
    """And not where a subject's name in it has what else may end a line."""
    data = "0xA1 # CN=mallory\u2028 0xB2 \x85 0xC3 \x0c 0xD4\r\n0xE5\r\n".encode()
    assert [0xA1, 0xE5] == read_serials("serials.txt", data, SerialReader())
