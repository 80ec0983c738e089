"""What a search found, for terminals: the answer, the front, and what mattered."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from trimgrid.cells import size_label, size_unit
from trimgrid.report.run_table import attempt_lines, attempt_text
from trimgrid.report.text_widths import wrapped
from trimgrid.results import AttemptInfo
from trimgrid.terminal_text import printable

_LINE_WIDTH = 80
_BESIDE = 19


def answer_text(
    best: AttemptInfo,
    original: AttemptInfo | None,
    size: str,
    limit: str,
    error_name: str,
    params: Mapping[str, Any],
) -> str:
    """Return the smallest attempt that is good enough, and what it was tried with.

    `limit` says in words what is good enough, `params` holds density, allocation, peak and ramp.

    >>> half = AttemptInfo("half", 100, 50, 50, 4000, 1000, None, None, None, 0.02)
    >>> params = {"density": 0.5, "allocation": "lamp", "peak": 2.0, "ramp": 0.25}
    >>> text = answer_text(half, None, "zipped_h5_size", "within 5 %", "mse", params)
    >>> text.splitlines()[0]
    'The smallest zipped .h5 within 5 %:'
    >>> print("\\n".join(text.splitlines()[-3:]))
      Tried with       50 % of the prunable weights, shared out by lamp, learning
                       rates up to 2 times the original's, masks chosen in 25 % of
                       the steps
    """
    head = wrapped(f"The smallest {size_label(size)} {limit}:", _LINE_WIDTH)
    told = (
        f"{100 * params['density']:.4g} % of the prunable weights, shared out by "
        f"{params['allocation']}, learning rates up to {params['peak']:.3g} times the original's, "
        f"masks chosen in {100 * params['ramp']:.0f} % of the steps"
    )
    lines = textwrap.wrap(told, _LINE_WIDTH - _BESIDE)
    titles = ["  Tried with", *("" for _ in lines[1:])]
    tried = [f"{title:<{_BESIDE}}{line}" for title, line in zip(titles, lines, strict=True)]
    return "\n".join([*head, attempt_text(best, original, error_name).rstrip(), *tried]) + "\n"


def learnt_text(
    attempts: Sequence[AttemptInfo],
    original: AttemptInfo | None,
    front: Sequence[AttemptInfo],
    importances: Mapping[str, Mapping[str, float]],
    size: str,
) -> str:
    """Return the original and the front as a table, and in words what stopped and what mattered."""
    shown = [*([] if original is None else [original]), *front]
    what = f"{size_label(size)} and error"
    lines = [f"Of {len(attempts)} attempts nothing beats those with a star in both {what}:"]
    stars = {each.name for each in front}
    lines += ["", *attempt_lines(shown, original, size_unit(shown), stars, {size}), ""]
    stopped = sum(each.stopped_early for each in attempts)
    if stopped:
        note = f"Stopped early, because others beat them: {stopped} of {len(attempts)} attempts."
        lines += wrapped(note, _LINE_WIDTH)
    for name, shares in importances.items():
        told = ", ".join(f"{printable(key)} {100 * share:.0f} %" for key, share in shares.items())
        lines += wrapped(f"What mattered for the {name}: {told}.", _LINE_WIDTH)
    if not importances:
        lines.append("What mattered is told from ten attempts on.")
    return "\n".join(lines) + "\n"
