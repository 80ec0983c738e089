"""What the driver asks of Ray: tasks for units, news of them, logs of workers that died."""

from __future__ import annotations

from importlib import import_module
from pickle import PickleBuffer
from typing import Any

from trimgrid.executors.node_versions import versions
from trimgrid.executors.ray_messages import Began, Mailbox, News, Packed
from trimgrid.executors.ray_worker import do_unit, tail_of
from trimgrid.executors.travel import pickled
from trimgrid.executors.work import Work

_SECONDS_FOR_NEWS = 5.0  # after which a mailbox is taken for lost, until the next look


class RayCalls:
    """Puts a work and a mailbox into a cluster, and calls what works with them.

    Tasks are known by references, which Ray gives. Its own retries are off, because it does not
    tell of them, and counts lost nodes as deaths. Raises `InputError` if `work` can't be pickled.
    """

    def __init__(self, ray: Any, work: Work) -> None:
        self._ray = ray
        arrays: list[PickleBuffer] = []
        content = PickleBuffer(pickled(work, "work", arrays.append))
        self._work = ray.put(Packed(content, arrays, versions()))
        scheduling = import_module("ray.util.scheduling_strategies")
        self._affinity = scheduling.NodeAffinitySchedulingStrategy
        # Beside the driver: the mailbox is to live as long.
        here = self._affinity(ray.get_runtime_context().get_node_id(), soft=True)
        mailbox = ray.remote(num_cpus=0, max_restarts=-1)(Mailbox)
        self._mailbox = mailbox.options(scheduling_strategy=here).remote()
        settings: dict[str, Any] = {
            "num_cpus": work.resources.cpus,
            "num_gpus": work.resources.gpus,
            "memory": work.resources.memory,
            "max_retries": 0,
            "max_calls": 0,  # also with graphics cards a process does more than one unit
        }
        if work.environment:
            settings["runtime_env"] = {"env_vars": dict(work.environment)}
        self._do_unit = ray.remote(**settings)(do_unit)
        self._tail_of = ray.remote(num_cpus=0, max_retries=0)(tail_of)

    def begin(self, number: int, arguments: bytes) -> Any:
        """Begin a unit; its task gives an `End`."""
        return self._do_unit.remote(number, self._work.hex(), self._work, arguments, self._mailbox)

    def begin_to_read(self, began: Began) -> Any:
        """Begin to read the log of a worker that died, on its node; the task gives the text."""
        there = self._affinity(began.node, soft=False)
        return self._tail_of.options(scheduling_strategy=there).remote(began.log)

    def wait(self, tasks: list[Any], seconds: float) -> list[Any]:
        """Wait until a task has ended, at most so long, and return all that have."""
        ended, _ = self._ray.wait(tasks, timeout=seconds)
        if ended:
            ended, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=0)
        return list(ended)

    def news(self) -> list[tuple[int, News]]:
        """Return what has come since the last call, with the numbers of its units.

        Nothing, if the mailbox is lost: Ray makes another one, and ends have all messages.
        """
        try:
            news = self._ray.get(self._mailbox.take.remote(), timeout=_SECONDS_FOR_NEWS)
        except self._ray.exceptions.RayError:
            return []
        return list(news)

    def end(self, tasks: list[Any], seconds: float) -> None:
        """Ask units to end, wait while they save what they have, and end their processes."""
        try:
            for each in tasks:
                self._ray.cancel(each, force=False)
            if tasks:
                _, tasks = self._ray.wait(tasks, num_returns=len(tasks), timeout=seconds)
        finally:  # also at a second Ctrl-C
            for each in tasks:
                self._ray.cancel(each, force=True)
            self._ray.kill(self._mailbox)
