"""The line of a picture that tells which attempts it does not show."""

from __future__ import annotations

from collections.abc import Sequence

from trimgrid.report.text_widths import shortened
from trimgrid.terminal_text import printable

_MOST_NAMES = 8
_NAME_LETTERS = 60


def left_out(why: str, names: Sequence[str]) -> str:
    """Return why some attempts are not shown, and which; nothing where there are none.

    >>> left_out("Not measured", ["half", "most"])
    'Not measured: half, most'
    """
    if not names:
        return ""
    told = [shortened(printable(name), _NAME_LETTERS) for name in names[:_MOST_NAMES]]
    more = f", and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{why}: {', '.join(told)}{more}"
