"""The child of `mask_selection`: chooses masks with one framework, and times itself.

Every method gets its weights where the framework keeps them and gives its mask there too.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.child import serve

Method = Callable[[], Any]
Methods = Callable[[NDArray[np.float32], float], dict[str, Method]]


def weights(size: int, tied: bool) -> NDArray[np.float32]:
    """Return normal float32 weights, shape (size,); with `tied` 95 % of them are zero.

    The latter is a tensor that was pruned before: at 90 % zeros the threshold lies among the ties.
    """
    random = np.random.default_rng(0)
    values = random.standard_normal(size, dtype=np.float32)
    if tied:
        values[random.random(size, dtype=np.float32) < 0.95] = 0
    return values


def numpy_methods(values: NDArray[np.float32], sparsity: float) -> dict[str, Method]:
    """NumPy: `numpy.partition` alone, of magnitudes that lie ready, and the oracle."""
    from trimgrid.masks import kept_count, magnitude_mask

    magnitudes, rank = np.abs(values), values.size - kept_count(values.size, sparsity) - 1
    return {
        "numpy.partition": lambda: np.partition(magnitudes, rank)[rank],
        "NumPy oracle": lambda: magnitude_mask(values, sparsity),
    }


def jax_methods(values: NDArray[np.float32], sparsity: float) -> dict[str, Method]:
    """JAX: ours compiled, and a full sort of the magnitudes."""
    import jax
    import jax.numpy as jnp

    from trimgrid.selection import magnitude_mask

    kept, share = jnp.asarray(values), jnp.float32(sparsity)
    ours = jax.jit(magnitude_mask)
    ordered = jax.jit(lambda tensor: jnp.sort(jnp.abs(tensor)))
    return {
        "trimgrid, JAX": lambda: ours(kept, share).block_until_ready(),
        "full sort, JAX": lambda: ordered(kept).block_until_ready(),
    }


def tensorflow_methods(values: NDArray[np.float32], sparsity: float) -> dict[str, Method]:
    """TensorFlow: ours in a `tf.function` without and with XLA."""
    import tensorflow as tf

    from trimgrid.selection import magnitude_mask

    kept, share = tf.constant(values), tf.constant(sparsity, tf.float32)
    graph = tf.function(magnitude_mask, autograph=False)
    compiled = tf.function(magnitude_mask, autograph=False, jit_compile=True)
    # .numpy() of a CPU tensor is a view: it waits for the result and copies nothing.
    return {
        "trimgrid, TensorFlow": lambda: graph(kept, share).numpy(),
        "trimgrid, TensorFlow XLA": lambda: compiled(kept, share).numpy(),
    }


class Worker:
    """Methods on the tensor that was prepared last; `methods` makes them for weights."""

    def __init__(self, methods: Methods) -> None:
        self._make = methods
        self._methods: dict[str, Method] = {}

    def prepare(self, size: int, tied: bool, sparsity: float) -> list[str]:
        """Make the tensor; return the names of the methods."""
        self._methods = {}  # lets go of the tensor before
        self._methods = self._make(weights(size, tied), sparsity)
        return list(self._methods)

    def check(self, method: str) -> dict[str, Any]:
        """Run a method once, which compiles it too; tell what mask it gives."""
        result = np.asarray(self._methods[method]())
        if result.ndim == 0 or "sort" in method:  # a threshold, or magnitudes in order
            return {"zeros": None, "digest": None}
        result = result != 0  # TFMOT's masks are numbers
        zeros = result.size - int(np.count_nonzero(result))
        return {"zeros": zeros, "digest": hashlib.sha256(np.packbits(result).tobytes()).hexdigest()}

    def time(self, method: str) -> float:
        """Return the seconds that a method takes."""
        start = perf_counter()
        self._methods[method]()
        return perf_counter() - start


def serve_methods(methods: Methods) -> None:
    """Answer the parent's commands until it goes."""
    worker = Worker(methods)
    serve({"prepare": worker.prepare, "check": worker.check, "time": worker.time})


if __name__ == "__main__":
    frameworks = {"numpy": numpy_methods, "jax": jax_methods, "tensorflow": tensorflow_methods}
    serve_methods(frameworks[sys.argv[1]])
