"""The schedules that trimgrid brings along, by the names that grids give them."""

from __future__ import annotations

from trimgrid.iterative import IterativePruning
from trimgrid.one_shot import OneShot
from trimgrid.schedules import ConstantSparsity, PolynomialDecay, Schedule

KnownSchedule = ConstantSparsity | PolynomialDecay | IterativePruning | OneShot
SCHEDULES: dict[str, type[KnownSchedule]] = {
    "constant_sparsity": ConstantSparsity,
    "polynomial_decay": PolynomialDecay,
    "iterative_pruning": IterativePruning,
    "one_shot": OneShot,
}


def is_trained(schedule: Schedule | None) -> bool:
    """Tell whether an attempt with a schedule is trained at all.

    >>> is_trained(ConstantSparsity(0.5)), is_trained(OneShot(0.5))
    (True, False)
    """
    return not isinstance(schedule, OneShot)


def short_name(schedule: Schedule) -> str:
    """Return the name of an attempt that has this schedule, in the article's style.

    >>> short_name(PolynomialDecay(0.1, 0.5)), short_name(IterativePruning(0.9))
    ('poly decay 10/50', 'iterative 0.9')
    """
    match schedule:
        case ConstantSparsity():
            return f"const sparsity {schedule.target_sparsity}"
        case PolynomialDecay():
            ends = (schedule.initial_sparsity, schedule.final_sparsity)
            # Rounded: 100 * 0.29 is 28.999999999999996.
            return "poly decay " + "/".join(f"{round(100 * end, 10):.12g}" for end in ends)
        case IterativePruning():
            return f"iterative {schedule.final_sparsity}"
        case OneShot():
            return f"one-shot {schedule.target_sparsity}"
    return type(schedule).__name__
