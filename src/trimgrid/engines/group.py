"""A compiled program with room for a group of attempts, and a group's run through it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from trimgrid.data import ArrayData
from trimgrid.engines.carrier import Carrier, UntraceableError, Values
from trimgrid.engines.collection import collection_paused
from trimgrid.engines.feeding import Feeder, Pace
from trimgrid.engines.memory import needed
from trimgrid.engines.program import AXIS, Layout, Rows, build_program, compile_program
from trimgrid.engines.rows import Places, stack
from trimgrid.errors import first_line
from trimgrid.training import Task

Plan = NDArray[np.floating[Any]]
"""The sparsity due at each step of a training, from 0 to the last; NaN where no update is."""
_BY_ROW, _BY_SECOND = PartitionSpec(AXIS), PartitionSpec(None, AXIS)
_EVERYWHERE = PartitionSpec()


@dataclass(frozen=True)
class Outcome:
    """What came out of a row: its state, masks and history, and where it stopped being finite.

    `bad_step` counts from 0 and is -1 where the loss was finite to the end.
    """

    values: Values
    masks: list[NDArray[np.bool_]]
    history: dict[str, list[Any]]
    bad_step: int
    bad_loss: float


class GroupProgram:
    """The program for groups of up to `capacity` rows on each device, in blocks of `width`."""

    def __init__(
        self,
        carrier: Carrier,
        feeder: Feeder,
        validation: ArrayData | None,
        mesh: Mesh,
        width: int,
        capacity: int,
    ) -> None:
        self.carrier = carrier
        self.width = width
        self.capacity = capacity
        self._feeder = feeder
        self._mesh = mesh
        source = feeder.source
        self._layout = Layout(
            pruned=carrier.pruned,
            sizes=source.sizes,
            validation_sizes=(
                () if validation is None else tuple(sorted(set(validation.sizes), reverse=True))
            ),
            width=width,
            epochs=source.epochs,
            metrics=carrier.metrics,
            logs=carrier.logs,
            validation_logs=carrier.validation_logs,
        )
        self._compiled: Any = None

    @property
    def attempts(self) -> int:
        """How many attempts have room in a group."""
        return self.capacity * self._mesh.size

    def lower(self) -> Any:
        """Trace the program.

        Raises `UntraceableError` if JAX can't.
        """
        places = self._places(1)
        state = stack(places, [self.carrier.start(self.carrier.training, float("nan"))])
        rows = Rows(
            np.zeros((self._feeder.source.capacity, places.rows), np.float32),
            np.zeros(places.rows, np.int32),
        )
        arguments = (
            (state, _BY_ROW),
            (rows.targets, _BY_SECOND),
            (rows.order, _BY_ROW),
            (self._feeder.shapes(), _EVERYWHERE),
            (np.int32(0), _EVERYWHERE),
            (np.int32(0), _EVERYWHERE),
            (places.blocks, _BY_ROW),
        )
        state, targets, order, *rest = (self._shapes(value, spec) for value, spec in arguments)
        program = build_program(self.carrier.model, self._layout, self._mesh)
        try:
            with collection_paused():
                return program.lower(state, Rows(targets, order), *rest)
        except Exception as error:  # a step may be traced alone, but not side by side or in a loop
            raise UntraceableError(f"{type(error).__name__}: {first_line(error)}") from error

    def compile(self, lowered: Any = None) -> int:
        """Compile the program, if it is not yet; return the bytes it needs on all devices."""
        if self._compiled is None:
            self._compiled = compile_program(self.lower() if lowered is None else lowered)
        return needed(self._compiled) * self._mesh.size

    def run(
        self,
        tasks: Sequence[Task],
        plans: Sequence[Plan],
        on_epoch: Callable[[int, Sequence[float]], None] | None = None,
    ) -> list[Outcome]:
        """Train a group; `on_epoch` gets each epoch's number, from 1, and the tasks' losses."""
        self.compile()
        places = self._places(len(tasks))
        state, order, blocks, seeds = self._begin(tasks, plans, places)
        epochs, pace = tasks[0].training.epochs, Pace()
        history: dict[str, list[NDArray[Any]]] = {}
        targets, begin, before = None, -1, None
        for call in self._feeder.calls(epochs, seeds, pace):
            if call.begin != begin:
                begin = call.begin
                targets = self._targets(plans, begin, places)
            began = time.perf_counter()
            state, seen = self._compiled(
                state,
                Rows(targets, order),
                call.window,
                self._put(np.int32(call.first), _EVERYWHERE),
                self._put(np.int32(call.stop), _EVERYWHERE),
                blocks,
            )
            if not call.ended:
                # At most two chunks on the devices: the one that is trained on, and the next.
                jax.block_until_ready(before)
                before = seen
                continue
            seen = {key: np.asarray(value) for key, value in seen.items()}  # waits for the call
            pace.took(len(call.ended), time.perf_counter() - began)
            for epoch, slot in call.ended:
                for key, values in seen.items():
                    history.setdefault(key, []).append(values[slot][places.of_attempt])
                if on_epoch is not None:
                    losses = history.get("loss", [np.full(len(tasks), np.nan)])[-1]
                    on_epoch(epoch + 1, [float(loss) for loss in losses])
            if (np.asarray(state.bad_step)[places.of_attempt] >= 0).all():
                break
        return self._outcomes(jax.tree.map(np.asarray, state), history, places)

    def seconds(self, tasks: Sequence[Task], plans: Sequence[Plan], steps: int) -> float:
        """Return how long the first steps of a group take, the best of three times."""
        self.compile()
        places = self._places(len(tasks))
        times = []
        for _ in range(3):
            state, order, blocks, seeds = self._begin(tasks, plans, places)
            call = next(self._feeder.calls(1, seeds, Pace()))
            rows = Rows(self._targets(plans, 0, places), order)
            stop = min(call.stop, steps)
            window, first, stop = self._put((call.window, np.int32(0), np.int32(stop)), _EVERYWHERE)
            jax.block_until_ready((state, rows, window))
            began = time.perf_counter()
            jax.block_until_ready(self._compiled(state, rows, window, first, stop, blocks))
            times.append(time.perf_counter() - began)
        return min(times)

    def _begin(self, tasks: Sequence[Task], plans: Sequence[Plan], places: Places) -> Any:
        starts = [
            self.carrier.start(task.training, float(plan[0]))
            for task, plan in zip(tasks, plans, strict=True)
        ]
        seeds = list(dict.fromkeys(task.training.seed for task in tasks))
        orders = self._feeder.source.orders
        mine = [np.int32(min(seeds.index(task.training.seed), orders - 1)) for task in tasks]
        return (
            self._put(stack(places, starts), _BY_ROW),
            self._put(places.spread(mine, 0), _BY_ROW),
            self._put(places.blocks, _BY_ROW),
            seeds[:orders],
        )

    def _targets(self, plans: Sequence[Plan], begin: int, places: Places) -> Any:
        """The sparsity due after each step of a window, [steps, rows]."""
        steps = self._feeder.source.capacity
        due = np.full((len(plans), steps), np.nan, np.float32)
        for row, plan in zip(due, plans, strict=True):
            part = plan[begin + 1 : begin + 1 + steps]
            row[: len(part)] = part
        return self._put(places.spread(list(due), np.nan).T, _BY_SECOND)

    def _places(self, attempts: int) -> Places:
        return Places.of(attempts, self._mesh.size, self.capacity, self.width)

    def _put(self, value: Any, spec: PartitionSpec) -> Any:
        return jax.device_put(value, NamedSharding(self._mesh, spec))

    def _shapes(self, value: Any, spec: PartitionSpec) -> Any:
        sharding = NamedSharding(self._mesh, spec)
        return jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(
                np.shape(array),
                jax.dtypes.canonicalize_dtype(np.asarray(array).dtype),
                sharding=sharding,
            ),
            value,
        )

    @staticmethod
    def _outcomes(state: Any, history: dict[str, list[Any]], places: Places) -> list[Outcome]:
        return [
            Outcome(
                jax.tree.map(lambda array, at=row: array[at], state.model),
                [mask[row] for mask in state.masks],
                {key: [values[place] for values in seen] for key, seen in history.items()},
                int(state.bad_step[row]),
                float(state.bad_loss[row]),
            )
            for place, row in enumerate(places.of_attempt)
        ]
