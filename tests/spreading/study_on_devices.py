"""A study on four host devices: `python study_on_devices.py FOLDER PART...`, in its own process.

What a part finds out besides its run directory it prints as JSON. Keras is to run on JAX, and
JAX on four devices.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np

from trimgrid import AttemptConfig, IterativePruning, MagnitudePruning, PolynomialDecay, Study
from trimgrid.run_directory.checkpoints import Checkpoints

POLY = AttemptConfig("poly", PolynomialDecay(0.1, 0.7, frequency=2), allocation="lamp")
BACK = AttemptConfig("back", IterativePruning(0.6, share=0.4, rewind="weights"))


def model_of() -> Any:
    """A small model with a random layer."""
    first = keras.initializers.GlorotUniform(seed=3)  # keras.utils.set_random_seed takes seconds
    return keras.Sequential(
        [
            keras.Input((6,), name="in"),
            keras.layers.Dense(8, activation="tanh", kernel_initializer=first, name="a"),
            keras.layers.Dropout(0.2, name="c"),
            keras.layers.Dense(1, kernel_initializer=first, name="b"),
        ],
        name="m",
    )


def distribution_of(kind: str) -> Any:
    """None, batches over four devices, or batches over two groups that split a kernel in two."""
    if kind == "plain":
        return None
    if kind == "data":
        return keras.distribution.DataParallel()
    layouts = keras.distribution.LayoutMap(
        keras.distribution.DeviceMesh((2, 2), ["batch", "model"])
    )
    layouts["m/a/kernel"] = (None, "model")
    return keras.distribution.ModelParallel(layout_map=layouts)


def study_of(model: Any, kind: str) -> Study:
    """23 examples in batches of 16, and 14 to watch: neither rest divides among the devices."""
    random = np.random.default_rng(0)
    x = random.random((30, 6), dtype="float32")
    y = x[:, :1] ** 2 - x[:, 1:2]
    return Study(
        model,
        (x[:23], y[:23]),
        (x[16:], y[16:]),
        loss="mse",
        optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
        epochs=3,
        batch_size=16,
        pretrain_epochs=1,
        distribution=distribution_of(kind),
    )


def run(folder: Path, kind: str, grid: list[AttemptConfig]) -> dict[str, Any]:
    """Run a study of a kind into a folder of its own; tell what was said, and what has changed."""
    model, began = model_of(), MagnitudePruning.begin
    said: list[str] = []
    alone: list[bool] = []
    layouts: dict[str, Any] = {}
    before = model.get_weights()

    def begin(optimizer: Any, steps: int | None = None) -> None:
        for each in [*optimizer.variables, *optimizer._pruned.variables]:
            spec = getattr(each.value.sharding, "spec", None)
            if spec is not None and any(spec):
                layouts[re.sub(r"_\d+/", "/", each.path)] = list(spec)
        began(optimizer, steps)

    MagnitudePruning.begin = begin
    study_of(model, kind).run(
        grid,
        folder,
        engine="sequential" if kind == "plain" else "auto",
        tflite=False,
        progress=False,
        checkpoint_seconds=1e-9,
        say=said.append,
        on_result=lambda info: alone.append(keras.distribution.distribution() is None),
    )
    MagnitudePruning.begin = began
    same = all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    alone += [len(each.value.sharding.device_set) == 1 for each in model.variables]
    return {
        "said": said,
        "layouts": layouts,
        "untouched": same and all(alone) and not model.compiled,
    }


def kill_at(saves: int) -> None:
    """Let this process be killed as soon as so many checkpoints are written."""
    save, left = Checkpoints.save, iter(range(saves - 1, -1, -1))

    def saved(*arguments: Any) -> None:
        save(*arguments)
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpoints.save = saved  # type: ignore[method-assign, assignment]


def main(folder: Path, parts: list[str]) -> None:
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
    config: Any = jax.config
    config.update("jax_compilation_cache_dir", str(folder / "jax"))
    config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    for part in parts:
        if part == "killed":
            kill_at(2 + 3)  # the original has 2 steps; then in the middle of an epoch
        kind = {"killed": "data", "resumed": "data"}.get(part, part)
        name = "killed" if part == "resumed" else part
        grid = [POLY, BACK] if kind == "model" else [POLY]
        print(json.dumps({part: run(folder / name, kind, grid)}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
