"""The error of a model at hundreds of sparsities, pruned without training, in one evaluation.

Without training the order of the weights by magnitude never changes. It is found once, and what
tells one sparsity from another is a number of weights to prune for each tensor. One compiled
program predicts the test data at many sparsities, with no search for thresholds in it.
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
from trimgrid.allocation.counts import counter, counts_by
from trimgrid.allocation.setting import ALLOCATIONS, Allocation
from trimgrid.allocation.sharing import Sharing, share
from trimgrid.arguments import check_integer, check_sparsity
from trimgrid.data.sources import ArrayData, StreamData
from trimgrid.errors import InputError
from trimgrid.measures.error_kinds import ErrorMeasure
from trimgrid.models import copy_model, fixed_batch
from trimgrid.prunable import check_prunable
from trimgrid.runs.scan import Scan, ScanPoint
from trimgrid.suggestions import suggestion

_BATCH = 1024
# Predictions at so many sparsities lie in memory at once as have room in it.
_PREDICTIONS_BYTES = 1 << 28


def scan_model(
    model: Any,
    measure: ErrorMeasure,
    test: ArrayData | StreamData,
    sparsities: int | Sequence[float],
    allocations: str | Sequence[str] = ("uniform",),
) -> Scan:
    """Return the error of a model pruned to each of the sparsities, without any training.

    See `trimgrid.Study.scan`. `test`: the data to predict; the model stays as it is.

    Raises `InputError` for sparsities and allocations that are none, and a model without prunable
    weights.
    """
    wanted = _sparsities(sparsities)
    names = _allocations(allocations)
    model = copy_model(model)
    found = check_prunable(model.trainable_variables)
    places = [place for place, each in enumerate(found) if each.reason is None]
    variables = [model.trainable_variables[place] for place in places]
    kernels = [ops.convert_to_numpy(each) for each in variables]
    paths = [each.path for each in variables]
    points = [(name, sparsity) for name in names for sparsity in wanted]
    # The model as it is comes first: nothing is pruned.
    pruned = [[0] * len(kernels)]
    for name in names:
        pruned += _pruned(kernels, paths, name, wanted)
    pruning = _Pruning(places, [_ranks(each) for each in kernels], np.array(pruned, np.int32))
    if measure.needs_data and (isinstance(test, ArrayData) or test.even):
        arrays = (test if isinstance(test, ArrayData) else ArrayData.of_stream(test)).arrays
        weights = arrays[2] if len(arrays) == 3 else None
        predictions = _predictions(model, pruning, arrays[0])
        errors = [measure.of_outputs(model, arrays[1], each, weights) for each in predictions]
    else:
        errors = _one_by_one(model, pruning, lambda: measure.evaluate(model, test)[1])
    original, *found_errors = errors
    scanned = [ScanPoint(*each, error) for each, error in zip(points, found_errors, strict=True)]
    return Scan(scanned, original, measure.name)


class _Pruning(NamedTuple):
    """The prunable variables' places among the trainable ones, the ranks of their weights, and how
    many of each go at every point, shape [points, tensors]."""

    places: Sequence[int]
    ranks: list[NDArray[np.int32]]
    counts: NDArray[np.int32]


def _sparsities(wanted: int | Sequence[float]) -> list[float]:
    """The sparsities by rising value: so many evenly spread from 0 on, or those given."""
    if isinstance(wanted, int | np.integer) and not isinstance(wanted, bool):
        count = check_integer("sparsities", wanted, minimum=1)
        return [place / count for place in range(count)]
    listed = wanted.tolist() if isinstance(wanted, np.ndarray) else wanted
    if not isinstance(listed, list | tuple) or not listed:
        raise InputError(
            "sparsities must be the number of points, or a list of fractions. "
            f"Received: sparsities={wanted!r}. Give for example 200, or [0.5, 0.9]."
        )
    return sorted({check_sparsity("sparsities", each) for each in listed})


def _allocations(wanted: str | Sequence[str]) -> list[str]:
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        if name not in ALLOCATIONS:
            raise InputError(
                "allocations must be names that are known. "
                f"Received: {name!r}. {suggestion(str(name), ALLOCATIONS)}"
            )
    if not names:
        raise InputError(
            "allocations must be one or more. Received: none. "
            f"Give some of: {', '.join(ALLOCATIONS)}."
        )
    return list(dict.fromkeys(names))


def _pruned(
    kernels: Sequence[NDArray[Any]], paths: Sequence[str], allocation: str, wanted: Sequence[float]
) -> list[list[int]]:
    """How many weights of each tensor go, at each of the sparsities."""
    shapes = [each.shape for each in kernels]
    sizes = np.array([each.size for each in kernels], np.int64)

    def sharing(sparsity: float) -> Sharing:
        return share(Allocation(allocation), paths, shapes, np.array([sparsity]))

    above = counter(kernels, sharing(0.0))
    return [(sizes - counts_by(above, sizes, sharing(each), each)).tolist() for each in wanted]


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
