"""How sensitive the tensors of a model are, as a table for terminals and in words."""

from __future__ import annotations

from trimgrid.report.text_widths import padded, shortened, wrapped
from trimgrid.sensitivity import Sensitivity
from trimgrid.terminal_text import printable

_LINE_WIDTH = 80
_SHOWN = (0.5, 0.8, 0.9, 0.99)  # as far as they were looked at
_WEIGHTS_WIDTH, _ERROR_WIDTH, _REACH_WIDTH = 11, 9, 9
_LEAST_NAME = 14


def sensitivity_text(found: Sensitivity, max_increase: float = 0.05) -> str:
    """Return a line for each tensor: its weights, how far it goes alone, and errors, then words.

    `max_increase`: the share over the original's error that is good enough. Lines have 80 columns.
    """
    sparsities = [each for each in _SHOWN if each in found.sparsities] or found.sparsities[:4]
    fixed = _WEIGHTS_WIDTH + _REACH_WIDTH + _ERROR_WIDTH * len(sparsities)
    width = max(_LEAST_NAME, _LINE_WIDTH - fixed)
    reach = found.largest(max_increase=max_increase)
    spare = set(found.spare())
    lines = [
        padded("Tensor", width)
        + f"{'Weights':>{_WEIGHTS_WIDTH}}{'Alone':>{_REACH_WIDTH}}"
        + "".join(f"{f'at {100 * each:g} %':>{_ERROR_WIDTH}}" for each in sparsities)
    ]
    for tensor, weights in found.weights.items():
        errors = dict(zip(found.sparsities, found.errors(tensor), strict=True))
        name = padded(shortened(printable(tensor), width - 2), width - 2)
        alone = f"{100 * reach[tensor]:.1f} %"
        cells = [f"{weights:>{_WEIGHTS_WIDTH},}", f"{alone:>{_REACH_WIDTH}}"]
        cells += [f"{errors[each]:>{_ERROR_WIDTH}.1e}" for each in sparsities]
        lines.append(f"{'!' if tensor in spare else ' '} {name}" + "".join(cells))
    alone = (
        f" Alone: up to there the error grows by at most {100 * max_increase:g} %. !: to be spared."
    )
    words = [legend(found) + alone, advice(found)]
    for each in words:
        lines += ["", *wrapped(each, _LINE_WIDTH)]
    return "\n".join(lines) + "\n"


def legend(found: Sensitivity) -> str:
    """Return what the errors are.

    >>> legend(Sensitivity([], 0.5, "loss: mse"))
    'loss: mse with one tensor pruned alone and nothing trained; 5.000e-01 with none. Training \
afterwards wins much of it back.'
    """
    return (
        f"{printable(found.error_name)} with one tensor pruned alone and nothing trained; "
        f"{found.original_error:.3e} with none. Training afterwards wins much of it back."
    )


def advice(found: Sensitivity) -> str:
    """Return which tensors to spare, in words."""
    spare = found.spare()
    if not spare:
        return "No tensor stands out: none is to be spared."
    share = 100 * sum(found.weights[each] for each in spare) / sum(found.weights.values())
    names = ", ".join(printable(each) for each in spare)
    return (
        f"Spare {names}, {share:.2g} % of the weights. Were half of all weights to go, at the same "
        "cost in each tensor, fewer than a quarter of these would."
    )
