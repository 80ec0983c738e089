"""The child of `allocation_cost`: trains groups whose attempts share their zeros out in one way."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any

import keras
import numpy as np

from benchmarks.child import serve
from trimgrid.allocation.setting import Allocation
from trimgrid.allocation.sharing import rule_of
from trimgrid.data.sources import open_data
from trimgrid.engines.vectorized import VectorizedEngine
from trimgrid.examples import mlp
from trimgrid.schedules import ConstantSparsity
from trimgrid.training import Task, Training

SPARSITY = 0.9


class Worker:
    """An engine for each allocation, of one model and the same data."""

    def prepare(self, sizes: list[int], attempts: int, epochs: int) -> None:
        """Build a dense network with layers of these sizes, or the article's for none of them."""
        random = np.random.default_rng(0)
        keras.utils.set_random_seed(1)
        if sizes:
            parts: list[Any] = [keras.layers.Dense(size, activation="relu") for size in sizes[1:]]
            self._model = keras.Sequential([keras.Input((sizes[0],)), *parts])
            examples, batch = 3200, 32
        else:
            self._model, examples, batch = mlp.build_model(), 480, 80
        x = random.random((examples, *self._model.input_shape[1:]), dtype=np.float32)
        y = random.random((examples, *self._model.output_shape[1:]), dtype=np.float32)
        self._training = Training("mse", "adam", epochs=epochs, batch_size=batch)
        self._data = open_data((x, y), self._training, "training data")
        self._attempts = attempts
        self._engines: dict[str, Any] = {}

    def seconds(self, allocation: str) -> float:
        """Train a group of an allocation, compiled before; return how long it took."""
        chosen = Allocation(allocation)
        schedule = ConstantSparsity(SPARSITY)
        tasks = [
            Task(f"{place}", schedule, self._training, allocation=chosen)
            for place in range(self._attempts)
        ]
        if allocation not in self._engines:
            self._engines[allocation] = VectorizedEngine(
                self._model,
                self._data,
                self._training,
                attempts=self._attempts,
                rules={rule_of(chosen)},
            )
            for _ in self._engines[allocation].train(tasks):
                pass
        began = perf_counter()
        for _, trained in self._engines[allocation].train(tasks):
            assert trained.failure is None
        return perf_counter() - began


if __name__ == "__main__":
    assert keras.config.backend() == sys.argv[1]
    worker = Worker()
    serve({"prepare": worker.prepare, "seconds": worker.seconds})
