"""What runs on the nodes of a Ray cluster: units, in processes that stay ready for the next one."""

from __future__ import annotations

import os
import pickle
import platform
import tempfile
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import cloudpickle

from trimgrid.errors import InputError, first_line
from trimgrid.executors.capture import last_of, printed_to
from trimgrid.executors.messages import Ended, NotOpened, Opened
from trimgrid.executors.node_versions import check_same, versions
from trimgrid.executors.ray_messages import Began, End, News, OtherCards, Packed, Telling
from trimgrid.executors.work import Do, Work

_SECONDS_FOR_NEWS = 30.0  # as long as a mailbox may take to start on a busy machine


def do_unit(task: int, key: str, packed: Packed, arguments: bytes, mailbox: Any) -> End:
    """Do a unit, as a task of Ray.

    `task`: the number under which the driver keeps it. `key`: what tells the work from others.

    Nothing here waits by `ray.get` or `ray.wait`: Ray gives away the cores of a task that does, and
    more units would run at a time than there is room for.
    """
    post = _Post(task, mailbox)
    if os.environ.get("CUDA_VISIBLE_DEVICES") != _cards():
        post.send(OtherCards())
        os._exit(0)  # lets memory go that it has on cards which Ray has given to others
    log = _new_log()
    node = import_module("ray").get_runtime_context().get_node_id()
    post.send(Began(node, str(log)))
    try:
        with printed_to(log):
            end = _end(key, packed, arguments, post)
        done = isinstance(end, Ended) and end.reason is None
        return End(end, post.told, "" if done else last_of(log))
    finally:
        log.unlink(missing_ok=True)


def tail_of(log: str) -> str:
    """Return what a process that died printed last, and remove its log."""
    text = last_of(Path(log))
    Path(log).unlink(missing_ok=True)
    return text


class _Post:
    """What goes from a unit to the mailbox."""

    def __init__(self, task: int, mailbox: Any) -> None:
        self._task = task
        self._mailbox = mailbox
        self._in_order = threading.Lock()
        self.told: list[bytes] = []

    def send(self, news: News) -> None:
        """Send news, and wait until it is there: the process may die next.

        A mailbox that is lost does not hold up the unit.
        """
        there = self._mailbox.put.remote(self._task, news).future()
        with suppress(TimeoutError, import_module("ray").exceptions.RayError):
            there.result(timeout=_SECONDS_FOR_NEWS)

    def tell(self, message: Any) -> None:
        """Send what the unit tells, without waiting."""
        content = cloudpickle.dumps(message)
        with self._in_order:
            self._mailbox.put.remote(self._task, Telling(len(self.told), content))
            self.told.append(content)


def _end(key: str, packed: Packed, arguments: bytes, post: _Post) -> Ended | NotOpened:
    try:
        do = _opened(key, packed, post)
        given = _unpickled(arguments)
    except Exception as error:  # whatever it is, no worker will do better
        traceback.print_exc()
        bad_input = isinstance(error, InputError)
        return NotOpened(str(error) if bad_input else _reason(error), bad_input)
    try:
        do(given, post.tell)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        return Ended(_reason(error))
    return Ended()


_kept: dict[str, Do] = {}


def _opened(key: str, packed: Packed, post: _Post) -> Do:
    """Return what does a unit of the work. A process keeps one, that of the work it did last."""
    if key not in _kept:
        _kept.clear()
        check_same(f"node {platform.node()}", versions(), packed.versions)  # it may be a new one
        work: Work = _unpickled(packed.content, packed.arrays)
        _kept[key] = work.open(work.shared)
        post.send(Opened())
    return _kept[key]


def _unpickled(content: Any, arrays: Sequence[Any] = ()) -> Any:
    try:
        return pickle.loads(content, buffers=arrays)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"Nodes must be able to import what they get. Received: {first_line(error)} "
            "Install its package on each node, or send it there: before the run, call "
            "ray.init(address, runtime_env={'py_modules': [the package's folder]})."
        ) from error


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error)}"


def _new_log() -> Path:
    """Make a file on this node. Not in a scratch folder: those of dead processes are removed."""
    descriptor, name = tempfile.mkstemp(prefix="trimgrid-unit-", suffix=".log")
    os.close(descriptor)
    return Path(name)


@cache
def _cards() -> str | None:
    """The graphics cards at the process's first unit: frameworks keep to these."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")
