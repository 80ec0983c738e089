"""The child of `grid_training` and `grid_size`: trains an example's grid and times itself.

All calls of what is measured are in this file. A child is a fresh process: the first training in
it holds the compilation, and JAX's cache on disk is switched off by the parent.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import Any

import keras
import numpy as np

from benchmarks.arithmetic_limit import matmul_rates, training_flops
from benchmarks.child import serve
from trimgrid.engines import sequential
from trimgrid.examples.experiments import experiment
from trimgrid.grids.grid import AttemptConfig, article_grid
from trimgrid.models import copy_model
from trimgrid.schedules import PolynomialDecay
from trimgrid.training import Task

_Trained = tuple[Any, dict[str, list[float]], str | None]
"""A model, its history, and why it failed."""


class Worker:
    """One example, prepared once and trained on demand."""

    def prepare(
        self, example: str, epochs: int | None, all_devices: bool = False
    ) -> dict[str, Any]:
        """Build the example; return on what it will run.

        With `all_devices`, for the vectorized engine, JAX on a CPU gets one device for each core
        that the process may use, before it starts; else it has one device that uses all cores.
        """
        devices, platform = 1, "cpu"
        if keras.config.backend() == "jax":
            import jax

            if all_devices:
                cores = len(os.sched_getaffinity(0))
                jax.config.update("jax_num_cpu_devices", cores)  # type: ignore[no-untyped-call]
            devices, platform = jax.local_device_count(), jax.default_backend()
        self._task = experiment(example, epochs)
        self._engine: Any = None
        return {"devices": devices, "platform": platform}

    def train(self, engine: str, attempts: int) -> dict[str, Any]:
        """Train a grid with an engine: "vectorized", "sequential", or "plain" without pruning.

        Every training starts from the example's first weights: what they are costs no time.
        The first call of "vectorized" makes the engine, places the data and compiles; further calls
        are for as many attempts and train with the same engine.

        Returns the seconds from the call to the last model, and for each attempt the zeros of its
        kernels and its last loss.

        Raises `RuntimeError` if an attempt failed.
        """
        task, grid = self._task, grid_of(attempts)
        trainings = {"vectorized": self._vectorized, "sequential": _sequential, "plain": _plain}
        zeros, losses = [], []
        start = perf_counter()
        for model, history, failure in trainings[engine](task, grid):
            if failure is not None:
                raise RuntimeError(f"{engine}: an attempt failed: {failure}.")
            # Reading a model belongs to it: results that stay on a device are of no use.
            zeros.append(_zeros(model))
            losses.append(history["loss"][-1])
        return {"seconds": perf_counter() - start, "zeros": zeros, "losses": losses}

    def run(self, attempts: int) -> dict[str, Any]:
        """Train, evaluate and measure a grid and its original; return the seconds.

        Raises `RuntimeError` if an attempt's status is not "ok".
        """
        from trimgrid.export.tflite import TFLiteConverter
        from trimgrid.runs.running import run_grid

        task, start = self._task, perf_counter()
        with TFLiteConverter() as converter:
            converter.start()
            infos = list(
                run_grid(
                    task.study.model,
                    grid_of(attempts),
                    task.split.train,
                    task.study.training,
                    task.study.evaluate,
                    converter,
                    validation=task.split.validation,
                )
            )
        seconds = perf_counter() - start
        bad = [info.status for info in infos if info.status != "ok"]
        if bad or len(infos) != attempts + 1:
            raise RuntimeError(f"{len(infos)} of {attempts + 1} results, not ok: {bad[:3]}.")
        return {"seconds": seconds}

    def _vectorized(self, task: Any, grid: list[AttemptConfig]) -> Iterator[_Trained]:
        from trimgrid.data.sources import ArrayData
        from trimgrid.engines.vectorized import VectorizedEngine

        training, split = task.study.training, task.split
        if self._engine is None:
            data = ArrayData(split.train, training.batch_size)
            aside = split.validation
            validation = None if aside is None else ArrayData(aside, training.batch_size)
            self._engine = VectorizedEngine(
                task.study.model, data, training, validation, attempts=len(grid)
            )
        tasks = [Task(each.name, each.pruning_schedule, training) for each in grid]
        for _, trained in self._engine.train(tasks):
            yield trained.model, trained.history, trained.failure

    def flops(self, attempts: int) -> int:
        """Return the floating-point operations of training the grid."""
        task = self._task
        examples = len(task.split.train[0])
        return attempts * training_flops(task.study.model, examples, task.study.training.epochs)


def grid_of(attempts: int) -> list[AttemptConfig]:
    """Return the article's grid for 11 attempts, else decays to final sparsities of 10 to 90 %."""
    grid = article_grid()
    if attempts == len(grid):
        return grid
    return [
        AttemptConfig(f"decay to {final:.3%}", PolynomialDecay(final / 2, final))
        for final in np.linspace(0.1, 0.9, attempts).tolist()
    ]


def _sequential(task: Any, grid: list[AttemptConfig]) -> Iterator[_Trained]:
    for each in grid:
        trained = sequential.train(
            task.study.model,
            task.split.train,
            task.study.training,
            each.pruning_schedule,
            task.split.validation,
        )
        yield trained.model, trained.history, trained.failure


def _plain(task: Any, grid: list[AttemptConfig]) -> Iterator[_Trained]:
    """Train as often in Keras' own `model.fit`, nothing of ours in it but the copy of the model."""
    x, y = task.split.train
    for _ in grid:
        model = copy_model(task.study.model)
        model.compile(
            optimizer=task.study.training.fresh_optimizer(), loss=task.study.training.loss
        )
        history = model.fit(
            x,
            y,
            batch_size=task.study.training.batch_size,
            epochs=task.study.training.epochs,
            validation_data=task.split.validation,
            verbose=0,
        ).history
        yield model, history, None


def _zeros(model: Any) -> int:
    kernels: Iterable[Any] = (each for each in model.get_weights() if each.ndim > 1)
    return sum(math.prod(each.shape) - int(np.count_nonzero(each)) for each in kernels)


if __name__ == "__main__":
    assert keras.config.backend() == sys.argv[1]
    worker = Worker()
    serve(
        {
            "prepare": worker.prepare,
            "train": worker.train,
            "run": worker.run,
            "flops": worker.flops,
            "rates": matmul_rates,
        }
    )
