"""A compiled program with room for a group of attempts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from trimgrid.allocation.sharing import Sharing, no_sharing
from trimgrid.engines.carrier import Carrier, UntraceableError
from trimgrid.engines.compiling import collection_paused, compile_program
from trimgrid.engines.feeding import Call, Feeder, Pace
from trimgrid.engines.memory import needed
from trimgrid.engines.program import build_program
from trimgrid.engines.rows import Places, stack
from trimgrid.engines.shapes import AXIS, ROW_AXES, Layout, Plan, Rows, RowStart, State
from trimgrid.engines.windows import sizes_that_occur
from trimgrid.errors import first_line
from trimgrid.iterative import planned_rewinds
from trimgrid.mask_choice import MaskChoice
from trimgrid.timed import masks_epoch_ends
from trimgrid.training import Task

_BY_ROW, _BY_SECOND = PartitionSpec(AXIS), PartitionSpec(None, AXIS)
_EVERYWHERE = PartitionSpec()


@dataclass(frozen=True)
class Group:
    """A group on the devices: where its rows lie, their state, and what stays the same.

    `order`: which order of the data each row follows, `blocks`: how many a device has to do,
    `seeds`: those of the orders. `teacher`: its weights, if there is one. `sharing`: see `Rows`.
    `start`: what rows that rewind go back to.
    """

    places: Places
    state: State
    order: Any
    blocks: Any
    seeds: list[int]
    teacher: Any
    sharing: Any
    start: Any


class GroupProgram:
    """The program for groups of up to `capacity` rows on each device, in blocks of `width`.

    `rewinding`: whether weights of some rows go back at times.
    """

    def __init__(
        self,
        carrier: Carrier,
        feeder: Feeder,
        mesh: Mesh,
        width: int,
        capacity: int,
        rules: tuple[int, ...] = (),
        rewinding: bool = False,
    ) -> None:
        self.carrier = carrier
        self.width = width
        self.capacity = capacity
        self.rewinding = rewinding
        self.feeder = feeder
        self._mesh = mesh
        source, validation = feeder.source, feeder.validation
        self._layout = Layout(
            pruned=carrier.pruned,
            rate=carrier.rate,
            sizes=source.sizes,
            validation_sizes=(() if validation is None else sizes_that_occur(validation.sizes)),
            width=width,
            epochs=source.epochs,
            metrics=carrier.metrics,
            logs=carrier.logs,
            validation_logs=carrier.validation_logs,
            train_step=carrier.train_step,
            rules=rules,
            state_places=carrier.state_places if rewinding else (),
            structure=carrier.structure,
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
        by_step = np.zeros((self.feeder.source.capacity, places.rows), np.float32)
        rows = Rows(
            targets=by_step,
            order=np.zeros(places.rows, np.int32),
            rates=by_step,
            masks_epoch_ends=np.zeros(places.rows, np.bool_),
            sharing=self._sharing(places, [no_sharing(len(self.carrier.pruned))]),
            rewinds=self._rewinds([], steps=0, begin=0, places=places),
        )
        window = self.feeder.shapes()._replace(teacher=self.carrier.teacher, start=self._start())
        arguments = (
            (state, _BY_ROW),
            (window, _EVERYWHERE),
            (np.int32(0), _EVERYWHERE),
            (np.int32(0), _EVERYWHERE),
            (places.blocks, _BY_ROW),
        )
        shapes = [self._shapes(value, spec) for value, spec in arguments]
        state, window, *rest = shapes
        specs = ((_BY_ROW, _BY_SECOND)[axis] for axis in ROW_AXES)
        rows = Rows(*map(self._shapes, rows, specs))
        program = build_program(self.carrier.model, self._layout, self._mesh)
        try:
            with collection_paused():
                return program.lower(state, rows, window, *rest)
        except Exception as error:  # a step may be traced alone, but not side by side or in a loop
            raise UntraceableError(f"{type(error).__name__}: {first_line(error)}") from error

    def compile(self, lowered: Any = None) -> int:
        """Compile the program, if it is not yet; return the bytes it needs on all devices."""
        if self._compiled is None:
            self._compiled = compile_program(self.lower() if lowered is None else lowered)
        return needed(self._compiled) * self._mesh.size

    def call(self, group: Group, state: State, rows: Rows, call: Call) -> tuple[State, Any]:
        """Train the steps of a call; return the new state and the history of its window.

        The state that is given is used up.
        """
        self.compile()
        first, stop = (self._put(np.int32(each), _EVERYWHERE) for each in (call.first, call.stop))
        window = call.window._replace(teacher=group.teacher, start=group.start)
        state, seen = self._compiled(state, rows, window, first, stop, group.blocks)
        return state, seen

    def seconds(self, tasks: Sequence[Task], plans: Sequence[Plan], steps: int) -> float:
        """Return how long the first steps of a group take, the best of three times."""
        self.compile()
        times = []
        for _ in range(3):
            group = self.begin(tasks, plans, self.starts(tasks, plans))
            call = next(self.feeder.calls(1, group.seeds, Pace()))
            call = replace(call, stop=min(call.stop, steps))
            rows = self.rows(tasks, plans, 0, group)
            jax.block_until_ready((group.state, rows, call.window))
            began = time.perf_counter()
            jax.block_until_ready(self.call(group, group.state, rows, call))
            times.append(time.perf_counter() - began)
        return min(times)

    def starts(self, tasks: Sequence[Task], plans: Sequence[Plan]) -> list[State]:
        """The state of each task's row before the first batch."""
        return [
            self.carrier.start(task.training, float(plan[0]), self._choice(task, plan))
            for task, plan in zip(tasks, plans, strict=True)
        ]

    def _choice(self, task: Task, plan: Plan) -> MaskChoice:
        """How the masks of a task are chosen."""
        variables = self.carrier.pruned_variables
        paths, shapes = [each.path for each in variables], [each.shape for each in variables]
        return MaskChoice(task.allocation, paths, shapes, plan, self.carrier.structure)

    def begin(
        self,
        tasks: Sequence[Task],
        plans: Sequence[Plan],
        rows: Sequence[State],
        seeds: list[int] | None = None,
    ) -> Group:
        """Put the states of a group's rows on the devices.

        `seeds`: those of the orders of a group that goes on with some of its rows.
        """
        places = self._places(len(tasks))
        if seeds is None:
            seeds = list(dict.fromkeys(task.training.seed for task in tasks))
        orders = self.feeder.source.orders
        mine = [np.int32(min(seeds.index(task.training.seed), orders - 1)) for task in tasks]
        return Group(
            places,
            self._put(stack(places, rows), _BY_ROW),
            self._put(places.spread(mine, 0), _BY_ROW),
            self._put(places.blocks, _BY_ROW),
            seeds[:orders],
            self._put(self.carrier.teacher, _EVERYWHERE),
            self._put(self._sharing(places, self._sharings(tasks, plans)), _BY_ROW),
            self._put(self._start(), _EVERYWHERE),
        )

    def _sharings(self, tasks: Sequence[Task], plans: Sequence[Plan]) -> list[Sharing]:
        nothing = no_sharing(len(self.carrier.pruned))
        found = [self._choice(*each).sharing for each in zip(tasks, plans, strict=True)]
        return [nothing if each is None else each for each in found]

    def _sharing(self, places: Places, sharings: Sequence[Sharing]) -> Any:
        """The sharings of all rows, stacked, if the program has a use for them."""
        if not self._layout.rules:
            return None
        return jax.tree.map(lambda *arrays: places.spread(arrays, arrays[0]), *sharings)

    def rows(self, tasks: Sequence[Task], plans: Sequence[Plan], begin: int, group: Group) -> Rows:
        """What differs between the rows in the window that begins with step `begin`."""
        return Rows(
            targets=self._by_step([plan[begin + 1 :] for plan in plans], group.places),
            order=group.order,
            rates=self._by_step(
                [() if task.rates is None else task.rates[begin:] for task in tasks], group.places
            ),
            masks_epoch_ends=self._put(
                group.places.spread([masks_epoch_ends(task.schedule) for task in tasks], False),
                _BY_ROW,
            ),
            sharing=group.sharing,
            rewinds=self._put(
                self._rewinds(tasks, len(plans[0]) - 1, begin, group.places), _BY_SECOND
            ),
        )

    def _by_step(self, values: Sequence[Any], places: Places) -> Any:
        """Each row's values for the steps of a window, NaN where there are none, [steps, rows]."""
        steps = self.feeder.source.capacity
        padded = np.full((len(values), steps), np.nan, np.float32)
        for row, found in zip(padded, values, strict=True):
            part = found[:steps]
            row[: len(part)] = part
        return self._put(places.spread(list(padded), np.nan).T, _BY_SECOND)

    def _rewinds(
        self, tasks: Sequence[Task], steps: int, begin: int, places: Places
    ) -> NDArray[np.bool_] | None:
        """Whether weights go back after each step of a window, of `steps` in all, [steps, rows]."""
        if not self.rewinding:
            return None
        due = np.zeros((self.feeder.source.capacity, places.rows), np.bool_)
        for row, task in zip(places.of_attempt, tasks, strict=False):
            part = planned_rewinds(task.schedule, steps)[begin + 1 : begin + 1 + len(due)]
            due[: len(part), row] = part
        return due

    def _start(self) -> RowStart | None:
        return self.carrier.row_start if self.rewinding else None

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
