"""Tracing and compiling programs, quickly."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

# Compiling takes longer than training a small grid. Without its newer way to emit fused loops, and
# with fewer passes over each, XLA takes half the time for programs that run as fast.
_QUICKLY = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 1}


def compile_program(lowered: Any) -> Any:
    """Compile a traced program; on a CPU with options that make XLA quick about it.

    The options are XLA's own affair: a version that does not know them compiles as usual.
    """
    if jax.default_backend() == "cpu":
        try:
            return lowered.compile(compiler_options=_QUICKLY)
        except jax.errors.JaxRuntimeError as error:
            if "No such compile option" not in str(error):
                raise
    return lowered.compile()


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause the collection of garbage inside the block.

    Tracing makes many small objects, and each collection goes through everything that was ever
    imported: a third of the time that tracing takes.

    >>> with collection_paused():
    ...     gc.isenabled()
    False
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
