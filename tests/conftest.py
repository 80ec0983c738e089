"""Settings for every test: backend, devices, cache; and what a training gave, fit to compare."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

settings.register_profile("trimgrid", deadline=None, derandomize=True)
settings.load_profile("trimgrid")

if os.environ["KERAS_BACKEND"] == "jax":
    import jax

    # Two host devices whatever the machine, so that the tests see attempts on several. The setting
    # of this process, not of the environment: programs that tests start choose for themselves.
    jax.config.update("jax_num_cpu_devices", 2)


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMGRID_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


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
        from trimgrid.data import ArrayData, StreamData, open_data
        from trimgrid.engines.sequential import SequentialEngine
        from trimgrid.engines.vectorized import VectorizedEngine
        from trimgrid.training import Task

        opened = open_data(data, training, "training data", class_weight=True)
        watched = None
        if validation is not None:
            watched = open_data(validation, training, "validation data")
        tasks = [Task(f"{i}", each, training) for i, each in enumerate(schedules)]
        one = SequentialEngine(model, opened, training, watched)
        if isinstance(watched, StreamData):
            watched = ArrayData.of_stream(watched)
        other = VectorizedEngine(model, opened, training, watched, attempts=len(tasks))
        return results(one, tasks), results(other, tasks)

    return train
