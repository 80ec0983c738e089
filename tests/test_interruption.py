"""Signals that wait, with real ones: in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from trimgrid.interruption import interruptible
from trimgrid.run_directory.checkpoints import Checkpoints

WAITING = """
import signal, sys, time
from trimgrid.interruption import interruptible
{before}
try:
    with interruptible() as interruption:
        print("ready", flush=True)
        for _ in range(3000):
            time.sleep(0.01)
            if interruption.requested:
                print("requested", flush=True)
                {then}
except KeyboardInterrupt:
    print("interrupted", flush=True)
print([signal.getsignal(each) == before for each, before in {handlers}], flush=True)
"""
DEFAULTS = "[(2, signal.default_int_handler), (15, signal.SIG_DFL)]"


def started(code: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_and_handlers_come_back(number: signal.Signals) -> None:
    process = started(WAITING.format(before="", then="break", handlers=DEFAULTS))
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert said.splitlines() == ["requested", "interrupted", "[True, True]"]
    assert process.returncode == 0


def test_the_second_signal_does_not_wait() -> None:
    process = started(WAITING.format(before="", then="time.sleep(60)", handlers=DEFAULTS))
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "requested\n"
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert said.splitlines() == ["interrupted", "[True, True]"]


def test_what_was_ignored_still_is() -> None:
    code = WAITING.format(
        before="signal.signal(signal.SIGINT, signal.SIG_IGN)",
        then="break",
        handlers="[(2, signal.SIG_IGN), (15, signal.SIG_DFL)]",
    )
    process = started(code)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert said.splitlines() == ["requested", "interrupted", "[True, True]"]


def test_errors_go_through_but_not_in_place_of_the_signal() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="mine"), interruptible():
        raise ValueError("mine")

    def fails() -> None:
        signal.raise_signal(signal.SIGTERM)
        raise ValueError("mine")

    with pytest.raises(KeyboardInterrupt), interruptible():
        fails()
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_nothing_changes() -> None:
    found = []

    def work() -> None:
        with interruptible() as interruption:
            found.append((interruption.requested, signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, before)]


TRAINING = """
import signal, sys
from pathlib import Path
from trimgrid.startup import start_keras
start_keras()
import keras, numpy as np
from trimgrid.run_directory.checkpoints import Checkpoints
from trimgrid.data.sources import ArrayData
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.training import Task, Training

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
data = ArrayData((np.ones((2000, 4), "float32"), np.ones((2000, 1), "float32")), 2)
training = Training("mse", epochs=1000, batch_size=2)
if sys.argv[2] == "vectorized":
    from trimgrid.engines.vectorized import VectorizedEngine
    engine = VectorizedEngine(model, data, training)
else:
    engine = SequentialEngine(model, data)
def report(names, epoch, losses):
    if epoch == 1:
        print("ready", flush=True)
try:
    next(engine.train([Task("a", None, training, id="a")], None, report,
                      Checkpoints(Path(sys.argv[1]))))
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
"""
ENGINES = ["sequential", "vectorized"] if os.environ["KERAS_BACKEND"] == "jax" else ["sequential"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_training_saves_before_it_ends(tmp_path: Path, engine: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(tmp_path), engine],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "ready\n", process.communicate()[1]
    process.send_signal(signal.SIGTERM)
    said, errors = process.communicate(timeout=120)
    assert said == "interrupted True\n", errors
    assert 1000 <= Checkpoints(tmp_path).step("a") < 1_000_000
