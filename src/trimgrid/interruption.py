"""Ctrl-C and the end of a batch job, put off until the state of a training is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Interruption:
    """Whether the process has been asked to end."""

    requested: bool = False


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Inside the block SIGINT and SIGTERM only set `requested`; a second one ends it at once.

    Who works in the block looks at `requested` where it can stop. What comes too late for that
    raises `KeyboardInterrupt` at the block's end, as a second signal does where it arrives.
    Afterwards signals do what they did before. Signals that were ignored before still are, and
    outside of the main thread, where Python handles no signals, the block changes nothing.

    >>> try:
    ...     with interruptible() as interruption:
    ...         signal.raise_signal(signal.SIGTERM)
    ...         print("going on,", interruption)
    ... except KeyboardInterrupt:
    ...     print("ended")
    going on, Interruption(requested=True)
    ended
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def note(number: int, frame: FrameType | None) -> None:
        if interruption.requested:
            raise KeyboardInterrupt
        interruption.requested = True

    # None: a handler that was not made in Python, and could not be put back.
    before = {each: signal.getsignal(each) for each in _SIGNALS}
    ours = [each for each, handler in before.items() if handler not in (None, signal.SIG_IGN)]
    try:
        for each in ours:
            signal.signal(each, note)
        yield interruption
    except Exception as error:
        if interruption.requested:  # who meets the error may go on in another way
            raise KeyboardInterrupt from error
        raise
    finally:
        for each in ours:
            signal.signal(each, before[each])
    if interruption.requested:
        raise KeyboardInterrupt


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Inside the block SIGTERM raises `KeyboardInterrupt`, as SIGINT does.

    For a process that only waits for others, which save what they have. A signal that was ignored
    before still is; outside of the main thread the block changes nothing.

    >>> _ = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    >>> try:
    ...     with ended_by_signals():
    ...         signal.raise_signal(signal.SIGTERM)
    ... except KeyboardInterrupt:
    ...     print("ended")
    ended
    """
    before = signal.getsignal(signal.SIGTERM)
    main = threading.current_thread() is threading.main_thread()
    if not main or before in (None, signal.SIG_IGN):
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
