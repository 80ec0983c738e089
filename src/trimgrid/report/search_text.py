"""What a search found, for terminals: the answer, the front, and what mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trimgrid.cells import size_label, size_unit
from trimgrid.report.run_table import attempt_lines, attempt_text
from trimgrid.report.text_widths import wrapped
from trimgrid.results import AttemptInfo
from trimgrid.terminal_text import printable

_LINE_WIDTH = 80


def answer_text(
    best: AttemptInfo, original: AttemptInfo | None, size: str, limit: str, error_name: str
) -> str:
    """Return the smallest attempt that is good enough; `limit` says in words what is.

    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> print(answer_text(half, None, "zipped_h5_size", "within 5 %", "mse").splitlines()[0])
    The smallest zipped .h5 within 5 %:
    """
    head = wrapped(f"The smallest {size_label(size)} {limit}:", _LINE_WIDTH)
    return "\n".join([*head, attempt_text(best, original, error_name)])


def learnt_text(
    attempts: Sequence[AttemptInfo],
    original: AttemptInfo | None,
    front: Sequence[AttemptInfo],
    importances: Mapping[str, Mapping[str, float]],
    size: str,
) -> str:
    """Return the front as a table, and in words how many there were and what mattered."""
    shown = [*([] if original is None else [original]), *front]
    what = f"{size_label(size)} and error"
    lines = [f"Of {len(attempts)} attempts no other beats these in both {what}:"]
    lines += ["", *attempt_lines(shown, original, size_unit(shown), set()), ""]
    stopped = sum(each.stopped_early for each in attempts)
    if stopped:
        lines += wrapped(f"{stopped} hopeless ones were stopped early.", _LINE_WIDTH)
    for name, shares in importances.items():
        told = ", ".join(f"{printable(key)} {100 * share:.0f} %" for key, share in shares.items())
        lines += wrapped(f"What mattered for the {name}: {told}.", _LINE_WIDTH)
    return "\n".join(lines) + "\n"
