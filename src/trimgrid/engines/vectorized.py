"""All attempts of a group trained at once, as one compiled program. Needs Keras on JAX."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import keras
import numpy as np
from jax.sharding import Mesh

from trimgrid.data import ArrayData, StreamData
from trimgrid.engines.carrier import Carrier, held_in_variables
from trimgrid.engines.collection import collection_paused
from trimgrid.engines.feeding import Feeder
from trimgrid.engines.group import GroupProgram, Outcome, Plan
from trimgrid.engines.memory import budget, readable
from trimgrid.engines.program import AXIS
from trimgrid.engines.rows import width_of_blocks
from trimgrid.engines.trained import OnEpoch, Trained
from trimgrid.engines.width import LARGEST_CPU_BLOCK, choose_width
from trimgrid.engines.windows import Source
from trimgrid.errors import InputError, RunError, first_line
from trimgrid.training import Task, Training

# What rows hold is counted so often in memory: the state, and the program's room to work.
ROOM = 3


class NoRoomError(InputError):
    """Not even the smallest program keeps within the memory."""


class VectorizedEngine:
    """Trains copies of a model side by side, each with its own schedule, seed and learning rate.

    Each attempt is a row of stacked states; Keras' own `train_step` is mapped over the rows inside
    one compiled program, and the rows are laid over all local devices of JAX. What comes out of a
    row does not depend on the rows beside it. Data lies on the devices once, or comes in chunks
    that are decoded once for all attempts.

    `model`: the original, trained or not; it stays as it is. `data`, `validation`: what
    `trimgrid.data.open_data` gives. `training`: the settings that all trainings share but for the
    seed and the optimizer. `attempts`: how many trainings will be asked for at once, `seeds`: how
    many different seeds they have, `others`: their settings, so that one with another optimizer
    that can't be trained is found out now. `memory`: the bytes that training may take, None for
    60 % of what is free. `say`: called with a line on each choice made.

    Raises `InputError` if the backend is not JAX, the memory is too small for one attempt or the
    model has no prunable weights, and `UntraceableError` if JAX can't trace its training step.

    >>> from trimgrid.data import open_data
    >>> from trimgrid.schedules import ConstantSparsity
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> training = Training("mse", batch_size=2)
    >>> data = open_data((np.ones((6, 4)), np.zeros((6, 2))), training, "training data")
    >>> engine = VectorizedEngine(model, data, training, attempts=2)
    >>> grid = [Task(str(s), ConstantSparsity(s), training) for s in (0.25, 0.5)]
    >>> for place, trained in engine.train(grid):
    ...     print(place, int((trained.model.get_weights()[0] == 0).sum()), trained.failure)
    0 2 None
    1 4 None
    """

    def __init__(
        self,
        model: Any,
        data: ArrayData | StreamData,
        training: Training,
        validation: ArrayData | None = None,
        attempts: int = 1,
        seeds: int = 1,
        others: Sequence[Training] = (),
        memory: int | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        if keras.config.backend() != "jax":
            raise InputError(
                "The vectorized engine runs on the JAX backend. "
                f"Received: a process with Keras on {keras.config.backend()}. Set "
                "KERAS_BACKEND=jax before Keras is imported, or take the sequential engine."
            )
        self._original = model
        self._data = data
        self._training = training
        self._others = others
        self._validation = validation
        self._attempts = attempts
        self._say = say or (lambda line: None)
        self._devices = jax.local_devices()
        self._mesh = Mesh(np.array(self._devices), (AXIS,))
        self._budget = budget(memory, self._devices)
        resident = isinstance(data, ArrayData) and self._copies(data) < self._budget // 2
        self._carriers: dict[str, Carrier] = {}
        self._programs: dict[tuple[str, bool], GroupProgram] = {}
        try:
            self._open(resident, seeds, self._budget // 8)
        except NoRoomError:
            self._open(resident=False, seeds=seeds, chunk=0)  # a batch at a time

    def train(
        self,
        tasks: Sequence[Task],
        weights: list[Any] | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Iterator[tuple[int, Trained]]:
        """Train each task from the same weights; yield its place and what came out, as it comes.

        `weights`: as `get_weights` of a copy of the original gives them; None: the original's own.
        The model of a `Trained` is the same object each time: it is good until the next is asked
        for.

        Raises `RunError` if even one attempt alone does not find enough memory.
        """
        start = self._original.get_weights() if weights is None else weights
        # A group has so many orders of the data; a stream has its own, whatever the seed.
        seeds = len({task.training.seed for task in tasks})
        by_seed = isinstance(self._data, ArrayData) and seeds > self._source.orders
        for waiting in _alike(tasks, by_seed):
            while waiting:
                training = tasks[waiting[0]].training
                program = self._program(training, alone=len(waiting) == 1)
                program.carrier.begin_from(start)
                group = waiting[: program.attempts]
                try:
                    outcomes = self._run(program, [tasks[place] for place in group], on_epoch)
                except jax.errors.JaxRuntimeError as error:
                    self._make_smaller(program, error)
                    continue
                del waiting[: len(group)]
                for place, outcome in zip(group, outcomes, strict=True):
                    yield place, self._trained(program.carrier, outcome)

    def _run(
        self, program: GroupProgram, tasks: Sequence[Task], on_epoch: OnEpoch | None
    ) -> list[Outcome]:
        steps = self._source.steps * tasks[0].training.epochs
        plans = [_plan(task, steps) for task in tasks]
        names = [task.name for task in tasks]
        report = None if on_epoch is None else partial(on_epoch, names)
        return program.run(tasks, plans, report)

    def _trained(self, carrier: Carrier, outcome: Outcome) -> Trained:
        model = carrier.receive(outcome.values, outcome.masks)
        history = {
            key: [value.tolist() for value in values] for key, values in outcome.history.items()
        }
        if outcome.bad_step >= 0:
            epochs = outcome.bad_step // self._source.steps + 1
            history = {key: values[:epochs] for key, values in history.items()}
            failure = f"the loss became {outcome.bad_loss} at step {outcome.bad_step + 1}"
            return Trained(model, history, failure)
        if not all(np.isfinite(array).all() for part in outcome.values[:2] for array in part):
            steps = self._source.steps * self._training.epochs
            failure = f"the weights stopped being finite by step {steps}"
            return Trained(model, history, failure)
        return Trained(model, history, None)

    # -- programs ------------------------------------------------------------------------------

    def _open(self, resident: bool, seeds: int, chunk: int) -> None:
        """Plan the way of the data to the devices, in chunks of so many bytes if it does not stay
        there, and make the first program."""
        # Orders of the data lie on the devices too. Where they would take too much room, a group
        # has attempts of one seed only.
        order_bytes = 4 * sum(self._data.sizes) * len(self._devices)
        orders = seeds if resident and seeds * order_bytes <= self._budget // 8 else 1
        epochs = self._training.epochs
        self._source = Source.of(self._data, resident, orders, epochs, chunk)
        self._feeder = Feeder(self._source, self._validation, self._mesh)
        for training in (self._training, *self._others):
            self._program(training, alone=False)

    def _program(self, training: Training, alone: bool) -> GroupProgram:
        """The program for such trainings, made and compiled when it is first asked for.

        One training alone has its own where the groups' blocks are so wide that most of the work
        would be for nothing.
        """
        kind = _kind(training)
        groups = self._programs.get((kind, False))
        if groups is not None and (not alone or groups.width <= LARGEST_CPU_BLOCK):
            return groups
        if (kind, alone) not in self._programs:
            self._programs[kind, alone] = self._fitting(
                self._planned(self._carrier(kind, training), 1 if alone else self._attempts)
            )
        return self._programs[kind, alone]

    def _carrier(self, kind: str, training: Training) -> Carrier:
        if kind not in self._carriers:
            example = next(self._data.epoch(None, 0))
            validation = self._validation
            with collection_paused():
                self._carriers[kind] = Carrier(
                    self._original,
                    training,
                    example,
                    None if validation is None else next(validation.epoch(None, 0)),
                )
        return self._carriers[kind]

    def _planned(self, carrier: Carrier, attempts: int) -> GroupProgram:
        """The program for so many attempts, as wide as is fastest, as long as memory is thought
        to allow."""
        room = max(1, (self._budget - self._fixed_bytes()) // (ROOM * carrier.row_bytes))
        rows = min(attempts, room)

        def program(loop: bool) -> GroupProgram:
            devices = len(self._devices)
            largest = LARGEST_CPU_BLOCK if self._devices[0].platform == "cpu" else rows
            width = 1 if loop else width_of_blocks(rows, devices, largest)
            blocks = math.ceil(math.ceil(rows / devices) / width)
            return self._with_room(carrier, width, blocks * width)

        choice = choose_width(program, self._training, self._source, self._devices)
        self._say(choice.sentence)
        return choice.program

    def _fitting(self, program: GroupProgram) -> GroupProgram:
        """The program compiled, or a smaller one, so that it keeps within the memory.

        Raises `NoRoomError` if not even the smallest does.
        """
        while True:
            try:
                needed = program.compile()
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                needed = None
            if needed is not None and needed <= self._budget:
                return program
            smaller = self._half(program)
            if smaller is None:
                # One percent more: the figure is rounded, and so much must be enough.
                what = "more than there is" if needed is None else readable(1.01 * needed)
                raise NoRoomError(
                    "The memory for training must have room for one attempt. "
                    f"Received: {readable(self._budget)}, where this model, its data and batches "
                    f"of {max(self._source.sizes)} need {what}. Give more memory, or smaller "
                    "batches."
                )
            program = smaller

    def _half(self, program: GroupProgram) -> GroupProgram | None:
        """A program with half the room, None where there is no smaller one."""
        width, capacity = program.width, program.capacity
        if capacity > width:
            capacity = math.ceil(capacity // width / 2) * width
        elif width > 2:
            width = capacity = max(2, width // 2)
        else:
            return None
        return self._with_room(program.carrier, width, capacity)

    def _with_room(self, carrier: Carrier, width: int, capacity: int) -> GroupProgram:
        return GroupProgram(carrier, self._feeder, self._validation, self._mesh, width, capacity)

    def _make_smaller(self, program: GroupProgram, error: Exception) -> None:
        """Replace a program that ran out of memory by one with half the room.

        Raises the error if it is another one, and `RunError` where there is no smaller program.
        """
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise error
        smaller = self._half(program)
        if smaller is None:
            raise RunError(f"One attempt alone runs out of memory: {first_line(error)}") from error
        self._say(
            f"Out of memory with {program.attempts} attempts at a time: going on with "
            f"{smaller.attempts}."
        )
        for key, each in self._programs.items():
            if each is program:
                self._programs[key] = self._fitting(smaller)

    # -- bytes ---------------------------------------------------------------------------------

    def _fixed_bytes(self) -> int:
        """What data takes on all devices, whatever the number of rows."""
        validation = 0 if self._validation is None else self._copies(self._validation)
        if not self._source.resident:
            return validation + 2 * len(self._devices) * self._source.chunk_bytes
        assert isinstance(self._data, ArrayData)
        return validation + self._copies(self._data)

    def _copies(self, data: ArrayData) -> int:
        return data.nbytes * len(self._devices)


def _alike(tasks: Sequence[Task], by_seed: bool) -> list[list[int]]:
    """The places of tasks that one program can train: they differ in nothing that is compiled."""
    kinds: dict[tuple[str, int], list[int]] = {}
    for place, task in enumerate(tasks):
        key = _kind(task.training), task.training.seed if by_seed else 0
        kinds.setdefault(key, []).append(place)
    return list(kinds.values())


def _kind(training: Training) -> str:
    """What of a training is compiled: its optimizer, but for what that holds in variables."""
    return json.dumps(_compiled_settings(training.fresh_optimizer()), sort_keys=True, default=repr)


def _compiled_settings(optimizer: Any) -> dict[str, Any]:
    left_out = {"name", *held_in_variables(optimizer)}
    settings = {key: each for key, each in optimizer.get_config().items() if key not in left_out}
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        settings["inner_optimizer"] = _compiled_settings(inner)
    return {"class": f"{type(optimizer).__module__}.{type(optimizer).__name__}", **settings}


def _plan(task: Task, steps: int) -> Plan:
    if task.schedule is None:
        return np.full(steps + 1, np.nan)
    return np.asarray(task.schedule.plan(steps), np.float32)
