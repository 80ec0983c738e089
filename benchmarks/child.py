"""A child process that answers one JSON object a line: side by side in one run, each on its own.

Imports only the standard library, so that the children in the environments of peers can use it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self


class Child:
    """A running `python -m MODULE BACKEND`, idle between its answers.

    `python`: the interpreter, this process's own by default. `cores`: how many of the processor's
    cores it may use, all by default. `environment`: variables besides this process's own.
    """

    def __init__(
        self,
        module: str,
        backend: str,
        python: Path | None = None,
        cores: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        allowed = sorted(os.sched_getaffinity(0))[:cores]
        # Before the child starts: libraries count the cores when they are imported.
        pinned = () if cores is None else ("taskset", "-c", ",".join(map(str, allowed)))
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [*pinned, str(python or sys.executable), "-m", module, backend],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            encoding="utf-8",
            env={
                **os.environ,
                "KERAS_BACKEND": backend,
                "TF_CPP_MIN_LOG_LEVEL": "3",
                **(environment or {}),
            },
        )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def ask(self, command: str, **arguments: Any) -> Any:
        """Have the child run a command and return its answer.

        Raises `RuntimeError` with its last words if the child ended instead.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its end is told below
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._log.seek(0)
            said = self._log.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"The child ended with exit code {code}: {said}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()


def serve(commands: dict[str, Callable[..., Any]]) -> None:
    """Answer the parent's commands until it goes. To be called in the child."""
    for line in sys.stdin:
        request = json.loads(line)
        answer = commands[request.pop("command")](**request)
        print(json.dumps(answer), flush=True)
