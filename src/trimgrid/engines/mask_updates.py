"""The mask updates of a block of rows, inside the compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from trimgrid.allocation.sharing import EACH
from trimgrid.engines.shapes import Layout
from trimgrid.selection import kept_count, magnitude_mask
from trimgrid.shared_selection import kept_counts
from trimgrid.structured_selection import group_counts, ranked, spread
from trimgrid.structures.grouping import grouping
from trimgrid.structures.kinds import Structure

_FILLED_UP_TO = 4096


def prune(
    layout: Layout,
    masks: list[Any],
    trainable: list[Any],
    targets: Any,
    masked_before: Any,
    sharing: Any,
) -> tuple[list[Any], list[Any]]:
    """Choose masks anew for the rows where an update is due, and apply all of them.

    `targets` and `masked_before`, shape [rows]: the sparsity that is due, NaN where none is, and
    whether pruned weights are zero before masks are chosen.
    """

    def one_row(row: tuple[Any, Any, list[Any], list[Any], Any]) -> list[Any]:
        target, masked, weights, current, shared = row

        def chosen() -> list[Any]:
            values = [
                jnp.where(jnp.logical_or(mask, jnp.logical_not(masked)), each, 0)
                for mask, each in zip(current, weights, strict=True)
            ]
            counts = _counts(layout, values, target, shared)
            if layout.structure is not None:
                return _structured(layout.structure, values, counts)
            return _largest(values, counts)

        return lax.cond(jnp.isnan(target), lambda: current, chosen)

    weights = [trainable[place] for place in layout.pruned]
    masks = lax.cond(
        jnp.all(jnp.isnan(targets)),
        lambda: masks,
        # A loop over the rows: under vmap both branches of a condition would be computed.
        lambda: lax.map(one_row, (targets, masked_before, weights, masks, sharing)),
    )
    for place, mask, each in zip(layout.pruned, masks, weights, strict=True):
        trainable[place] = jnp.where(mask, each, jnp.zeros_like(each))
    return masks, trainable


def _counts(layout: Layout, weights: list[Any], target: Any, sharing: Any) -> Any:
    """How many weights or groups of each tensor of one row stay, by the row's own rule."""
    rules, structure = layout.rules, layout.structure

    def by(rule: int) -> Callable[[], Any]:
        if rule == EACH and structure is not None:
            shapes = [each.shape for each in weights]
            return lambda: group_counts(structure, shapes, target)
        if rule == EACH:
            sizes = np.array([each.size for each in weights], np.int32)
            return lambda: kept_count(sizes, target)
        return lambda: kept_counts(weights, sharing, target, rule, structure)

    if len(rules) < 2:
        return by(rules[0] if rules else EACH)()
    return lax.switch(jnp.argmax(jnp.array(rules) == sharing.kind), [by(rule) for rule in rules])


def _structured(structure: Structure, weights: list[Any], counts: Any) -> list[Any]:
    """The masks of one row, which keep so many of each tensor's groups."""
    least = np.array([grouping(structure, each.shape).least for each in weights], np.int32)
    chosen = _largest([ranked(structure, each) for each in weights], jnp.maximum(counts, least))
    return [
        spread(structure, groups, each.shape) for groups, each in zip(chosen, weights, strict=True)
    ]


def _largest(weights: list[Any], counts: Any) -> list[Any]:
    """The masks of one row, which keep so many of each tensor's weights.

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
        kept = counts[jnp.asarray(places)]
        found = lax.map(
            lambda each: magnitude_mask(each[0], size=each[1], kept=each[2]), (filled, sizes, kept)
        )
        for place, mask, each in zip(places, found, flat, strict=True):
            chosen[place] = mask[: each.size].reshape(weights[place].shape)
    return chosen
