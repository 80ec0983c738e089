"""The compiled program that trains all attempts of a group.

It maps Keras' own `train_step` over stacked states. An attempt is a row: the first axis of every
array of the state counts the rows, and is laid over all local devices. On each device rows go in
blocks of `width` through all steps of a call: a block that fits the processor's cache trains faster
than all rows side by side. A width of 1 is a loop over the attempts, another one `jax.vmap`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from trimgrid.selection import magnitude_mask

AXIS = "attempts"
_FILLED_UP_TO = 4096


class State(NamedTuple):
    """The state of all rows: the first axis of every array counts them.

    `model` is what `train_step` takes and gives: the values of the trainable, other, optimizer's
    and metrics' variables. `masks` belong to the pruned variables. `bad_step` is the step whose
    loss was the first that is not finite, -1 if there is none, and `bad_loss` that loss.
    """

    model: tuple[list[Any], list[Any], list[Any], list[Any]]
    masks: list[Any]
    bad_step: Any
    bad_loss: Any


class Rows(NamedTuple):
    """What differs between rows in a window of steps.

    `targets`: the sparsity due after each step, NaN where none is, shape [steps, rows]. `order`:
    which of the orders of the data a row follows, shape [rows].
    """

    targets: Any
    order: Any


class Window(NamedTuple):
    """A window of steps that is the same for all rows.

    `data`: examples, each array [examples, ...]. `take`: the examples of each batch, shape
    [orders, steps, batch]. Of each step: `kind`, which of the batch sizes it has, `fresh`, whether
    the metrics begin anew before it, `slot`, the epoch of the window that it ends, else the number
    of epochs. `validation`: as `data`, `validation_take` [batches, batch], `validation_kind`.
    `offset`: the window's first step in the training.
    """

    data: Any
    take: Any
    kind: Any
    fresh: Any
    slot: Any
    offset: Any
    validation: Any
    validation_take: Any
    validation_kind: Any


@dataclass(frozen=True)
class Layout:
    """The static shape of a program.

    `pruned`: places of the pruned variables among the trainable ones. `sizes`: the sizes of
    batches that occur, largest first; `validation_sizes` likewise, empty without validation.
    `width`: rows of a block. `epochs`: slots for the history of a window. `metrics`: the values
    with which the metrics begin. `logs`: what a step logs, `validation_logs`: what a validation
    logs, as arrays' shapes and types.
    """

    pruned: tuple[int, ...]
    sizes: tuple[int, ...]
    validation_sizes: tuple[int, ...]
    width: int
    epochs: int
    metrics: list[Any]
    logs: dict[str, Any]
    validation_logs: dict[str, Any]


def build_program(model: Any, layout: Layout, mesh: Mesh) -> Any:
    """Return the program, to be lowered and compiled.

    Its arguments: `State`, `Rows`, `Window`, the first step of the window to do and the one to stop
    before, and how many blocks each device has to do, shape [devices]. It returns the new `State`
    and the history, each value of shape [epochs + 1, rows, ...]; the last slot means nothing.
    """
    by_row, everywhere = PartitionSpec(AXIS), PartitionSpec()
    rows = Rows(targets=PartitionSpec(None, AXIS), order=by_row)

    def on_a_device(
        state: State, rows: Rows, window: Window, first: Any, stop: Any, blocks: Any
    ) -> tuple[State, dict[str, Any]]:
        return _all_blocks(model, layout, state, rows, window, first, stop, blocks[0])

    sharded = jax.shard_map(
        on_a_device,
        mesh=mesh,
        in_specs=(by_row, rows, everywhere, everywhere, everywhere, by_row),
        out_specs=(by_row, PartitionSpec(None, AXIS)),
        check_vma=False,
    )
    return jax.jit(sharded, donate_argnums=0)


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

    def one_block(block: Any, carry: tuple[State, Any]) -> tuple[State, Any]:
        start = block * width

        def cut(array: Any, axis: int = 0) -> Any:
            return lax.dynamic_slice_in_dim(array, start, width, axis)

        def paste(whole: Any, part: Any, axis: int = 0) -> Any:
            return lax.dynamic_update_slice_in_dim(whole, part, start, axis)

        whole, history = carry
        mine = Rows(cut(rows.targets, 1), cut(rows.order))
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
        fresh = window.fresh[step]
        metrics = [
            jnp.where(fresh, jnp.broadcast_to(start, value.shape), value)
            for start, value in zip(layout.metrics, metrics, strict=True)
        ]
        logs, (trainable, *rest) = _train_step(
            model, layout, (trainable, other, optimizer, metrics), rows.order, window, step
        )
        # A train_step of one's own need not log its loss: then only the weights tell, at the end.
        loss = logs.get("loss", jnp.zeros(layout.width)).astype("float32")
        now_bad = jnp.logical_and(state.bad_step < 0, jnp.logical_not(jnp.isfinite(loss)))
        masks, trainable = _prune(layout, state.masks, list(trainable), rows.targets[step])
        slot = window.slot[step]
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


def _train_step(
    model: Any, layout: Layout, state: Any, order: Any, window: Window, step: Any
) -> tuple[dict[str, Any], Any]:
    """One step of the rows of a block: Keras' `train_step`, for each size of batch that occurs."""

    def with_batch_of(size: int) -> Callable[[], Any]:
        def run() -> Any:
            # A batch for each row even where all are the same: products with a batch that rows
            # share are rounded in another way, and repeats would differ from single runs.
            examples = window.take[order, step][:, :size]
            batch = jax.tree.map(lambda array: array[examples], window.data)
            return over_rows(model.train_step, layout.width, (0, 0), state, batch)

        return run

    return _switch(window.kind[step], [with_batch_of(size) for size in layout.sizes])


def over_rows(
    function: Callable[..., Any], width: int, axes: tuple[int | None, int | None], *arguments: Any
) -> Any:
    """Call a function for every row of a block: a plain call for one row, else `jax.vmap`."""
    if width > 1:
        return jax.vmap(function, axes)(*arguments)
    single = [
        argument if axis is None else jax.tree.map(lambda array: array[0], argument)
        for axis, argument in zip(axes, arguments, strict=True)
    ]
    return jax.tree.map(lambda array: jnp.asarray(array)[None], function(*single))


def _prune(
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
