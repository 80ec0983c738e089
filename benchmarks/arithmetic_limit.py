"""The arithmetic limit of a training: its floating-point operations over the machine's rate.

Counted are the multiplications and additions of matrix products in `Dense` and `LSTM` layers, two
operations for each weight that an example meets. Elementwise work (activations, loss, optimizer,
masks), the validation and the copying of data are not counted, so no training reaches the limit.
The rate is the best that this machine shows for a product of two large float32 matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter
from typing import Any

import keras
import numpy as np

_SIDE, _SIDE_ON_A_GPU = 3072, 16384
_SECONDS = 2.0


def forward_flops(model: Any) -> int:
    """Return the operations of one example's way through the model.

    Each kernel of a `Dense` layer of shape (inputs, outputs) takes ``2 * inputs * outputs``, those
    of an `LSTM` as much for each step of time; the product with the first state, which is zero, is
    counted too, because Keras computes it. Biases are elementwise work.

    Raises `TypeError` for a layer of another type that has weights.

    >>> from keras import layers
    >>> forward_flops(keras.Sequential([keras.Input((6, 1)), layers.LSTM(80), layers.Dense(1)]))
    311200
    >>> 6 * 2 * (1 * 320 + 80 * 320) + 2 * 80
    311200
    """
    return sum(2 * products for products, _ in _products(model))


def training_flops(model: Any, examples: int, epochs: int) -> int:
    """Return the operations of a training on `examples` examples an epoch, forward and backward.

    Going back, each product is met twice, once for the gradient of the kernel and once for that of
    the layer's input. The inputs of the model need no gradient: a product with them is met once.

    Raises `TypeError` as `forward_flops`.

    >>> from trimgrid.examples.mlp import build_model
    >>> training_flops(build_model(), examples=1, epochs=1)
    24896
    >>> forward = 2 * (1 * 32 + 32 * 64 + 64 * 32 + 32 * 1)
    >>> forward + 2 * forward - 2 * (1 * 32)
    24896
    >>> training_flops(build_model(), examples=480, epochs=100)
    1195008000
    """
    an_example = sum(
        2 * products * (3 if needs_gradient else 2) for products, needs_gradient in _products(model)
    )
    return an_example * examples * epochs


def _products(model: Any) -> list[tuple[int, bool]]:
    """Return, for each kernel, multiply-adds an example and whether what it meets needs a gradient.

    Layers are taken to follow one another, as in the examples.
    """
    found: list[tuple[int, bool]] = []
    for layer in model.layers:
        if not layer.weights:
            continue
        if isinstance(layer, keras.layers.LSTM):
            times = layer.input.shape[1]
            found.append((times * math.prod(layer.cell.kernel.shape), bool(found)))
            found.append((times * math.prod(layer.cell.recurrent_kernel.shape), True))
        elif isinstance(layer, keras.layers.Dense):
            found.append((math.prod(layer.kernel.shape), bool(found)))
        else:
            raise TypeError(f"The operations of a {type(layer).__name__} are not known here.")
    return found


def matmul_rates() -> dict[str, float]:
    """Return operations a second of a large float32 matrix product: NumPy's and JAX's.

    Each is the fastest of the products that fit into two seconds, on all cores that this process
    may use; on a GPU JAX alone, with its default precision.
    """
    import jax
    import jax.numpy as jnp

    on_a_gpu = jax.default_backend() == "gpu"
    side = _SIDE_ON_A_GPU if on_a_gpu else _SIDE
    values = np.random.default_rng(0).standard_normal((side, side), dtype=np.float32)
    array = jnp.asarray(values)
    multiply = jax.jit(jnp.matmul)
    rates = {"JAX": _rate(lambda: multiply(array, array).block_until_ready(), side)}
    if not on_a_gpu:
        rates["NumPy"] = _rate(lambda: values @ values, side)
    return rates


def _rate(multiply: Callable[[], Any], side: int) -> float:
    multiply()  # compiles, and wakes the threads
    fastest, end = math.inf, perf_counter() + _SECONDS
    while perf_counter() < end:
        start = perf_counter()
        multiply()
        fastest = min(fastest, perf_counter() - start)
    return float(2 * side**3 / fastest)
