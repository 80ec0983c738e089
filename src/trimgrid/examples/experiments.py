"""The article's three examples as one kind of thing: model, data, training and error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import keras
import numpy as np

from trimgrid.errors import InputError
from trimgrid.examples import cnn, images, lstm, mlp
from trimgrid.examples.data import Split
from trimgrid.randomness import isolated_randomness
from trimgrid.startup import import_tensorflow
from trimgrid.training import Training


@dataclass(frozen=True)
class Experiment:
    """What a run of an example needs.

    `evaluate` gives the predictions on the test data and their error; `error_name` says what that
    is. `curve` holds x and y of the test data where predictions can be drawn over them, None for
    the images.
    """

    model: Any
    split: Split
    training: Training
    evaluate: Callable[[Any], tuple[Any, float]]
    error_name: str
    curve: tuple[Any, Any] | None


def experiment(
    name: str,
    epochs: int | None = None,
    seed: int = 1,
    data: str | None = None,
    data_dir: Path | None = None,
) -> Experiment:
    """Return the example "mlp", "lstm" or "cnn" with a new model.

    `epochs`: the article's if None (100, 80 and 15). `seed` determines the model's first weights,
    the order of the data and the dropout. `data` and `data_dir` are the image source of "cnn", see
    `trimgrid.examples.images.load_images`.

    Raises `InputError` for an unknown name, settings that do not fit it, or data that can't be had.

    >>> experiment("lstm", epochs=2).training.steps(394)
    16
    """
    if name == "cnn":
        source = data or "tf_flowers"
        if source == "tf_flowers":
            import_tensorflow()  # TensorFlow Datasets needs it on every backend
        return _cnn(epochs, seed, images.load_images(source, data_dir))
    if name not in ("mlp", "lstm"):
        raise InputError(f"An example must be mlp, lstm or cnn. Received: name={name!r}.")
    if data is not None or data_dir is not None:
        raise InputError(
            "Only the example cnn takes --data and --data-dir. "
            f"Received: name={name!r}, data={data!r}, data_dir={data_dir}. Leave them away."
        )
    return (_mlp if name == "mlp" else _lstm)(epochs, seed)


def _new_model(build: Callable[[], Any], seed: int) -> Any:
    with isolated_randomness(seed), _compiled_in_a_hurry():
        return build()


@contextmanager
def _compiled_in_a_hurry() -> Iterator[None]:
    """Let JAX spare its optimizations: each first weight is drawn once, by a program of its own."""
    if keras.config.backend() != "jax":
        yield
        return
    config, name = import_module("jax").config, "jax_disable_most_optimizations"
    before = config.values[name]
    config.update(name, True)
    try:
        yield
    finally:
        config.update(name, before)


def _mlp(epochs: int | None, seed: int) -> Experiment:
    split = mlp.load_data()
    x, y = split.test

    def evaluate(model: Any) -> tuple[Any, float]:
        predicted = model.predict(x, batch_size=len(x), verbose=0)[:, 0]
        return predicted, float(np.mean((predicted - y[:, 0]) ** 2))

    return Experiment(
        model=_new_model(mlp.build_model, seed),
        split=split,
        training=Training("mean_squared_error", "adam", _epochs(epochs, 100), 80, seed),
        evaluate=evaluate,
        error_name="mean squared error",
        curve=(x[:, 0], y[:, 0]),
    )


def _lstm(epochs: int | None, seed: int) -> Experiment:
    split = lstm.load_data()
    window, future = split.test

    def evaluate(model: Any) -> tuple[Any, float]:
        predicted = lstm.forecast(model, window)[0]
        return predicted, float(np.mean((predicted - future[0]) ** 2))

    return Experiment(
        model=_new_model(lstm.build_model, seed),
        split=split,
        training=Training("mean_squared_error", "adam", _epochs(epochs, 80), 50, seed),
        evaluate=evaluate,
        error_name="mean squared error",
        curve=(lstm.TEST_TIMES, future[0]),
    )


def _cnn(epochs: int | None, seed: int, split: Split) -> Experiment:
    x, y = split.test
    shape, classes = split.train[0].shape[1:], int(split.train[1].max()) + 1

    def evaluate(model: Any) -> tuple[Any, float]:
        logits = model.predict(x, batch_size=100, verbose=0)
        return np.argmax(logits, axis=1), cnn.misclassified(y, logits)

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return Experiment(
        model=_new_model(lambda: cnn.build_model(shape, classes), seed),
        split=split,
        training=Training(loss, "adam", _epochs(epochs, 15), 100, seed, ("accuracy",)),
        evaluate=evaluate,
        error_name="share of misclassified images",
        curve=None,
    )


def _epochs(wanted: int | None, of_the_article: int) -> int:
    return of_the_article if wanted is None else wanted
