"""Names and messages as text: what a terminal would obey, or not show, as escapes."""

from __future__ import annotations

import re
from unicodedata import category

# Controls, formats (those of the direction of writing among them), lone surrogates, private and
# unassigned characters, ends of lines and paragraphs.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # formats that emoji and some scripts are written with


def printable(text: str) -> str:
    r"""Return a text on one line, with escapes for all that is no visible character.

    Letters of all scripts, spaces and emoji stay as they are, and so do backslashes.

    >>> print(printable("\x1b[31mred\x1b[0m\n\u202e模型 🚀"))
    \x1b[31mred\x1b[0m\n\u202e模型 🚀
    """
    if text.isprintable():
        return text
    return "".join(
        escaped(char) if category(char) in _HIDDEN and char not in _JOINERS else char
        for char in text
    )


def printable_lines(text: str) -> str:
    r"""Return a text of several lines, each as `printable` gives it.

    >>> print(printable_lines("The file raises:\n  line 3: \x07"))
    The file raises:
      line 3: \x07
    """
    return "\n".join(map(printable, text.split("\n")))


def one_line(text: str) -> str:
    r"""Return a sentence, such as an attempt's status, on one line: its lines joined by spaces.

    >>> print(one_line("training failed: no rows\nsee \x1b[1mabove"))
    training failed: no rows see \x1b[1mabove
    """
    return printable(re.sub(r"[\t-\r]", " ", text))


def escaped(text: str) -> str:
    r"""Return a text in ASCII, with Python's escapes for all other characters.

    >>> print(escaped("a\té🚀"))
    a\t\xe9\U0001f680
    """
    return text.encode("unicode_escape").decode("ascii")
