"""The compiled program that trains all attempts of a group.

It maps Keras' own `train_step` over stacked states. An attempt is a row: the first axis of every
array of the state counts the rows, and is laid over all local devices. On each device rows go in
blocks of `width` through all steps of a call. A width of 1 is a loop over the attempts, another one
`jax.vmap`. On a CPU it is 2 whatever the number of rows: XLA rounds other widths in other ways, and
what comes out of a row must not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from trimgrid.engines.mask_updates import prune
from trimgrid.engines.row_rewinds import rewind
from trimgrid.engines.shapes import AXIS, ROW_AXES, Layout, Rows, State, Window


def build_program(model: Any, layout: Layout, mesh: Mesh) -> Any:
    """Return the program, to be lowered and compiled.

    Its arguments: `State`, `Rows`, `Window`, the first step of the window to do and the one to stop
    before, and how many blocks each device has to do, shape [devices]. It returns the new `State`
    and the history, each value of shape [epochs + 1, rows, ...]; the last slot means nothing.
    """
    by_row, everywhere = PartitionSpec(AXIS), PartitionSpec()
    by_second = PartitionSpec(None, AXIS)
    rows = Rows(*((by_row, by_second)[axis] for axis in ROW_AXES))

    def on_a_device(
        state: State, rows: Rows, window: Window, first: Any, stop: Any, blocks: Any
    ) -> tuple[State, dict[str, Any]]:
        return _all_blocks(model, layout, state, rows, window, first, stop, blocks[0])

    sharded = jax.shard_map(
        on_a_device,
        mesh=mesh,
        in_specs=(by_row, rows, everywhere, everywhere, everywhere, by_row),
        out_specs=(by_row, by_second),
        check_vma=False,
    )
    return jax.jit(sharded, donate_argnums=0)


def _all_blocks(
    model: Any,
    layout: Layout,
    state: State,
    rows: Rows,
    window: Window,
    first: Any,
    stop: Any,
    blocks: Any,
) -> tuple[State, dict[str, Any]]:
    """Train one block of rows after the other; what is not in a block stays as it is."""
    width, count = layout.width, rows.order.shape[0]
    by_axis = list(zip(rows, ROW_AXES, strict=True))

    def one_block(block: Any, carry: tuple[State, Any]) -> tuple[State, Any]:
        start = block * width

        def cut(array: Any, axis: int = 0) -> Any:
            return lax.dynamic_slice_in_dim(array, start, width, axis)

        def paste(whole: Any, part: Any, axis: int = 0) -> Any:
            return lax.dynamic_update_slice_in_dim(whole, part, start, axis)

        whole, history = carry
        mine = Rows(*(jax.tree.map(partial(cut, axis=axis), part) for part, axis in by_axis))
        part, seen = _block(model, layout, jax.tree.map(cut, whole), mine, window, first, stop)
        whole = jax.tree.map(paste, whole, part)
        return whole, jax.tree.map(lambda a, b: paste(a, b, 1), history, seen)

    history = _no_history(layout, count)
    return lax.fori_loop(jnp.int32(0), blocks, one_block, (state, history))


def _block(
    model: Any, layout: Layout, state: State, rows: Rows, window: Window, first: Any, stop: Any
) -> tuple[State, dict[str, Any]]:
    """Train the rows of one block side by side through the steps from `first` to before `stop`."""

    def one_step(step: Any, carry: tuple[State, Any]) -> tuple[State, Any]:
        state, history = carry
        trainable, other, optimizer, metrics = state.model
        optimizer = _at_rates(layout, optimizer, rows.rates[step])
        fresh = window.fresh[step]
        metrics = [
            jnp.where(fresh, jnp.broadcast_to(start, value.shape), value)
            for start, value in zip(layout.metrics, metrics, strict=True)
        ]
        logs, (trainable, *rest) = _train_step(
            layout, (trainable, other, optimizer, metrics), rows.order, window, step
        )
        # A train_step of one's own need not log its loss: then only the weights tell, at the end.
        loss = logs.get("loss", jnp.zeros(layout.width)).astype("float32")
        now_bad = jnp.logical_and(state.bad_step < 0, jnp.logical_not(jnp.isfinite(loss)))
        slot = window.slot[step]
        masked_before = jnp.logical_and(rows.masks_epoch_ends, slot < layout.epochs)
        masks, trainable = prune(
            layout, state.masks, list(trainable), rows.targets[step], masked_before, rows.sharing
        )
        if window.start is not None:
            values = trainable, rest[1]
            trainable, rest[1] = rewind(layout, window.start, values, masks, rows.rewinds[step])
        if layout.validation_sizes:
            # Outside the vmap, so that it costs nothing where no epoch ends.
            other, seen = lax.cond(
                slot < layout.epochs,
                lambda: _validate(model, layout, (trainable, *rest), window),
                lambda: (rest[0], _no_logs(layout.validation_logs, layout.width)),
            )
            rest, logs = [other, *rest[1:]], logs | seen
        state = State(
            (trainable, *rest),
            masks,
            jnp.where(now_bad, window.offset + step, state.bad_step),
            jnp.where(now_bad, loss, state.bad_loss),
        )
        history = {key: history[key].at[slot].set(value) for key, value in logs.items()}
        return state, history

    return lax.fori_loop(first, stop, one_step, (state, _no_history(layout, layout.width)))


def _at_rates(layout: Layout, optimizer: list[Any], rates: Any) -> list[Any]:
    """The optimizer's state with the learning rates of a step, where there is a plan of them."""
    if layout.rate is None:
        return optimizer
    current, optimizer = optimizer[layout.rate], list(optimizer)
    optimizer[layout.rate] = jnp.where(jnp.isnan(rates), current, rates.astype(current.dtype))
    return optimizer


def _train_step(
    layout: Layout, state: Any, order: Any, window: Window, step: Any
) -> tuple[dict[str, Any], Any]:
    """One step of the rows of a block: Keras' `train_step`, for each size of batch that occurs."""

    def with_batch_of(size: int) -> Callable[[], Any]:
        def run() -> Any:
            # A batch for each row even where all are the same: products with a batch that rows
            # share are rounded in another way, and repeats would differ from single runs.
            examples = window.take[order, step][:, :size]
            batch = jax.tree.map(lambda array: array[examples], window.data)
            each = (state, batch, window.teacher)
            return over_rows(layout.train_step, layout.width, (0, 0, None), *each)

        return run

    return _switch(window.kind[step], [with_batch_of(size) for size in layout.sizes])


def over_rows(
    function: Callable[..., Any], width: int, axes: tuple[int | None, ...], *arguments: Any
) -> Any:
    """Call a function for every row of a block: a plain call for one row, else `jax.vmap`."""
    if width > 1:
        return jax.vmap(function, axes)(*arguments)
    single = [
        argument if axis is None else jax.tree.map(lambda array: array[0], argument)
        for axis, argument in zip(axes, arguments, strict=True)
    ]
    return jax.tree.map(lambda array: jnp.asarray(array)[None], function(*single))


def _validate(
    model: Any, layout: Layout, state: Any, window: Window
) -> tuple[list[Any], dict[str, Any]]:
    """Pass over the validation data: the state of the other variables after it, and `val_...`."""
    trainable, other, _, metrics = state
    fresh = [
        jnp.broadcast_to(start, value.shape)
        for start, value in zip(layout.metrics, metrics, strict=True)
    ]

    def one_batch(place: Any, carry: Any) -> Any:
        other, metrics, _ = carry

        def with_batch_of(size: int) -> Callable[[], Any]:
            def run() -> Any:
                examples = window.validation_take[place, :size]
                batch = jax.tree.map(lambda array: array[examples], window.validation)
                logs, after = over_rows(
                    model.test_step, layout.width, (0, None), (trainable, other, metrics), batch
                )
                return *after[1:], {f"val_{key}": value for key, value in logs.items()}

            return run

        sizes = layout.validation_sizes
        return _switch(window.validation_kind[place], [with_batch_of(size) for size in sizes])

    nothing = _no_logs(layout.validation_logs, layout.width)
    batches = window.validation_kind.shape[0]
    other, _, logs = lax.fori_loop(0, batches, one_batch, (other, fresh, nothing))
    return other, logs


def _switch(kind: Any, branches: Sequence[Callable[[], Any]]) -> Any:
    return branches[0]() if len(branches) == 1 else lax.switch(kind, branches)


def _no_logs(logs: dict[str, Any], rows: int) -> dict[str, Any]:
    return {key: jnp.zeros((rows, *each.shape), each.dtype) for key, each in logs.items()}


def _no_history(layout: Layout, rows: int) -> dict[str, Any]:
    nothing = _no_logs(layout.logs | layout.validation_logs, rows)
    return jax.tree.map(lambda a: jnp.broadcast_to(a, (layout.epochs + 1, *a.shape)), nothing)
