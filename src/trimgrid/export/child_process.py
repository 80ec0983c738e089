"""The child process that converts, seen from its parent: start, ask, time out, bury."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trimgrid.errors import RunError
from trimgrid.scratch import make_scratch

_START_TIMEOUT = 300.0  # seconds for the imports, which take long where nothing is compiled yet


class ConversionError(RunError):
    """A model that could not be converted, or whose converted file answers wrongly.

    The message is one line: what failed and why.
    """


class ChildDiedError(ConversionError):
    """The process died in a conversion, which may or may not be that model's fault."""


class ConverterProcess:
    """One running `python -m trimgrid.export.child`, which answers one request after the other.

    The constructor returns at once; the first `wait` waits for the child's imports.
    """

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        # A folder of its own for what TensorFlow leaves behind when it is killed. The child removes
        # it too, if this process dies first.
        self._folder = make_scratch()
        self._log_read = 0
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "trimgrid.export.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            encoding="utf-8",
            env={**child_environment(), "TMPDIR": str(self._folder)},
        )
        self._start_seconds: float | None = None
        self._ended = False

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Tell whether the process still runs."""
        return self._process.poll() is None

    def wait(self) -> float:
        """Wait until the child can convert; return how many seconds its imports took.

        Raises `ConversionError` if it can't.
        """
        if self._start_seconds is None:
            try:
                self._start_seconds = self._exchange(None, _START_TIMEOUT)["start_seconds"]
            except ConversionError:
                self.end()
                raise
        return self._start_seconds

    def ask(self, request: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Send a request and wait at most `timeout` seconds for the answer.

        Raises `ConversionError` with the child's reason or if it took too long and was killed,
        `ChildDiedError` with the signal or exit code of a child that died, and `OSError`, which
        names the file, where the child's machine had no room: that is not the model's fault.
        """
        self.wait()
        return self._exchange(request, timeout)

    def end(self) -> None:
        """Kill the process, wait for it, and close the pipes. May be called twice."""
        self._ended = True
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):  # a last line that nobody reads any more
            self._process.stdin.close()
        self._process.stdout.close()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _exchange(self, request: Mapping[str, Any] | None, timeout: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(timeout, stop)
        timer.daemon = True
        timer.start()
        line = ""
        try:
            if request is not None:
                self._log_read = os.fstat(self._log.fileno()).st_size
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline()
        except (OSError, ValueError):
            pass  # a broken or closed pipe: the child is gone, as an empty line says too
        finally:
            timer.cancel()
            timer.join()
        if late.is_set():
            self._process.wait()  # or it may still look alive to the next conversion
            raise ConversionError(f"The conversion took over {timeout:g} seconds and was stopped")
        if not line:
            raise self._last_words()
        answer: dict[str, Any] = json.loads(line)
        if "system" in answer:
            raise OSError(*answer["system"])
        if "error" in answer:
            raise ConversionError(answer["error"])
        return answer

    def _last_words(self) -> ConversionError:
        code = self._process.wait()
        if self._ended:
            return ConversionError("The converter was closed")
        if code == -signal.SIGKILL:
            return ChildDiedError(
                "The process that converts was killed (SIGKILL), perhaps for want of memory"
            )
        how = (
            f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        )
        self._log.seek(self._log_read)
        said = self._log.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), "")
        return ChildDiedError(
            f"The process that converts {how}" + (f": {last[:200]}" if last else "")
        )


def child_environment() -> dict[str, str]:
    """Return the child's environment: Keras on TensorFlow, on the CPU, quiet, and our modules."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
        "PYTHONWARNINGS": "ignore",
    }
    # Flags meant for JAX's XLA: TensorFlow's own ends the process over one that it does not know.
    environment.pop("XLA_FLAGS", None)
    return environment
