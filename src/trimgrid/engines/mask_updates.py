"""The mask updates of a block of rows, inside the compiled program."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from trimgrid.engines.shapes import Layout
from trimgrid.selection import magnitude_mask

_FILLED_UP_TO = 4096


def prune(
    layout: Layout, masks: list[Any], trainable: list[Any], targets: Any
) -> tuple[list[Any], list[Any]]:
    """Choose masks anew for the rows where an update is due, and apply all of them."""

    def one_row(row: tuple[Any, list[Any], list[Any]]) -> list[Any]:
        target, weights, current = row
        return lax.cond(jnp.isnan(target), lambda: current, lambda: _choose(weights, target))

    weights = [trainable[place] for place in layout.pruned]
    masks = lax.cond(
        jnp.all(jnp.isnan(targets)),
        lambda: masks,
        # A loop over the rows: under vmap both branches of a condition would be computed.
        lambda: lax.map(one_row, (targets, weights, masks)),
    )
    for place, mask, each in zip(layout.pruned, masks, weights, strict=True):
        trainable[place] = jnp.where(mask, each, jnp.zeros_like(each))
    return masks, trainable


def _choose(weights: list[Any], target: Any) -> list[Any]:
    """The masks of one row.

    Tensors of one size share their code, and small ones that of the largest of them: they are
    filled up with NaN, which ranks above every weight and stands behind. The search takes longer to
    compile than to run.
    """
    small = [each.size for each in weights if each.size <= _FILLED_UP_TO]
    groups: dict[int, list[int]] = {}
    for place, each in enumerate(weights):
        size = max(small) if each.size <= _FILLED_UP_TO else each.size
        groups.setdefault(size, []).append(place)
    chosen: list[Any] = [None] * len(weights)
    for length, places in groups.items():
        flat = [weights[place].ravel().astype("float32") for place in places]
        filled = jnp.stack(
            [jnp.pad(each, (0, length - each.size), constant_values=jnp.nan) for each in flat]
        )
        sizes = jnp.asarray([each.size for each in flat], jnp.int32)
        found = lax.map(lambda each: magnitude_mask(each[0], target, each[1]), (filled, sizes))
        for place, mask, each in zip(places, found, flat, strict=True):
            chosen[place] = mask[: each.size].reshape(weights[place].shape)
    return chosen
