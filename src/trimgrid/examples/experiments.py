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
from trimgrid.runs.study import Study
from trimgrid.startup import import_tensorflow


@dataclass(frozen=True)
class Experiment:
    """A study of the article, and how it is shown.

    `split` is the study's data. `error_name` says what the error is. `curve` holds x and y of the
    test data where predictions can be drawn over them, None for the images.
    """

    study: Study
    split: Split
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

    >>> experiment("lstm", epochs=2).study.training.steps(394)
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

    def mean_squared_error(model: Any) -> tuple[Any, float]:
        predicted = model.predict(x, batch_size=len(x), verbose=0)[:, 0]
        return predicted, float(np.mean((predicted - y[:, 0]) ** 2))

    return Experiment(
        _study(
            mlp.build_model,
            split,
            epochs=_epochs(epochs, 100),
            loss="mean_squared_error",
            batch_size=80,
            error=mean_squared_error,
            seed=seed,
        ),
        split,
        "mean squared error",
        (x[:, 0], y[:, 0]),
    )


def _lstm(epochs: int | None, seed: int) -> Experiment:
    split = lstm.load_data()
    window, future = split.test

    def mean_squared_error(model: Any) -> tuple[Any, float]:
        predicted = lstm.forecast(model, window)[0]
        return predicted, float(np.mean((predicted - future[0]) ** 2))

    return Experiment(
        _study(
            lstm.build_model,
            split,
            epochs=_epochs(epochs, 80),
            loss="mean_squared_error",
            batch_size=50,
            error=mean_squared_error,
            seed=seed,
        ),
        split,
        "mean squared error",
        (lstm.TEST_TIMES, future[0]),
    )


def _cnn(epochs: int | None, seed: int, split: Split) -> Experiment:
    x, y = split.test
    shape, classes = split.train[0].shape[1:], int(split.train[1].max()) + 1

    def misclassified(model: Any) -> tuple[Any, float]:
        logits = model.predict(x, batch_size=100, verbose=0)
        return np.argmax(logits, axis=1), cnn.misclassified(y, logits)

    return Experiment(
        _study(
            lambda: cnn.build_model(shape, classes),
            split,
            epochs=_epochs(epochs, 15),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=("accuracy",),
            batch_size=100,
            error=misclassified,
            seed=seed,
        ),
        split,
        "share of misclassified images",
        None,
    )


def _study(build: Callable[[], Any], split: Split, *, epochs: int, seed: int, **how: Any) -> Study:
    """The article trains the original as long as each attempt, by Adam."""
    with isolated_randomness(seed), _compiled_in_a_hurry():
        model = build()
    return Study(
        model,
        split.train,
        split.validation,
        split.test,
        epochs=epochs,
        pretrain_epochs=epochs,
        seed=seed,
        **how,
    )


def _epochs(wanted: int | None, of_the_article: int) -> int:
    return of_the_article if wanted is None else wanted
