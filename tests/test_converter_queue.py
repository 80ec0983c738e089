"""The queue with children that only count: when they start, what becomes of jobs."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from trimgrid.export import child_queue as converter_queue
from trimgrid.export.child_process import ChildDiedError, ConversionError
from trimgrid.export.child_queue import ChildrenQueue

START_SECONDS = 0.2


class Child:
    """What the queue knows of a child process."""

    numbers = itertools.count()

    def __init__(self) -> None:
        self.pid = next(self.numbers)
        self.dead = False

    def wait(self) -> float:
        return START_SECONDS

    def alive(self) -> bool:
        return not self.dead

    def end(self) -> None:
        self.dead = True


@pytest.fixture(autouse=True)
def _only_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converter_queue, "ConverterProcess", Child)


@pytest.fixture
def queue() -> Iterator[ChildrenQueue]:
    queue = ChildrenQueue(limit=3)
    yield queue
    queue.close()


def test_start_starts_one_child_once(queue: ChildrenQueue) -> None:
    queue.start()
    pids = queue.pids
    queue.start()
    assert len(pids) == 1
    assert queue.pids == pids


def test_a_short_queue_has_one_child(queue: ChildrenQueue) -> None:
    futures = [queue.submit(lambda child: time.sleep(0.01)) for _ in range(10)]
    for future in futures:
        future.result(10)
    assert len(queue.pids) == 1  # 0.1 seconds of work are not worth a start of 0.2


def test_a_long_queue_has_as_many_as_pay(queue: ChildrenQueue) -> None:
    at_work: set[int] = set()
    most = []

    def job(child: Any) -> None:
        assert child.pid not in at_work  # no two jobs on one child
        at_work.add(child.pid)
        most.append(len(at_work))
        time.sleep(0.02)
        at_work.remove(child.pid)

    for future in [queue.submit(job) for _ in range(200)]:
        future.result(30)
    # 4 seconds of work: two children save 2 of them, three 0.67 more, and a fourth is not allowed.
    assert len(queue.pids) == max(most) == 3


def test_jobs_start_in_the_order_of_the_calls(queue: ChildrenQueue) -> None:
    done: list[int] = []
    futures = [queue.submit(lambda child, i=i: done.append(i)) for i in range(20)]  # type: ignore[misc]
    for future in futures:
        future.result(10)
    assert done == list(range(20))


def test_a_job_whose_child_dies_runs_again_on_a_new_one(queue: ChildrenQueue) -> None:
    pids: list[int] = []

    def job(child: Any) -> str:
        pids.append(child.pid)
        if len(pids) == 1:
            child.dead = True
            raise ChildDiedError("killed")
        return "done"

    assert queue.submit(job).result(10) == "done"
    assert len(set(pids)) == 2
    assert queue.pids == pids[1:]


@pytest.mark.parametrize(("error", "runs"), [(ChildDiedError, 2), (ConversionError, 1)])
def test_only_a_death_is_tried_again_and_once(
    error: type[Exception], runs: int, queue: ChildrenQueue
) -> None:
    seen = []

    def job(child: Any) -> None:
        seen.append(child.pid)
        child.dead = error is ChildDiedError
        raise error("no")

    with pytest.raises(error, match="no"):
        queue.submit(job).result(10)
    assert len(seen) == runs
    assert queue.submit(lambda child: "next").result(10) == "next"


def test_closing_cancels_what_waits_and_refuses_more() -> None:
    queue = ChildrenQueue(limit=1)
    started, go = threading.Event(), threading.Event()

    def job(child: Any) -> None:
        started.set()
        go.wait(10)
        raise ChildDiedError("ended with the queue")  # not tried again

    running = queue.submit(job)
    waiting = [queue.submit(lambda child: None) for _ in range(5)]
    assert started.wait(10)
    threading.Timer(0.1, go.set).start()
    queue.close()
    assert queue.pids == []
    with pytest.raises(ConversionError, match="closed"):
        running.result(10)
    assert all(future.cancelled() for future in waiting)
    for call in (queue.start, lambda: queue.submit(lambda child: None)):
        with pytest.raises(ConversionError, match="closed"):
            call()
    queue.close()  # may be called twice


def test_a_cancelled_job_does_not_run(queue: ChildrenQueue) -> None:
    go, ran = threading.Event(), []
    first = queue.submit(lambda child: go.wait(10))
    second = queue.submit(lambda child: ran.append(child.pid))
    assert second.cancel()
    go.set()
    assert first.result(10)
    queue.submit(lambda child: None).result(10)
    assert ran == []
