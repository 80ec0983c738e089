"""Rows whose weights go back to where they began, inside the compiled program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from trimgrid.engines.shapes import Layout, RowStart


def rewind(
    layout: Layout, start: RowStart, values: tuple[list[Any], list[Any]], masks: list[Any], due: Any
) -> tuple[list[Any], list[Any]]:
    """Put back the trainable variables and the optimizer's state of the rows where it is due.

    `values`: those of the trainable and the optimizer's variables, and `masks`, of all rows of a
    block; `due`: shape [rows]. What the masks prune becomes 0.
    """

    def back() -> tuple[list[Any], list[Any]]:
        trainable = [_chosen(due, *pair) for pair in zip(start.trainable, values[0], strict=True)]
        for place, mask in zip(layout.pruned, masks, strict=True):
            each = trainable[place]
            trainable[place] = jnp.where(mask, each, jnp.zeros_like(each))
        optimizer = list(values[1])
        for place, first in zip(layout.state_places, start.optimizer, strict=True):
            optimizer[place] = _chosen(due, first, optimizer[place])
        return trainable, optimizer

    found: tuple[Sequence[Any], Sequence[Any]] = lax.cond(
        jnp.any(due), back, lambda: (list(values[0]), list(values[1]))
    )
    return list(found[0]), list(found[1])


def _chosen(due: Any, first: Any, current: Any) -> Any:
    """The first value for the rows where it is due, the current one for the others."""
    return jnp.where(due.reshape(-1, *(1 for _ in first.shape)), first, current)
