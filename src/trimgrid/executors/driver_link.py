"""The driver, seen from a worker process: units come from it, messages go to it, it may be gone."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from queue import SimpleQueue

import cloudpickle

from trimgrid.executors.messages import Message


class DriverLink:
    """Takes units in a thread, which notices at once when the driver ends or wants no more.

    The one way in which a driver ends a worker is that its end of the connection closes; that
    happens by itself when it dies. Then the thread sends this process SIGTERM, and when `seconds`
    are over kills it with all that it started. If someone else sent SIGTERM before, as to all
    processes of a job that is ended, half of the time goes by first: a second one lets nobody save.

    To be made in the main thread.
    """

    def __init__(self, connection: Connection, driver: int, seconds: float) -> None:
        self._connection = connection
        self._driver = driver
        self._seconds = seconds
        self._main = threading.get_ident()
        self._writing = threading.Lock()
        self._units: SimpleQueue[tuple[bytes, Path] | None] = SimpleQueue()
        self.gone = False
        # Python writes the number of each signal there, whoever handles it.
        self._signals, written = socket.socketpair()
        written.setblocking(False)
        signal.set_wakeup_fd(written.detach(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, name="driver", daemon=True).start()

    def next(self) -> tuple[bytes, Path] | None:
        """Wait for a unit: its arguments, pickled, and the file of its log; None: no more."""
        return self._units.get()

    def send(self, message: Message) -> None:
        """Send a message, from any thread. Nothing happens if the driver is gone.

        A training must not fail over that: it is to save what it has.
        """
        content = cloudpickle.dumps(message)
        with self._writing, suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send_bytes(content)

    def _listen(self) -> None:
        asked = False
        with suppress(EOFError, OSError):  # OSError: it ended in the middle of a message
            # The parent is looked at, too: processes that the driver forked hold the connection.
            while os.getppid() == self._driver:
                ready = wait([self._connection, self._signals], timeout=1.0)
                if self._signals in ready:
                    asked |= signal.SIGTERM in self._signals.recv(64)
                if self._connection in ready:
                    self._units.put(pickle.loads(self._connection.recv_bytes()))
        self.gone = True
        left = self._seconds
        if asked:
            self._units.put(None)
            left /= 2
            time.sleep(left)
        signal.pthread_kill(self._main, signal.SIGTERM)
        self._units.put(None)
        time.sleep(left)
        os.killpg(0, signal.SIGKILL)  # the group is ours: workers are leaders of their sessions
