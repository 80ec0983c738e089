"""What pruning costs a training step: `MagnitudePruning(Adam, ...)` against Adam in `model.fit`.

Four copies of a model take turns, one block of steps each: plain; plain again, which shows how far
two equal things differ on this machine; pruning, with its masks updated every 100 steps; and
pruning with an update in each step, which shows what one update costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from statistics import median

from benchmarks.child import Child
from benchmarks.quiet import Quiet
from benchmarks.reporting import Requirement, Row, Study

_FREQUENCY = 100
_LIMIT_PERCENT = 3.0


@dataclass(frozen=True)
class Case:
    """A model on a backend: images of `side` pixels (None: the MLP), steps a block, and turns."""

    name: str
    backend: str
    side: int | None
    batch: int
    steps: int
    turns: int
    required: bool = False


_CASES = (
    Case("CNN 180x180", "tensorflow", 180, 100, 5, 14, required=True),
    Case("CNN 32x32", "tensorflow", 32, 100, 100, 9),
    Case("CNN 32x32", "jax", 32, 100, 20, 9),
    Case("MLP", "tensorflow", None, 80, 300, 15),
    Case("MLP", "jax", None, 80, 300, 15),
)
_QUICK = (
    Case("CNN 64x64", "tensorflow", 64, 32, 5, 3),
    Case("CNN 32x32", "jax", 32, 32, 5, 3),
    Case("MLP", "tensorflow", None, 80, 100, 3),
    Case("MLP", "jax", None, 80, 100, 3),
)


def measure(quick: bool, peer_cache: Path) -> Study:
    """Time the steps of every case, one case after the other."""
    cases = _QUICK if quick else _CASES
    quiet = Quiet(patience=0 if quick else 1200)
    rows = [_row(case, quiet) for case in cases]
    requirements = [
        Requirement(
            f"{case.name} on {case.backend}: % more than a plain step",
            float(row["overhead_percent"] or 0),
            _LIMIT_PERCENT,
        )
        for case, row in zip(cases, rows, strict=True)
        if case.required
    ]
    settings = {
        "frequency": _FREQUENCY,
        "optimizer": "Adam",
        "schedule": "PolynomialDecay 0.1 0.9",
        "quiet": quiet.note(),
    }
    return Study("A training step with and without pruning", settings, rows, requirements)


def _row(case: Case, quiet: Quiet) -> Row:
    seconds = _times(case, quiet)
    plain, again, pruning, updating = (median(times) for times in seconds.values())
    # A median block holds its share of updates if blocks are whole periods, else none.
    held = 1 / _FREQUENCY if case.steps % _FREQUENCY == 0 else 0.0
    update = (updating - pruning) / (1 - held)
    whole = pruning + (1 / _FREQUENCY - held) * update
    return {
        "model": case.name,
        "backend": case.backend,
        "batch": case.batch,
        "blocks_x_steps": f"{case.turns} x {case.steps}",
        "plain_ms": 1e3 * plain,
        "plain_again_percent": 100 * (again / plain - 1),
        "pruning_ms": 1e3 * whole,
        "overhead_ms": 1e3 * (whole - plain),
        "overhead_percent": 100 * (whole / plain - 1),
        "one_update_ms": 1e3 * update,
    }


def _times(case: Case, quiet: Quiet) -> dict[str, list[float]]:
    """Return the seconds a step took in each block, by variant, in the order of the module's text.

    Raises `RuntimeError` if what should prune did not, or the other way round.
    """
    warm_up = 2  # the first block compiles
    blocks = warm_up + case.turns * quiet.tries  # at most: some may be trained again
    with Child("benchmarks.step_worker", case.backend) as child:
        variants = child.ask(
            "prepare", side=case.side, batch=case.batch, steps=case.steps, blocks=blocks
        )
        seconds: dict[str, list[float]] = {variant: [] for variant in variants}
        for turn in range(warm_up + case.turns):
            # Shuffled, so that none always follows the same one.
            for variant in Random(turn).sample(variants, len(variants)):
                train = partial(child.ask, "block", variant=variant)
                if turn < warm_up:
                    train()
                else:
                    seconds[variant].append(quiet.measure(train))
        for variant in variants:
            zeros = child.ask("zeros", variant=variant)
            # The schedule goes from 10 % on; Adam by itself makes next to none.
            if (zeros < 0.09) != ("plain" in variant):
                raise RuntimeError(f"{case.name}, {variant}: {zeros:.1%} zeros.")
    return seconds
