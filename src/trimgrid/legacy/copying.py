"""Copies of models of Keras 2, which share nothing with them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from trimgrid.randomness import isolated_randomness

_Made = TypeVar("_Made")


def made_apart(make: Callable[[], _Made]) -> _Made:
    """Make something of Keras 2 without a trace in the caller's random numbers and names.

    The seeds of initializers come from Python's generator, which is put back. But after
    `tf_keras.utils.set_random_seed` they come from a generator of that thread, which nothing public
    reads or puts back; another thread has none, and counts names by itself.
    """
    with isolated_randomness(0), ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(make).result()


def copy_legacy(model: Any) -> Any:
    """Return a fresh, uncompiled copy of a model of `tf_keras`: names, weights, what is frozen.

    What its config can't hold raises as Keras does.
    """

    def make() -> Any:
        copy = model.__class__.from_config(model.get_config())
        if not copy.built:
            copy.build(model.input_shape)
        copy.set_weights(model.get_weights())
        return copy

    return made_apart(make)
