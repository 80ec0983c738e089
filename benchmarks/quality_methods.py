"""The methods that `quality` compares: what each does with a target and a number of steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from trimgrid.distillation import Distillation
from trimgrid.grids.grid import AttemptConfig
from trimgrid.grids.recommended import recommended_schedule
from trimgrid.iterative import IterativePruning
from trimgrid.learning_rates import Cosine, OneCycle
from trimgrid.one_shot import OneShot
from trimgrid.schedules import ConstantSparsity, PolynomialDecay


@dataclass(frozen=True)
class Goal:
    """What an attempt is to reach, a sparsity after so many steps, and learning rates for it.

    `peak`: the highest one of methods that plan theirs; `original_rate`: that of the original.
    """

    sparsity: float
    steps: int
    peak: float
    original_rate: float


@dataclass(frozen=True)
class Method:
    """A way to prune. `attempt` gives an attempt for a goal, its name apart.

    `core`: compared on every experiment; the others only where a training takes a second.
    `prunes`: whether the target makes a difference.
    """

    name: str
    attempt: Callable[[Goal], AttemptConfig]
    core: bool = True
    prunes: bool = True

    def named(self, goal: Goal) -> AttemptConfig:
        """Return the attempt with a name that no other method and target has.

        >>> METHODS[0].named(Goal(0.9, 100, peak=0.005, original_rate=0.001)).name
        "TFMOT's way, decay from 10 %, 90 %"
        """
        return replace(self.attempt(goal), name=f"{self.name}, {100 * goal.sparsity:g} %")


def _recommended(goal: Goal) -> AttemptConfig:
    return AttemptConfig(
        "",
        recommended_schedule(goal.sparsity, goal.steps),
        allocation="lamp",
        learning_rate=Cosine(goal.peak),
    )


def _shared_out(allocation: str) -> Callable[[Goal], AttemptConfig]:
    return lambda goal: replace(_recommended(goal), allocation=allocation)


def _iterative(goal: Goal, rewind: str | None) -> AttemptConfig:
    schedule = IterativePruning(goal.sparsity, rewind=rewind)
    return replace(_recommended(goal), pruning_schedule=schedule)


TFMOT = "TFMOT's way, decay from 10 %"
RECOMMENDED = "lamp (recommended)"
UNIFORM = "uniform"
UNPRUNED = "not pruned, trained on"
METHODS = (
    # Uniform sparsity, the training's own optimizer, the article's schedules: what TFMOT does.
    Method(TFMOT, lambda goal: AttemptConfig("", PolynomialDecay(0.1, goal.sparsity))),
    Method(
        "TFMOT's way, constant", lambda goal: AttemptConfig("", ConstantSparsity(goal.sparsity))
    ),
    # The recommended attempt, and the same with another allocation.
    Method(RECOMMENDED, _recommended),
    Method("global_magnitude", _shared_out("global_magnitude")),
    Method("erdos_renyi", _shared_out("erdos_renyi")),
    Method(UNIFORM, _shared_out("uniform")),
    # The same with one other thing in it changed.
    Method(
        "lamp, peak as the original's (recommended too)",
        lambda goal: replace(_recommended(goal), learning_rate=Cosine(goal.original_rate)),
    ),
    Method(
        "lamp, learning rate as is",
        lambda goal: replace(_recommended(goal), learning_rate="as_is"),
        core=False,
    ),
    Method(
        "lamp, one cycle",
        lambda goal: replace(_recommended(goal), learning_rate=OneCycle(goal.peak)),
        core=False,
    ),
    Method(
        "lamp, straight ramp",
        lambda goal: replace(
            _recommended(goal),
            pruning_schedule=replace(recommended_schedule(goal.sparsity, goal.steps), power=1),
        ),
        core=False,
    ),
    Method(
        "lamp, ramp to the end",
        lambda goal: replace(
            _recommended(goal),
            pruning_schedule=replace(
                recommended_schedule(goal.sparsity, goal.steps), end_step=goal.steps
            ),
        ),
        core=False,
    ),
    Method(
        "lamp, distilled",
        lambda goal: replace(_recommended(goal), distillation=Distillation()),
        core=False,
    ),
    # Other schedules.
    Method(
        "lamp, all at once, then trained",
        lambda goal: replace(
            _recommended(goal), pruning_schedule=ConstantSparsity(goal.sparsity, end_step=0)
        ),
    ),
    Method("lamp, rounds", lambda goal: _iterative(goal, None), core=False),
    Method("lamp, rounds, learning rate rewound", lambda goal: _iterative(goal, "learning_rate")),
    Method("lamp, rounds, weights rewound", lambda goal: _iterative(goal, "weights"), core=False),
    Method(
        "lamp, one shot, not trained",
        lambda goal: AttemptConfig("", OneShot(goal.sparsity), allocation="lamp"),
    ),
    # Not pruned at all: what training on is worth by itself.
    Method(
        UNPRUNED,
        lambda goal: replace(_recommended(goal), pruning_schedule=ConstantSparsity(0.0)),
        prunes=False,
    ),
)
