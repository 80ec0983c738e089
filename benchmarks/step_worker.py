"""The child of `step_overhead`: trains four copies of a model in plain `model.fit`, block by block.

A block is one epoch on random data. Its time runs from the epoch's begin to its end, where Keras
has read the metrics and so has waited for the last step; the set-up of `fit` stays outside.
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from benchmarks.child import serve
from trimgrid import MagnitudePruning, PolynomialDecay
from trimgrid.examples import cnn, mlp


class _Stopwatch(keras.callbacks.Callback):  # type: ignore[misc]
    seconds = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.seconds = perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds = perf_counter() - self.seconds


class Worker:
    """One model's variants: plain twice, and pruning with different frequencies."""

    def prepare(self, side: int | None, batch: int, steps: int, blocks: int) -> list[str]:
        """Build the CNN for images of `side` pixels, or the MLP if None; return the variants.

        The schedule ends with the last of `blocks` blocks of `steps` steps.
        """
        random = np.random.default_rng(0)
        examples = batch * steps
        self._x: NDArray[Any]
        self._y: NDArray[Any]
        if side is None:
            self._x = random.uniform(-2, 2, (examples, 1)).astype(np.float32)
            self._y = self._x**2
        else:
            self._x = random.random((examples, side, side, 3), dtype=np.float32)
            self._y = random.integers(0, 5, examples, dtype=np.int32)
        self._batch, self._steps = batch, steps
        self._models = {}
        for variant, frequency in (
            ("plain", None),
            ("plain again", None),
            ("pruning", 100),
            ("update every step", 1),
        ):
            optimizer: Any = keras.optimizers.Adam()
            if frequency is not None:
                schedule = PolynomialDecay(0.1, 0.9, 0, steps * blocks, frequency=frequency)
                optimizer = MagnitudePruning(optimizer, schedule)
            keras.utils.set_random_seed(1)
            model = mlp.build_model() if side is None else cnn.build_model((side, side, 3))
            loss = (
                "mean_squared_error"
                if side is None
                else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            )
            model.compile(optimizer, loss=loss, metrics=None if side is None else ["accuracy"])
            self._models[variant] = model
        return list(self._models)

    def block(self, variant: str) -> float:
        """Train a variant for one block; return the seconds that a step took."""
        stopwatch = _Stopwatch()
        self._models[variant].fit(
            self._x,
            self._y,
            batch_size=self._batch,
            epochs=1,
            shuffle=False,
            verbose=0,
            callbacks=[stopwatch],
        )
        return stopwatch.seconds / self._steps

    def zeros(self, variant: str) -> float:
        """Return the share of zeros in the kernels of a variant."""
        kernels = [w for w in self._models[variant].get_weights() if w.ndim > 1]
        zeros = sum(int(np.count_nonzero(w == 0)) for w in kernels)
        return zeros / sum(int(w.size) for w in kernels)


if __name__ == "__main__":
    assert keras.config.backend() == sys.argv[1]
    worker = Worker()
    serve({"prepare": worker.prepare, "block": worker.block, "zeros": worker.zeros})
