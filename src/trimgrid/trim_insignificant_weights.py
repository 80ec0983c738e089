"""The helpers of the article "Pruning of neural networks with TensorFlow", by their names.

Code written after the article runs with its imports changed: same arguments, same returns. What
differs is what was wrong: a pruning model shares nothing with the original, so an attempt never
sees another's weights.
"""

from __future__ import annotations

import atexit
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from trimgrid.begin_pruning import BeginPruning
from trimgrid.export.files import measure_model, write_keras
from trimgrid.export.tflite import TFLiteConverter
from trimgrid.grids.grid import AttemptConfig
from trimgrid.models import copy_model, count_weights, sample_inputs
from trimgrid.prunable import check_prunable
from trimgrid.pruning import MagnitudePruning
from trimgrid.report.table import print_attempt_infos
from trimgrid.results import AttemptInfo
from trimgrid.schedules import ConstantSparsity, PolynomialDecay, Schedule
from trimgrid.scratch import scratch_folder
from trimgrid.terminal_text import printable
from trimgrid.training import fresh_optimizer

__all__ = [
    "AttemptConfig",
    "AttemptInfo",
    "ConstantSparsity",
    "PolynomialDecay",
    "build_pruning_model",
    "extract_pruned_model",
    "inspect_weights",
    "inspect_weigths",
    "print_attempt_infos",
    "retrieve_callbacks_for_pruning",
    "retrieve_size_of_lite_model",
    "retrieve_size_of_model",
]


def build_pruning_model(model_org: Any, pruning_schedule: Schedule) -> Any:
    """Return a copy of the model that prunes while it trains.

    Compile and fit it as usual, with `retrieve_callbacks_for_pruning()`: its `compile` puts a fresh
    copy of the optimizer into `trimgrid.MagnitudePruning`. Take the plain model out of it with
    `extract_pruned_model`. The original, and an optimizer that several attempts are compiled with,
    stay as they are.

    Raises `InputError` for a model that can't be copied or has nothing to prune.

    >>> import keras
    >>> layer = keras.layers.Dense(8, use_bias=False)
    >>> original = keras.Sequential([keras.Input((4,)), layer])
    >>> model = build_pruning_model(original, ConstantSparsity(0.25))
    >>> model.compile(optimizer="adam", loss="mse")
    >>> _ = model.fit(np.ones((6, 4)), np.zeros((6, 8)), verbose=0,
    ...               callbacks=retrieve_callbacks_for_pruning())
    >>> inspect_weigths("a quarter", extract_pruned_model(model))
    (32, 24, 8)
    """
    check_prunable(model_org.trainable_variables)
    MagnitudePruning("sgd", pruning_schedule)  # refuses what is no schedule
    model = copy_model(model_org)
    plain_compile = model.compile

    def compile_with_pruning(optimizer: Any = "rmsprop", *args: Any, **kwargs: Any) -> None:
        pruning = MagnitudePruning(fresh_optimizer(optimizer), pruning_schedule)
        plain_compile(pruning, *args, **kwargs)

    # On this one object: a subclass would change the model's class in its config.
    model.compile = compile_with_pruning
    return model


def retrieve_callbacks_for_pruning() -> list[Any]:
    """Return the callbacks for the `fit` of a pruning model.

    They check before the first batch that the schedule reaches its target, and fill in an
    `end_step` of None.

    >>> [type(callback).__name__ for callback in retrieve_callbacks_for_pruning()]
    ['BeginPruning']
    """
    return [BeginPruning()]


def extract_pruned_model(model_pruning: Any) -> Any:
    """Return a plain, uncompiled model with the pruned weights.

    >>> import keras
    >>> original = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> plain = extract_pruned_model(build_pruning_model(original, ConstantSparsity(0.5)))
    >>> plain.compiled
    False
    """
    return copy_model(model_pruning)


def inspect_weigths(name: str, model: Any, verbose: bool = False) -> tuple[int, int, int]:
    """Count all, the non-zero and the zero weights of a model; `verbose` prints each layer's.

    The article's spelling; `inspect_weights` is the same function.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> inspect_weigths("dense", model, verbose=True)
    Model: dense
      Layers:
        Layer #1, num of sets: 2
          Num of weights: 8, of which non-zero: 8 and zero: 0
          Num of weights: 2, of which non-zero: 0 and zero: 2
      Total num of weights: 10, of which non-zero: 8 and zero: 2
    (10, 8, 2)
    """
    total, nonzero = count_weights(model)
    if verbose:
        print(f"Model: {printable(name)}\n  Layers:")
        for number, layer in enumerate(model.layers, start=1):
            arrays = layer.get_weights()
            print(f"    Layer #{number}, num of sets: {len(arrays)}")
            for array in arrays:
                print(f"      {_counts('Num', array.size, int(np.count_nonzero(array)))}")
        print(f"  {_counts('Total num', total, nonzero)}")
    return total, nonzero, total - nonzero


inspect_weights = inspect_weigths


def _counts(what: str, total: int, nonzero: int) -> str:
    zero = total - nonzero
    return f"{what} of weights: {total}, of which non-zero: {nonzero} and zero: {zero}"


def retrieve_size_of_model(model: Any) -> tuple[int, int]:
    """Return the bytes of the model's .h5 without optimizer state, plain and zipped.

    >>> import keras
    >>> plain, zipped = retrieve_size_of_model(
    ...     keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    >>> plain > zipped
    True
    """
    size = measure_model(model).h5
    return size.plain, size.zipped


def retrieve_size_of_lite_model(model: Any) -> tuple[int, int]:
    """Return the bytes of the model's .tflite with int8 weights, plain and zipped.

    The first call starts a process that converts, which takes seconds; it lives as long as this
    one, and later calls are fast.

    Raises `ConversionError` if the model can't be converted, and `InputError` for one that does
    not tell its inputs.
    """
    with scratch_folder() as folder:
        keras_file, tflite_file = Path(folder, "model.keras"), Path(folder, "model.tflite")
        write_keras(model, keras_file)
        size = _converter().convert(keras_file, tflite_file, sample_inputs(model)).size
    return size.plain, size.zipped


@cache
def _converter() -> TFLiteConverter:
    converter = TFLiteConverter()
    atexit.register(converter.close)
    return converter
