"""The errors of a model pruned in many ways without any training, in one evaluation.

Without training the order of the weights by magnitude never changes. It is found once, and what
tells one point from another is a number of weights to prune in each tensor. One compiled program
predicts the test data at many points, with no search for thresholds in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from trimgrid import masks
from trimgrid.data.sources import ArrayData, StreamData
from trimgrid.measures.error_kinds import ErrorMeasure
from trimgrid.models import copy_model, fixed_batch
from trimgrid.prunable import check_prunable

_BATCH = 1024
# Predictions at so many points lie in memory at once as have room in it.
_PREDICTIONS_BYTES = 1 << 28


class Pruned:
    """A copy of a model, to be pruned in many ways and never trained.

    `paths` and `kernels`: of its prunable tensors, in the order of the trainable variables.

    Raises `InputError` for a model without prunable weights.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="out")])
    >>> Pruned(model).paths
    ['out/kernel']
    """

    def __init__(self, model: Any) -> None:
        self._model = copy_model(model)
        found = check_prunable(self._model.trainable_variables)
        places = [place for place, each in enumerate(found) if each.reason is None]
        variables = [self._model.trainable_variables[place] for place in places]
        self.kernels: list[NDArray[Any]] = [ops.convert_to_numpy(each) for each in variables]
        self.paths: list[str] = [each.path for each in variables]
        self._places = places

    def errors(
        self,
        measure: ErrorMeasure,
        test: ArrayData | StreamData,
        counts: Sequence[Sequence[int]],
    ) -> list[float]:
        """Return the error at each point; the first is that of the model as it is.

        `counts`: how many weights of each tensor go, those of smallest magnitude, shape
        [points, tensors]. `test`: the data to predict.
        """
        # The model as it is comes first: nothing is pruned.
        whole = [[0] * len(self.kernels), *counts]
        ranks = [_ranks(each) for each in self.kernels]
        pruning = _Pruning(self._places, ranks, np.array(whole, np.int32))
        if measure.needs_data and (isinstance(test, ArrayData) or test.even):
            arrays = (test if isinstance(test, ArrayData) else ArrayData.of_stream(test)).arrays
            weights = arrays[2] if len(arrays) == 3 else None
            predictions = _predictions(self._model, pruning, arrays[0])
            return [
                measure.of_outputs(self._model, arrays[1], each, weights) for each in predictions
            ]
        return _one_by_one(self._model, pruning, lambda: measure.evaluate(self._model, test)[1])


class _Pruning(NamedTuple):
    """The prunable variables' places among the trainable ones, the ranks of their weights, and how
    many of each go at every point, shape [points, tensors]."""

    places: Sequence[int]
    ranks: list[NDArray[np.int32]]
    counts: NDArray[np.int32]


def _ranks(kernel: NDArray[Any]) -> NDArray[np.int32]:
    """How many weights of the tensor go before each, as `masks.magnitude_mask` has it."""
    order = np.argsort(masks.magnitude_keys(kernel), kind="stable")
    ranks = np.empty(kernel.size, np.int32)
    ranks[order] = np.arange(kernel.size, dtype=np.int32)
    return ranks.reshape(kernel.shape)


def _one_by_one(model: Any, pruning: _Pruning, evaluate: Callable[[], float]) -> list[float]:
    """The error at each point, for errors that need the model, and data of many shapes."""
    variables = [model.trainable_variables[place] for place in pruning.places]
    whole = [ops.convert_to_numpy(each).copy() for each in variables]
    errors = []
    for counts in pruning.counts:
        for variable, weights, rank, count in zip(
            variables, whole, pruning.ranks, counts, strict=True
        ):
            variable.assign(np.where(rank >= count, weights, weights.dtype.type(0)))
        errors.append(evaluate())
    return errors


def _predictions(model: Any, pruning: _Pruning, inputs: Any) -> Iterator[Any]:
    """The predictions at each point, as NumPy arrays; so many at once as there is room for."""
    examples = len(keras.tree.flatten(inputs)[0])
    size = fixed_batch(model) or min(examples, _BATCH)
    batches = keras.tree.map_structure(lambda array: _in_batches(array, size), inputs)
    points = pruning.counts
    room = min(len(points), max(1, _PREDICTIONS_BYTES // _bytes_a_point(model, batches)))

    def predict(values: tuple[Any, Any], ranks: Any, batches: Any, points: Any) -> Any:
        def at_point(counts: Any) -> Any:
            kept = list(values[0])
            for place, rank, count in zip(pruning.places, ranks, ops.unstack(counts), strict=True):
                kept[place] = ops.where(rank >= count, kept[place], ops.zeros_like(kept[place]))
            return ops.map(
                lambda batch: model.stateless_call(kept, values[1], batch, training=False)[0],
                batches,
            )

        return ops.map(at_point, points)

    variables = model.trainable_variables, model.non_trainable_variables
    values = tuple([each.value for each in part] for part in variables)
    program = None
    for start in range(0, len(points), room):
        part = points[start : start + room]
        # Always as many, so that the program is compiled once.
        filled = np.concatenate([part, np.repeat(part[-1:], room - len(part), axis=0)])
        arguments = values, pruning.ranks, batches, filled
        program = program or _compiled(predict, arguments)
        found = keras.tree.map_structure(ops.convert_to_numpy, program(*arguments))
        for place in range(len(part)):
            yield keras.tree.map_structure(
                lambda array, at=place: array[at].reshape(-1, *array.shape[3:])[:examples], found
            )


def _in_batches(array: NDArray[Any], size: int) -> NDArray[Any]:
    """The array in batches, [batches, size, ...]; the last is filled up with its last example."""
    missing = -len(array) % size
    filled = np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
    return filled.reshape(-1, size, *array.shape[1:])


def _bytes_a_point(model: Any, batches: Any) -> int:
    """The bytes of the predictions of all batches."""
    count = len(keras.tree.flatten(batches)[0])
    specs = keras.tree.map_structure(
        lambda array: keras.KerasTensor(array.shape[1:], str(array.dtype)), batches
    )
    outputs = keras.tree.flatten(model.compute_output_spec(specs, training=False))
    numbers: int = count * sum(math.prod(each.shape) for each in outputs)
    return max(1, 4 * numbers)  # of a type of four bytes at most


def _compiled(function: Callable[..., Any], arguments: Any) -> Callable[..., Any]:
    compiled: Callable[..., Any]
    if keras.config.backend() == "jax":
        import jax

        from trimgrid.engines.compiling import compile_program

        compiled = compile_program(jax.jit(function).lower(*arguments))
    else:
        import tensorflow as tf

        compiled = tf.function(function)
    return compiled
