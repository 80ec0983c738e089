"""A worker's part of a run: it trains and measures groups of attempts, and keeps their results."""

from __future__ import annotations

import atexit
import socket
import time
import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType
from typing import Any

import keras

from trimgrid.engines.distribution import fresh_distribution
from trimgrid.engines.engine import Engine
from trimgrid.engines.memory import SHARE, free_memory
from trimgrid.engines.trained import OnEpoch
from trimgrid.errors import InputError, RunError
from trimgrid.executors.work import Tell
from trimgrid.export.tflite import TFLiteConverter
from trimgrid.grids.grid import AttemptConfig
from trimgrid.models import nested_layers
from trimgrid.run_directory.attempt_store import AttemptStore
from trimgrid.run_directory.elsewhere import WorkerCopy, worker_copy
from trimgrid.run_directory.manifest import MANIFEST, Planned
from trimgrid.runs.checking import ORIGINAL
from trimgrid.runs.group_messages import Finished, Refused, Said, Trained
from trimgrid.runs.packed import Packed
from trimgrid.runs.run_options import (
    RunOptions,
    Subject,
    keeper_of,
    open_with_room,
    train_and_measure,
)
from trimgrid.runs.settings import platform
from trimgrid.storage.copies import shown
from trimgrid.storage.urls import is_elsewhere

_EVERY = 0.2  # seconds between two messages on epochs: more than people see costs time


@dataclass(frozen=True)
class GroupWork:
    """What every worker of a run is given.

    `where`: the run directory, a path or a URL.
    `planned`: all attempts of the run directory, the original first. `grid`: those of this run with
    the names that they have there. `size`: how many train together at most. `trainable`: of all
    layers, and `keras_settings`: what a pickled model does not carry.
    """

    subject: Subject
    options: RunOptions
    where: str
    planned: tuple[Planned, ...]
    grid: tuple[AttemptConfig, ...]
    size: int
    trainable: tuple[bool, ...]
    keras_settings: tuple[Any, ...]

    @classmethod
    def of(
        cls,
        subject: Subject,
        options: RunOptions,
        folder: Path,
        planned: Sequence[Planned],
        grid: Sequence[AttemptConfig],
        size: int,
    ) -> GroupWork:
        """Return what workers are given of a run, without what belongs to the driver alone."""
        memory = _memory(options)
        own = replace(options, on_result=None, say=None, loggers=(), converter=None, placing=None)
        own = replace(own, memory=memory)
        if subject.distribution is not None:
            fresh = fresh_distribution(subject.distribution, subject.model)
            subject = replace(subject, distribution=fresh)
        layers = tuple(bool(each.trainable) for each in nested_layers(subject.model))
        return cls(
            subject,
            own,
            shown(folder),
            tuple(planned),
            tuple(grid),
            size,
            layers,
            _keras_settings(),
        )

    def packed(self) -> Packed:
        """Return it as it travels. Raises `InputError` for what can't."""
        return Packed.of(self, _custom_objects(self), "study")


class GroupRun:
    """Does groups of attempts in a worker process; engine and converter serve all of them."""

    def __init__(self, work: GroupWork) -> None:
        floatx, epsilon, image_format, policy = work.keras_settings
        keras.config.set_floatx(floatx)
        keras.config.set_epsilon(epsilon)
        keras.config.set_image_data_format(image_format)
        keras.config.set_dtype_policy(policy)
        layers = nested_layers(work.subject.model)
        for layer, trainable in zip(layers, work.trainable, strict=True):
            if layer.trainable != trainable:
                layer.trainable = trainable
        expected = work.options.settings["platform"]
        if platform() != expected:
            raise RunError(
                f"Workers compute as the process does that began the run, on {expected}. "
                f"Received: a worker on {platform()}. Begin the run on such a machine, or set "
                "JAX_PLATFORMS for both."
            )
        if not is_elsewhere(work.where) and not Path(work.where, MANIFEST).is_file():
            raise InputError(
                "All workers must see the run directory. "
                f"Received: {work.where!r}, which is not there on {socket.gethostname()}. "
                "Give one on storage that all nodes share, or an address such as s3://BUCKET/RUN."
            )
        self._work = work
        self._converter: TFLiteConverter | None = None
        self._engine: Engine | None = None
        self._copy: WorkerCopy | None = None

    def do(self, names: Sequence[str], tell: Tell) -> None:
        """Train and measure what is missing of these attempts; without any, of the original.

        What is finished is in the run directory, and told; so is bad input, such as too little
        memory, which would be the same for all groups. Raises what training a grid raises.
        """
        work = self._work
        subject, options = work.subject, work.options
        wanted = set(names)
        grid = [each for each in work.grid if each.name in wanted]
        own = {each.name: each for each in work.planned if each.name in wanted}
        planned = {ORIGINAL: work.planned[0], **own}

        def say(line: str) -> None:
            tell(Said(line))

        with self._folder([each.id for each in own.values()]) as folder:
            store = AttemptStore(folder, work.planned)
            try:
                results = train_and_measure(
                    subject,
                    options,
                    grid,
                    self._tflite(),
                    _on_epoch(tell, {subject.training.epochs, subject.pretrain_epochs}),
                    say=say,
                    keeper=keeper_of(store, subject, options, grid, planned, say),
                    open=self._open,
                )
                for info in results:
                    tell(Finished(info.name))
            except InputError as error:
                tell(Refused(str(error)))
                raise

    @contextmanager
    def _folder(self, attempts: Sequence[str]) -> Iterator[Path]:
        """The run directory, or a copy of one that lies elsewhere with these and the original."""
        if not is_elsewhere(self._work.where):
            yield Path(self._work.where)
            return
        if self._copy is None:
            copies = ExitStack()
            self._copy = copies.enter_context(worker_copy(self._work.where))
            weakref.finalize(self, copies.close)  # at the latest when the process ends
        with self._copy.of(attempts, kept=[self._work.planned[0].id]) as folder:
            yield folder

    def _tflite(self) -> TFLiteConverter | None:
        if self._work.options.tflite and self._converter is None:
            self._converter = TFLiteConverter()
            atexit.register(self._converter.__exit__, None, None, None)
        return self._converter

    def _open(self, *arguments: Any, **more: Any) -> Engine:
        """Open the engine for the whole grid, so that it does not depend on the group's members."""
        if self._engine is None:
            work = self._work
            room = work.size * work.options.repeats
            self._engine = open_with_room(
                work.subject, work.options, work.grid, room, *arguments, **more
            )
        return self._engine


def _on_epoch(tell: Tell, ends: Collection[int]) -> OnEpoch:
    """Tell of epochs now and then, and of those that may be the last ones of a training."""
    last = 0.0

    def told(names: Sequence[str], epoch: int, losses: Sequence[float]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY or epoch in ends:
            last = now
            tell(Trained(tuple(names), epoch, tuple(map(float, losses))))

    return told


def _memory(options: RunOptions) -> int | None:
    """The bytes that one of the workers may take: its part of what all may, on a CPU."""
    placing = options.placing
    if placing is None or options.settings["platform"] != "cpu":
        return options.memory
    if placing.resources is not None:  # a node has its own, of which Ray gives a part
        return options.memory or placing.resources.memory
    return (options.memory or int(SHARE * free_memory())) // placing.share


def _keras_settings() -> tuple[Any, ...]:
    config = keras.config
    return (
        config.floatx(),
        config.epsilon(),
        config.image_data_format(),
        config.dtype_policy().name,
    )


def _custom_objects(work: GroupWork) -> dict[str, Any]:
    """What Keras must know to read model, losses, metrics and optimizers where nobody made them."""
    training = work.subject.training
    optimizers = [getattr(each, "optimizer", None) for each in work.grid]
    given = keras.tree.flatten([training.loss, training.optimizer, training.metrics, *optimizers])
    functions = [each for each in given if isinstance(each, FunctionType)]
    classes = [type(each) for each in (*nested_layers(work.subject.model), *given)]
    own: dict[str, Any] = {each.__name__: each for each in classes if not _known(each.__module__)}
    own |= {each.__name__: each for each in functions if not _known(each.__module__)}
    return {**keras.saving.get_custom_objects(), **own}


def _known(module: str) -> bool:
    return module.split(".")[0] in ("keras", "builtins", "trimgrid")
