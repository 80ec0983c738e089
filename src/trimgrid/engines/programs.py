"""The compiled programs of an engine: one for each kind of training, as large as memory allows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from trimgrid.allocation.sharing import EACH
from trimgrid.data.sources import ArrayData
from trimgrid.engines.carrier import Carrier
from trimgrid.engines.feeding import Feeder
from trimgrid.engines.group import GroupProgram
from trimgrid.engines.memory import NoRoomError, readable
from trimgrid.engines.rows import width_of_blocks
from trimgrid.engines.width import LARGEST_CPU_BLOCK, choose_width
from trimgrid.errors import RunError, first_line
from trimgrid.optimizers import held_in_variables
from trimgrid.structures.kinds import Structure
from trimgrid.training import Training

# What rows hold is counted so often in memory: the state, and the program's room to work.
ROOM = 3


class Programs:
    """Makes programs when they are first asked for, and smaller ones where memory runs out.

    `carrier`: gives the carrier of a training's kind and a structure of masks. `feeder`: calls the
    programs. `budget`: the bytes that training may take on all devices. `attempts`: how many
    trainings will be asked for at once. `training`: the settings by whose length a way through the
    rows is chosen. `say`: called with a line on each choice made. `kept`: the folder in which a run
    keeps what was measured for them. `rules`: the rules of allocation that trainings will have, see
    `rule_of`.
    """

    def __init__(
        self,
        carrier: Callable[[Training, Structure | None], Carrier],
        feeder: Feeder,
        mesh: Mesh,
        budget: int,
        attempts: int,
        training: Training,
        say: Callable[[str], None],
        kept: Path | None = None,
        rules: Collection[int] = (),
    ) -> None:
        self._carrier = carrier
        self._feeder = feeder
        self._mesh = mesh
        self._devices: list[Any] = list(mesh.devices.flat)
        self._budget = budget
        self._attempts = attempts
        self._training = training
        self._say = say
        self._kept = kept
        self._rules = {EACH, *rules}
        self._programs: dict[tuple[str, Structure | None, bool, bool], GroupProgram] = {}

    def allow(self, rules: Collection[int]) -> None:
        """Let trainings have other rules of allocation too: programs are made anew for them."""
        if not self._rules.issuperset(rules):
            self._rules.update(rules)
            self._programs.clear()

    def program(
        self,
        training: Training,
        alone: bool,
        rewinding: bool = False,
        structure: Structure | None = None,
    ) -> GroupProgram:
        """The program for such trainings, made and compiled when it is first asked for.

        `rewinding`: whether their weights go back at times, `structure`: that of their masks. One
        training alone has its own where the groups' blocks are so wide that most of the work would
        be for nothing.

        Raises `NoRoomError` if not even the smallest keeps within the memory.
        """
        kind = kind_of(training)
        groups = self._programs.get((kind, structure, False, rewinding))
        if groups is not None and (not alone or groups.width <= LARGEST_CPU_BLOCK):
            return groups
        key = kind, structure, alone, rewinding
        if key not in self._programs:
            attempts = 1 if alone else self._attempts
            carrier = self._carrier(training, structure)
            self._programs[key] = self._planned(carrier, attempts, rewinding)
        return self._programs[key]

    def _planned(self, carrier: Carrier, attempts: int, rewinding: bool) -> GroupProgram:
        """The program for so many attempts, as wide as is fastest, as long as memory allows."""
        fixed = self._fixed_bytes() + carrier.teacher_bytes * len(self._devices)
        room = max(1, (self._budget - fixed) // (ROOM * carrier.row_bytes))
        rows = min(attempts, room)

        def program(loop: bool) -> GroupProgram:
            devices = len(self._devices)
            largest = LARGEST_CPU_BLOCK if self._devices[0].platform == "cpu" else rows
            width = 1 if loop else width_of_blocks(rows, devices, largest)
            blocks = math.ceil(math.ceil(rows / devices) / width)
            return self._with_room(carrier, width, blocks * width, rewinding)

        source = self._feeder.source
        choice = choose_width(
            program, self._fitting, self._training, source, self._devices, self._kept
        )
        self._say(choice.sentence)
        return choice.program

    def _fitting(self, program: GroupProgram, lowered: Any = None) -> GroupProgram:
        """The program compiled, or a smaller one, so that it keeps within the memory.

        `lowered`: the program traced, if it is already.

        Raises `NoRoomError` if not even the smallest does.
        """
        while True:
            try:
                needed = program.compile(lowered)
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
                    f"of {max(self._feeder.source.sizes)} need {what}. Give more memory, or "
                    "smaller batches."
                )
            program, lowered = smaller, None

    def _half(self, program: GroupProgram) -> GroupProgram | None:
        """A program with half the room, None where there is no smaller one."""
        width, capacity = program.width, program.capacity
        if capacity > width:
            capacity = math.ceil(capacity // width / 2) * width
        elif width > 2:
            width = capacity = max(2, width // 2)
        else:
            return None
        return self._with_room(program.carrier, width, capacity, program.rewinding)

    def _with_room(
        self, carrier: Carrier, width: int, capacity: int, rewinding: bool
    ) -> GroupProgram:
        rules = () if self._rules == {EACH} else tuple(sorted(self._rules))
        return GroupProgram(carrier, self._feeder, self._mesh, width, capacity, rules, rewinding)

    def make_smaller(self, program: GroupProgram, error: Exception) -> None:
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

    def _fixed_bytes(self) -> int:
        """What data takes on all devices, whatever the number of rows."""
        source, devices = self._feeder.source, len(self._devices)
        validation = self._feeder.validation
        nbytes = 0 if validation is None else validation.nbytes
        if source.resident:
            assert isinstance(source.data, ArrayData)
            nbytes += source.data.nbytes
        else:
            nbytes += 2 * source.chunk_bytes
        return nbytes * devices


def kind_of(training: Training) -> str:
    """What of a training is compiled: its optimizer, but for what that holds in variables, and how
    it distills."""
    settings = _compiled_settings(training.fresh_optimizer())
    if training.distillation is not None:
        settings["distillation"] = repr(training.distillation)
    return json.dumps(settings, sort_keys=True, default=repr)


def _compiled_settings(optimizer: Any) -> dict[str, Any]:
    left_out = {"name", *held_in_variables(optimizer)}
    settings = {key: each for key, each in optimizer.get_config().items() if key not in left_out}
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        settings["inner_optimizer"] = _compiled_settings(inner)
    return {"class": f"{type(optimizer).__module__}.{type(optimizer).__name__}", **settings}
