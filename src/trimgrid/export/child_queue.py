"""Jobs for the children that convert: one queue, and as many children as are worth their start."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from trimgrid.export.child_process import ChildDiedError, ConversionError, ConverterProcess
from trimgrid.scratch import remove_stale_scratch

_Result = TypeVar("_Result")
_Job = Callable[[ConverterProcess], Any]


class ChildrenQueue:
    """Runs jobs in the order of the calls, each on a child process that no other job uses.

    `start` starts one child. Another one starts when the jobs in the queue would be done so much
    sooner by it that its own start, measured on the first, is paid for: with `c` children, `n` jobs
    waiting and `t` seconds for each on average, when `n * t / c - n * t / (c + 1)` is above it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[tuple[Future[Any], _Job] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._children: list[ConverterProcess | None] = []  # one for each thread
        self._closed = False
        self._start_seconds = 0.0
        self._finished = 0
        self._seconds = 0.0

    @property
    def pids(self) -> list[int]:
        """The process ids of the children that live."""
        with self._lock:
            return [child.pid for child in self._children if child is not None and child.alive()]

    def start(self) -> None:
        """Start the first child if there is none, without waiting for its imports."""
        with self._lock:
            self._check_open()
            if not self._threads:
                self._add_thread()
            self._living_child(0)

    def submit(self, job: Callable[[ConverterProcess], _Result]) -> Future[_Result]:
        """Queue a job. It may run twice: once more on a new child if its child dies.

        Raises `ConversionError` once closed.
        """
        future: Future[_Result] = Future()
        with self._lock:
            self._check_open()
            self._jobs.put((future, job))
            if not self._threads or self._another_child_pays():
                self._add_thread()
        return future

    def close(self) -> None:
        """End all children. Jobs under way fail, those in the queue are cancelled."""
        with self._lock:
            self._closed = True
            with contextlib.suppress(Empty):
                while True:
                    if (waiting := self._jobs.get_nowait()) is not None:
                        waiting[0].cancel()
            for child in self._children:
                if child is not None:
                    child.end()
            for _ in self._threads:
                self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _check_open(self) -> None:
        if self._closed:
            raise ConversionError("The converter is closed")

    def _another_child_pays(self) -> bool:
        count = len(self._threads)
        if count >= self._limit or not self._finished:
            return False
        waiting_seconds = self._jobs.qsize() * self._seconds / self._finished
        return waiting_seconds / (count * (count + 1)) > self._start_seconds

    def _add_thread(self) -> None:
        thread = threading.Thread(
            target=self._serve,
            args=(len(self._threads),),
            name=f"tflite-{len(self._threads)}",
            daemon=True,  # a process that forgets to close must still be able to end
        )
        self._children.append(None)
        self._threads.append(thread)
        thread.start()

    def _serve(self, number: int) -> None:
        while (item := self._jobs.get()) is not None:
            future, job = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = self._run(number, job)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del item, future, job  # not kept alive until the next job comes

    def _run(self, number: int, job: _Job) -> Any:
        try:
            return self._run_once(number, job)
        except ChildDiedError:  # killed for want of memory, perhaps: not the job's fault
            return self._run_once(number, job)

    def _run_once(self, number: int, job: _Job) -> Any:
        with self._lock:
            self._check_open()
            child = self._living_child(number)
        start_seconds = child.wait()
        began = time.monotonic()
        try:
            return job(child)
        finally:
            with self._lock:
                self._start_seconds = start_seconds
                self._seconds += time.monotonic() - began
                self._finished += 1
                if not self._closed and self._another_child_pays():
                    self._add_thread()

    def _living_child(self, number: int) -> ConverterProcess:
        child = self._children[number]
        if child is None or not child.alive():
            if child is not None:
                child.end()
            if not any(self._children):
                remove_stale_scratch()
            child = self._children[number] = ConverterProcess()
        return child
