"""Texts on a terminal: what is escaped, how wide it is, where it is cut."""

from __future__ import annotations

import re
from ast import literal_eval
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimgrid.report.text_widths import cell_width, padded, shortened, wrapped
from trimgrid.terminal_text import one_line, printable, printable_lines

ESCAPE = re.compile(r"\\(x..|u....|U.{8}|[tnr])")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("poly decay 0/50, lr 1e-3", "poly decay 0/50, lr 1e-3"),
        (r"C:\new\x1b", r"C:\new\x1b"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x00\x07\x08\x7f", r"\x00\x07\x08\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("two\nlines\r\n\tand a tab", r"two\nlines\r\n\tand a tab"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\u202aa\u202b\u202c\u202d\u202e", r"\u202aa\u202b\u202c\u202d\u202e"),
        ("\u2066\u2067\u2068\u2069", r"\u2066\u2067\u2068\u2069"),
        ("\u200e\u200f\u061c", r"\u200e\u200f\u061c"),
        ("\ud800x\udcff", r"\ud800x\udcff"),
        ("\ufeff\u200b\u00ad\ue000\uffff", r"\ufeff\u200b\xad\ue000\uffff"),
        ("模型 한글 שלום سلام", "模型 한글 שלום سلام"),
        ("👩‍🔬 ❤️ 🇩🇪 e\u0301 a\u00a0b\u3000c", "👩‍🔬 ❤️ 🇩🇪 e\u0301 a\u00a0b\u3000c"),
        ("", ""),
    ],
)  # fmt: skip
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = printable(text)
    kinds = {category(char) for char in shown if char not in "\u200c\u200d"}
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    shown.encode("utf-8")
    if "\\" not in text:
        assert ESCAPE.sub(lambda found: str(literal_eval(f"'{found[0]}'")), shown) == text


def test_lines_stay_lines_and_sentences_become_one() -> None:
    assert printable_lines("a\n  b\x1b\r\nc") == "a\n  b\\x1b\\r\nc"
    assert one_line("a\n  b\x1b\r\nc\td") == r"a   b\x1b  c d"


# By hand, as terminals show them.
@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("abc", 3),
        ("模型", 4),
        ("한글", 4),
        ("ｱ", 1),
        ("שלום", 4),
        ("🚀", 2),
        ("👨‍👩‍👧", 2),
        ("👍🏽", 2),
        ("❤️", 2),
        ("1️⃣", 2),
        ("🇩🇪", 2),
        ("e\u0301", 1),
        ("", 0),
    ],
)
def test_widths(text: str, cells: int) -> None:
    assert cell_width(text) == cells
    assert padded(text, 9) == text + " " * (9 - cells)
    assert padded(text, 0) == text


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [
        ("poly decay 0/50, frequency 100", 20, "poly dec…equency 100"),
        ("half", 4, "half"),
        ("halves", 5, "ha…es"),
        ("模型模型模型", 12, "模型模型模型"),
        ("模型模型模型", 11, "模型…型模型"),
        ("模型模型模型", 8, "模…模型"),
        ("👨‍👩‍👧" * 5, 6, "👨‍👩‍👧…👨‍👩‍👧"),
        ("abcde\u0301", 4, "ab…e\u0301"),
        ("abcd\u0301e", 3, "a…e"),
        ("n" * 10000, 1, "…"),
    ],
)
def test_shortened(text: str, width: int, short: str) -> None:
    assert shortened(text, width) == short


@given(st.text("ab模🚀\u200d\ufe0f\u0301 é", max_size=30), st.integers(1, 20))
def test_what_is_shortened_fits(text: str, width: int) -> None:
    short = shortened(text, width)
    assert cell_width(short) <= width
    assert short == text or "…" in short


@given(st.text("ab模🚀 -é", max_size=60), st.integers(6, 30))
def test_what_is_wrapped_fits(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert all(cell_width(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
