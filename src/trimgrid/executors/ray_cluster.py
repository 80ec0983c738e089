"""Units of work on a Ray cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from trimgrid.arguments import real
from trimgrid.errors import InputError
from trimgrid.executors.ray_checks import check_room, check_versions, slots_of
from trimgrid.executors.ray_connection import Connection, connect
from trimgrid.executors.ray_tasks import RayTasks
from trimgrid.executors.work import Event, Resources, Unit, Work


class RayExecutor:
    """Runs units on the nodes of a Ray cluster; see `Executor` for what it promises.

    `address`: "host:port" of a cluster's head node, "ray://host:port", "auto" for the cluster that
    runs on this machine, or "local" for one that is started on it, and ends with the run. Left out:
    the cluster that this process is connected to, as by `ray.init(runtime_env=...)`; else that of
    the variable RAY_ADDRESS; else "local". `timeout`: seconds in which a cluster must answer.
    `unit`: what `slots` are counted by before a run says it.

    What units share goes to Ray's object store once, and from there once to each node. A worker
    process gets the arrays in it without a copy; they can't be written to. It stays ready for more
    units of the same work. Nodes may join during a run, and leave: their units begin again
    elsewhere. While no node has room for a unit, the run waits for one that has.

    Needs the extra: `pip install 'trimgrid[ray]'`. Raises `InputError` for a time that is none.

    >>> RayExecutor(timeout=0)
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A cluster needs more than 0 seconds to answer. \
Received: timeout=0. Give for example 30.
    """

    def __init__(
        self,
        address: str | None = None,
        timeout: float = 30.0,
        unit: Resources | None = None,
    ) -> None:
        if not real(timeout) > 0:
            raise InputError(
                "A cluster needs more than 0 seconds to answer. "
                f"Received: timeout={timeout!r}. Give for example 30."
            )
        self._address = address
        self._timeout = float(timeout)
        self._connection: Connection | None = None
        self._unit = unit or Resources()

    @property
    def slots(self) -> int:
        """How many units fit into the nodes that are there: those of `unit`, or of the latest run.

        Connects to the cluster and raises what `run` raises if that is not possible.
        """
        return slots_of(self._connected().ray, self._unit)

    def run(
        self, work: Work, units: Sequence[Unit], logs: Path, first: Unit | None = None
    ) -> Generator[Event, None, None]:
        """Run the units; see `Executor.run`. A connection that was made for it ends with it.

        Raises `InputError`, before anything runs, if Ray is missing, the cluster can't be reached,
        a node has other versions of Python or packages, no node has room for a unit, or something
        can't be pickled, or be imported by a worker; `RunError` if `work.open` raises in a worker.
        """
        if not units and first is None:
            return
        try:
            ray = self._connected().ray
            self._unit = work.resources
            check_room(ray, work.resources)
            check_versions(ray)
            tasks = RayTasks(ray, work, units, logs, first)
            try:
                yield from tasks.events()
            finally:
                tasks.end()
        finally:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._address, self._timeout)
        return self._connection
