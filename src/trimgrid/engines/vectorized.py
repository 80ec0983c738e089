"""All attempts of a group trained at once, as one compiled program. Needs Keras on JAX."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from jax.sharding import Mesh

from trimgrid.allocation.sharing import rule_of
from trimgrid.data.sources import ArrayData, StreamData
from trimgrid.engines.carrier import Carrier
from trimgrid.engines.compiling import collection_paused
from trimgrid.engines.feeding import Feeder
from trimgrid.engines.group import GroupProgram
from trimgrid.engines.group_training import Outcome, train_group
from trimgrid.engines.memory import NoRoomError, budget
from trimgrid.engines.programs import Programs, kind_of
from trimgrid.engines.saving import check_ids, saving
from trimgrid.engines.shapes import AXIS
from trimgrid.engines.trained import OnEpoch, Trained
from trimgrid.engines.untrained import pruned_only
from trimgrid.engines.windows import Source
from trimgrid.halving import Halving
from trimgrid.iterative import may_rewind
from trimgrid.run_directory.checkpoints import Checkpoints
from trimgrid.schedule_kinds import is_trained
from trimgrid.startup import check_engine
from trimgrid.structures.kinds import Structure
from trimgrid.training import Task, Training


class VectorizedEngine:
    """Trains copies of a model side by side, each with its own schedule, seed and learning rate.

    Each attempt is a row of stacked states; Keras' own `train_step` is mapped over the rows inside
    one compiled program, and the rows are laid over all local devices of JAX. What comes out of a
    row does not depend on the rows beside it. Data lies on the devices once, or comes in chunks
    that are decoded once for all attempts.

    `model`: the original, trained or not; it stays as it is. `data`, `validation`: what
    `open_data` gives. `training`: the settings that all trainings share but for the seed, the
    optimizer and the distillation. `attempts`: how many trainings will be asked for at once,
    `seeds`: how many different seeds they have, `others`: their settings, so that one with another
    optimizer or a distillation that can't be trained is found out now, `rewinding`: likewise of
    those whose weights go back at times, `structured`: of those whose masks have a structure, with
    whether weights go back. `memory`: the bytes that training may take, None for 60 %
    of what is free. `say`: called with a line on each choice made. `kept`: the folder in which a
    run keeps what its choices were made by. `rules`: the rules of allocation that trainings will
    have, see `rule_of`.

    Raises `InputError` if the backend is not JAX, the memory is too small for one attempt or the
    model has no prunable weights, and `UntraceableError` if JAX can't trace its training step.

    >>> from trimgrid.data.sources import open_data
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
        rewinding: Sequence[Training] = (),
        structured: Sequence[tuple[Training, bool, Structure]] = (),
        memory: int | None = None,
        say: Callable[[str], None] | None = None,
        kept: Path | None = None,
        rules: Collection[int] = (),
    ) -> None:
        check_engine("vectorized", keras.config.backend())
        self._original = model
        self._data = data
        self._training = training
        self._others = others
        self._rewinding = rewinding
        self._structured = structured
        self._validation = validation
        self._attempts = attempts
        self._say = say or (lambda line: None)
        self._kept = kept
        self._rules = rules
        self._devices = jax.local_devices()
        self._mesh = Mesh(np.array(self._devices), (AXIS,))
        self._budget = budget(memory, self._devices)
        resident = isinstance(data, ArrayData) and self._copies(data) < self._budget // 2
        self._carriers: dict[tuple[str, Structure | None], Carrier] = {}
        try:
            self._open(resident, seeds, self._budget // 8)
        except NoRoomError:
            self._open(resident=False, seeds=seeds, chunk=0)  # a batch at a time

    def train(
        self,
        tasks: Sequence[Task],
        weights: list[Any] | None = None,
        on_epoch: OnEpoch | None = None,
        checkpoints: Checkpoints | None = None,
        halving: Halving | None = None,
    ) -> Iterator[tuple[int, Trained]]:
        """Train each task from the same weights; yield its place and what came out, as it comes.

        `weights`: as `get_weights` of a copy of the original gives them; None: the original's own.
        With distillation they are the teacher's too.
        The model of a `Trained` is the same object each time: it is good until the next is asked
        for. `checkpoints`, `halving`: see `trimgrid.engines.engine.Engine`.

        Raises `RunError` if even one attempt alone does not find enough memory, and for a damaged
        checkpoint.
        """
        if checkpoints is not None:
            check_ids(tasks)
        self._programs.allow({rule_of(task.allocation) for task in tasks})
        start = self._original.get_weights() if weights is None else weights
        # A group has so many orders of the data; a stream has its own, whatever the seed.
        seeds = len({task.training.seed for task in tasks})
        by_seed = isinstance(self._data, ArrayData) and seeds > self._source.orders
        kinds = [
            (kind_of(task.training), may_rewind(task.schedule), task.structure) for task in tasks
        ]
        waiting = []
        for place, task in enumerate(tasks):
            if is_trained(task.schedule):
                waiting.append(place)
            else:
                yield place, pruned_only(self._original, start, task)

        def in_common(place: int) -> Any:
            """What trainings of one group have in common."""
            task = tasks[place]
            step = 0 if checkpoints is None else checkpoints.step(task.id)
            return kinds[place], task.training.epochs, by_seed and task.training.seed, step

        while waiting:
            first = in_common(waiting[0])
            alike = [place for place in waiting if in_common(place) == first]
            training, (_, rewinding, structure) = tasks[alike[0]].training, kinds[alike[0]]
            alone = len(alike) == 1
            program = self._programs.program(training, alone, rewinding, structure)
            program.carrier.begin_from(start)
            group = alike[: program.attempts]
            try:
                outcomes = self._run(
                    program, [tasks[p] for p in group], on_epoch, checkpoints, halving
                )
            except jax.errors.JaxRuntimeError as error:
                self._programs.make_smaller(program, error)
                continue
            waiting = sorted({*waiting} - {*group})
            for place, outcome in zip(group, outcomes, strict=True):
                yield place, self._trained(program.carrier, outcome, tasks[place])

    def _run(
        self,
        program: GroupProgram,
        tasks: Sequence[Task],
        on_epoch: OnEpoch | None,
        checkpoints: Checkpoints | None,
        halving: Halving | None,
    ) -> list[Outcome]:
        report = None if on_epoch is None else partial(on_epoch, [task.name for task in tasks])
        found = [] if checkpoints is None else [checkpoints.find(task.id) for task in tasks]
        there = [each for each in found if each is not None]
        with saving(checkpoints, tasks) as saved:
            return train_group(program, tasks, saved, there, report, halving)

    def _trained(self, carrier: Carrier, outcome: Outcome, task: Task) -> Trained:
        state, history = outcome.state, outcome.history
        model = carrier.receive(state.model, state.masks)
        if state.bad_step >= 0:
            epochs = int(state.bad_step) // self._source.steps + 1
            history = {key: values[:epochs] for key, values in history.items()}
            failure = f"the loss became {float(state.bad_loss)} at step {state.bad_step + 1}"
            return Trained(model, history, failure)
        if not all(np.isfinite(array).all() for part in state.model[:2] for array in part):
            steps = self._source.steps * task.training.epochs
            failure = f"the weights stopped being finite by step {steps}"
            return Trained(model, history, failure)
        return Trained(model, history, None, outcome.stopped)

    def _open(self, resident: bool, seeds: int, chunk: int) -> None:
        """Plan the way of the data to the devices, in chunks of so many bytes if it does not stay
        there, and make the first programs."""
        # Orders of the data lie on the devices too. Where they would take too much room, a group
        # has attempts of one seed only.
        order_bytes = 4 * sum(self._data.sizes) * len(self._devices)
        orders = seeds if resident and seeds * order_bytes <= self._budget // 8 else 1
        epochs = self._training.epochs
        self._source = Source.of(self._data, resident, orders, epochs, chunk)
        self._programs = Programs(
            self._carrier,
            Feeder(self._source, self._validation, self._mesh),
            self._mesh,
            self._budget,
            self._attempts,
            self._training,
            self._say,
            self._kept,
            self._rules,
        )
        plain = [self._training, *self._others]
        if self._structured and not (self._others or self._rewinding):
            plain = []  # at most the original's, which is compiled when it is asked for
        for training in plain:
            self._programs.program(training, alone=False)
        for training in self._rewinding:
            self._programs.program(training, alone=False, rewinding=True)
        for training, rewinding, structure in self._structured:
            self._programs.program(training, False, rewinding, structure)

    def _carrier(self, training: Training, structure: Structure | None) -> Carrier:
        kind = kind_of(training), structure
        if kind not in self._carriers:
            example = next(self._data.epoch(None, 0))
            validation = self._validation
            with collection_paused():
                self._carriers[kind] = Carrier(
                    self._original,
                    training,
                    example,
                    None if validation is None else next(validation.epoch(None, 0)),
                    structure,
                )
        return self._carriers[kind]

    def _copies(self, data: ArrayData) -> int:
        return data.nbytes * len(self._devices)
