"""Settings for every test: backend, devices, cache; and what a training gave, fit to compare."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

gc.disable()  # until all is imported: `pytest_collection_finish`
settings.register_profile("trimgrid", deadline=None, derandomize=True)
settings.load_profile("trimgrid")

if os.environ["KERAS_BACKEND"] == "jax":
    # As the engine compiles its programs: a quarter of the tests' time.
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = (
        f"{flags} --xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1"
    )
    import jax

    # Two host devices whatever the machine, so that the tests see attempts on several. The setting
    # of this process, not of the environment: programs that tests start choose for themselves.
    jax.config.update("jax_num_cpu_devices", 2)


def pytest_collection_finish() -> None:
    """Leave what was imported out of every later collection of garbage, as a program does."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMGRID_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let JAX keep what it compiles, for all processes of the session: much of it is the same."""
    if os.environ["KERAS_BACKEND"] == "jax":
        folder = tmp_path_factory.getbasetemp()
        if "PYTEST_XDIST_WORKER" in os.environ:
            folder = folder.parent
        jax.config.update("jax_compilation_cache_dir", str(folder / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(scope="module")
def one_child() -> Iterator[None]:
    """One child process that converts for all exports of a module's tests: its imports take long.

    Without it each export starts its own and ends it.
    """
    from trimgrid.export.child_queue import ChildrenQueue

    class Lent(ChildrenQueue):
        def close(self) -> None:
            """Not by who borrowed it."""

        def end(self) -> None:
            super().close()

    lent = Lent(limit=1)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("exporting", "latency"):
            patch.setattr(f"trimgrid.export.{module}.ChildrenQueue", lambda limit: lent)
        yield
    lent.end()


@pytest.fixture
def copying(tmp_path: Path) -> Any:
    """Checkpoints that are saved wherever they can be, and of which every one is kept."""
    from trimgrid.run_directory.checkpoints import Checkpoints

    class Copying(Checkpoints):
        def __init__(self) -> None:
            super().__init__(tmp_path / "last", every=0)
            self.saved: list[int] = []

        def save(self, ids: Any, step: int, *rest: Any) -> None:
            super().save(ids, step, *rest)
            shutil.copytree(self.folder, tmp_path / str(step), dirs_exist_ok=True)
            self.saved.append(step)

        def at(self, step: int) -> Checkpoints:
            """The checkpoints as they were after a step, as another process finds them."""
            return Checkpoints(tmp_path / str(step))

    return Copying()


@pytest.fixture(scope="session")
def dtype_policy() -> Callable[[str], AbstractContextManager[None]]:
    """A function that gives a context in which new layers have a type policy."""

    @contextmanager
    def under(policy: str) -> Iterator[None]:
        import keras

        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)

    return under


@dataclass(frozen=True)
class Result:
    """What a training gave, apart from the model, which an engine may use again."""

    weights: list[NDArray[Any]]
    history: dict[str, list[float]]
    failure: str | None

    def check_same(self, other: Result) -> None:
        """Check that two trainings gave the same bits."""
        assert self.failure == other.failure
        assert set(self.history) == set(other.history)
        for key, values in self.history.items():
            np.testing.assert_array_equal(values, other.history[key], key)
        for mine, its in zip(self.weights, other.weights, strict=True):
            np.testing.assert_array_equal(mine, its)

    def check_close(self, other: Result, rtol: float = 1e-4, atol: float = 1e-5) -> None:
        """Check that two trainings pruned the same weights; all else is nearly the same."""
        assert self.failure == other.failure
        assert set(self.history) == set(other.history)
        for mine, its in zip(self.weights, other.weights, strict=True):
            np.testing.assert_array_equal(mine == 0, its == 0)
            np.testing.assert_allclose(
                mine.astype("float64"), its.astype("float64"), rtol=10 * rtol, atol=10 * atol
            )
        for key, values in self.history.items():
            np.testing.assert_allclose(values, other.history[key], rtol, atol, err_msg=key)


Results = Callable[..., list[Result]]


@pytest.fixture(scope="session")
def results() -> Results:
    """A function that trains tasks with an engine and returns their results in order."""

    def train(engine: Any, tasks: Sequence[Any], *arguments: Any) -> list[Result]:
        found = {}
        for place, trained in engine.train(tasks, *arguments):
            weights = [np.array(array) for array in trained.model.get_weights()]
            found[place] = Result(weights, trained.history, trained.failure)
        assert sorted(found) == list(range(len(tasks)))
        return [found[place] for place in range(len(tasks))]

    return train


@pytest.fixture(scope="session")
def by_both(results: Results) -> Callable[..., tuple[list[Result], list[Result]]]:
    """A function that trains schedules by the sequential and by the vectorized engine."""

    def train(
        model: Any, data: Any, training: Any, schedules: Sequence[Any], validation: Any = None
    ) -> tuple[list[Result], list[Result]]:
        from trimgrid.data.sources import ArrayData, StreamData, open_data
        from trimgrid.engines.sequential import SequentialEngine
        from trimgrid.engines.vectorized import VectorizedEngine
        from trimgrid.training import Task

        opened = open_data(data, training, "training data", class_weight=True)
        watched = None
        if validation is not None:
            watched = open_data(validation, training, "validation data")
        tasks = [Task(f"{i}", each, training) for i, each in enumerate(schedules)]
        one = SequentialEngine(model, opened, watched)
        if isinstance(watched, StreamData):
            watched = ArrayData.of_stream(watched)
        other = VectorizedEngine(model, opened, training, watched, attempts=len(tasks))
        return results(one, tasks), results(other, tasks)

    return train
