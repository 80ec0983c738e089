"""The child of `quality`: trains one experiment with every method, on the backend it was given."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import keras

from benchmarks.child import serve
from benchmarks.quality_experiments import EXPERIMENTS
from benchmarks.quality_methods import METHODS, Goal
from trimgrid.randomness import isolated_randomness
from trimgrid.runs.study import Study

SEED = 1


def compare(
    experiment: str,
    methods: Sequence[str],
    targets: Sequence[float],
    epochs: int,
    original_epochs: int,
    repeats: int,
) -> dict[str, Any]:
    """Train the original, and each method to each target with so many seeds.

    Returns the original's error, its weights that can be pruned, and for each attempt method,
    target, errors by seed (None where one is not finite), zero weights and status.
    """
    setup = EXPERIMENTS[experiment]
    start = perf_counter()
    with isolated_randomness(SEED):
        task = setup.load()
    study = Study(
        task.model,
        task.train,
        test=task.test,
        epochs=epochs,
        pretrain_epochs=original_epochs,
        loss=task.loss,
        optimizer=keras.optimizers.Adam(setup.learning_rate),
        batch_size=setup.batch_size,
        error=task.error,
        seed=SEED,
    )
    by_name = {each.name: each for each in METHODS}
    cases = [
        (by_name[name], target)
        for name in methods
        for target in (targets if by_name[name].prunes else targets[:1])
    ]
    rates = setup.peak, setup.learning_rate
    grid = [method.named(Goal(target, study.steps, *rates)) for method, target in cases]
    with tempfile.TemporaryDirectory() as folder:
        results = study.run(grid, Path(folder, "run"), repeats=repeats, tflite=False)
        original = results[0]
        attempts = [
            {
                "method": method.name,
                "target": target,
                **{
                    key: value
                    for key, value in info.to_dict().items()
                    if key in ("error", "errors", "zero_weights", "status")
                },
            }
            for (method, target), info in zip(cases, results[1:], strict=True)
        ]
    return {
        "weights": original.total_weights,
        "steps": study.steps,
        "original_error": original.error,
        "attempts": attempts,
        "seconds": perf_counter() - start,
    }


if __name__ == "__main__":
    assert keras.config.backend() == sys.argv[1]
    if sys.argv[1] == "jax":
        import jax

        cores = len(os.sched_getaffinity(0))
        jax.config.update("jax_num_cpu_devices", cores)  # type: ignore[no-untyped-call]
    serve({"compare": compare})
