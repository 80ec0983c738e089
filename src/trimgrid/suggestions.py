"""What a mistyped word was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a question for the nearest known word, with a space after it, or nothing.

    >>> nearest("learning_rat", ["seed", "learning_rate"])
    "Did you mean 'learning_rate'? "
    """
    by_lower = {name.lower(): name for name in sorted(known, reverse=True)}
    near = get_close_matches(word.lower(), by_lower, n=1)
    return f"Did you mean {by_lower[near[0]]!r}? " if near else ""


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the end of an error's message on an unknown word: the nearest known, and all known.

    >>> suggestion("learning_rat", ["seed", "learning_rate"])
    "Did you mean 'learning_rate'? Known are: learning_rate, seed."
    >>> suggestion("x", ["seed"])
    'Known are: seed.'
    """
    known = sorted(known)
    return f"{nearest(word, known)}Known are: {', '.join(known)}."
