"""Texts by their width on a terminal, where a letter may take two cells, or none."""

from __future__ import annotations

import textwrap

from rich.cells import cell_len


def cell_width(text: str) -> int:
    """Return the number of a terminal's cells that a text takes, if it is printable.

    >>> cell_width("half"), cell_width("模型"), cell_width("👩\u200d🔬"), cell_width("e\u0301")
    (4, 4, 2, 1)
    """
    return cell_len(text)


def padded(text: str, width: int) -> str:
    """Return a text with spaces after it, so that it takes at least `width` cells.

    >>> padded("模型", 6) + "|"
    '模型  |'
    """
    return text + " " * (width - cell_width(text))


def shortened(text: str, width: int) -> str:
    """Return a text without its middle, where it takes more than `width` cells.

    What tells names apart is often at the end.

    >>> shortened("poly decay 0/50, frequency 100", 20)
    'poly dec…equency 100'
    """
    if cell_width(text) <= width:
        return text
    end = (width - 1) * 3 // 5
    start = 0
    while cell_width(text[: start + 1]) <= width - 1 - end:
        start += 1
    rest = len(text)
    while cell_width(text[rest - 1 :]) <= end:
        rest -= 1
    while rest < len(text) and cell_width(text[rest]) == 0:  # an accent without its letter
        rest += 1
    return f"{text[:start]}…{text[rest:]}"


def wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of at most `width` cells, all but the first indented by two spaces.

    >>> wrapped("半分: training failed: the loss became nan", 20)
    ['半分: training', '  failed: the loss', '  became nan']
    """
    # To textwrap every character is one wide; a mark before those of two cells makes up for it.
    marked = "".join(f"\0{char}" if cell_width(char) == 2 else char for char in text)
    lines = textwrap.wrap(marked, width, subsequent_indent="  ")
    return [line.replace("\0", "") for line in lines]
