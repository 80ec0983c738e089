"""What executors have in common: units of work, what a worker is given, and what it tells."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from trimgrid.arguments import check_integer
from trimgrid.errors import InputError

Tell: TypeAlias = Callable[[Any], None]
"""Called in a worker with a small message that can be pickled; the driver gets it as `Told`."""
Do: TypeAlias = Callable[[Any, Tell], None]
"""Does one unit: called with its arguments, and with what tells the driver."""

MOST_DEATHS = 2
"""A unit whose worker died so often is given up: one retry."""
MOST_LOSSES = 20
"""A unit whose node was lost so often is given up: nodes may come and go."""


@dataclass(frozen=True)
class Unit:
    """What one worker does at a time: `id` names it in file names, `arguments` can be pickled."""

    id: str
    arguments: Any


@dataclass(frozen=True)
class Resources:
    """What a unit takes while it runs: cores, graphics cards, and bytes of memory.

    `cpus` and `gpus` may be shares of one. `memory`: None where it does not matter. Raises
    `InputError` for what is no amount.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int | None = None

    def __post_init__(self) -> None:
        whole = self.gpus < 1 or self.gpus == int(self.gpus) if math.isfinite(self.gpus) else False
        if not (math.isfinite(self.cpus) and self.cpus > 0 and self.gpus >= 0 and whole):
            raise InputError(
                "A unit takes a number of cores above 0, and of graphics cards a share of one or "
                f"whole ones. Received: cpus={self.cpus}, gpus={self.gpus}. "
                "Give for example cpus=4, gpus=0.5."
            )
        if self.memory is not None:
            check_integer("memory", self.memory, minimum=1)


@dataclass(frozen=True)
class Work:
    """What all workers are given: `open` is called once in each worker process with `shared`.

    `open`: a function of a module; it gives what does a unit. `shared`: what all units have in
    common, such as a model and its data; cloudpickle can pickle it. It travels to each machine
    once. `environment`: variables that are set before anything is imported there.
    """

    open: Callable[[Any], Do]
    shared: Any
    environment: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()


@dataclass(frozen=True)
class Told:
    """A message of the worker that does a unit."""

    unit: Unit
    message: Any


@dataclass(frozen=True)
class Done:
    """A unit that is done."""

    unit: Unit


@dataclass(frozen=True)
class Again:
    """A unit that begins once more, because its worker or its node was lost; `why` in few words."""

    unit: Unit
    why: str


@dataclass(frozen=True)
class Failed:
    """A unit that is given up: `reason` in one line; `log`: what its worker printed last."""

    unit: Unit
    reason: str
    log: str


Event: TypeAlias = Told | Done | Again | Failed


class Executor(Protocol):
    """Runs units in processes of their own, several at a time.

    A unit that raises is `Failed` with the error's type and first line, and with its trace at the
    end of the log: it would raise again. One whose worker dies (killed, out of memory, crashed)
    begins once more, `Again`, and is `Failed` after the second death. One whose node is lost begins
    again elsewhere. The other units go on. The order of `Done` is any; what a unit told comes
    before its end.

    Closing the generator, also by an error in the driver, asks the workers to end as SIGTERM does,
    gives them some seconds to save what they have, and ends them.
    """

    @property
    def slots(self) -> int:
        """How many units may run at a time at present; at least 1."""

    def run(
        self, work: Work, units: Sequence[Unit], logs: Path, first: Unit | None = None
    ) -> Generator[Event, None, None]:
        """Run the units. `logs`: a folder that takes what each worker prints while it does a unit,
        `<id>.log`; of units that are done the file goes. `first`: a unit that all others build on:
        they begin when it is done, and are left out if it fails.

        Raises `InputError` before anything runs for what can't be given to workers.
        """
