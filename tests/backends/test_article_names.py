"""Code written after the article runs with its imports changed, and its attempts do not leak."""

from __future__ import annotations

from typing import Any, cast

import keras
import numpy as np
import pytest
from keras import layers, losses, optimizers

import trimgrid
from trimgrid.errors import InputError
from trimgrid.examples import mlp
from trimgrid.trim_insignificant_weights import (
    AttemptConfig,
    AttemptInfo,
    ConstantSparsity,
    PolynomialDecay,
    build_pruning_model,
    extract_pruned_model,
    inspect_weights,
    inspect_weigths,
    print_attempt_infos,
    retrieve_callbacks_for_pruning,
    retrieve_size_of_lite_model,
    retrieve_size_of_model,
)


@pytest.mark.slow
def test_the_loop_of_the_article(capsys: pytest.CaptureFixture[str]) -> None:
    split = mlp.load_data()
    (x_train, y_train), (x_test, y_test) = split.train, split.test
    batch_size, epochs = 80, 2
    loss = losses.MeanSquaredError(name="mean_squared_error")
    optimizer = optimizers.Adam()  # one for all, as in the article
    model_org = mlp.build_model()
    model_org.compile(loss=loss, optimizer=optimizer)
    model_org.fit(x_train, y_train, batch_size=batch_size, epochs=epochs, verbose=0)
    before = model_org.get_weights()
    end_step = np.ceil(len(x_train) / batch_size).astype(np.int32) * epochs

    attempt_infos = []
    decay = PolynomialDecay(
        initial_sparsity=0.1, final_sparsity=0.9, begin_step=0, end_step=end_step
    )
    constant = ConstantSparsity(target_sparsity=0.1, begin_step=0)
    for config in (
        AttemptConfig("poly decay 10/90", decay),
        AttemptConfig("const sparsity 0.1", constant),
    ):
        model_pruning = build_pruning_model(model_org, config.pruning_schedule)
        model_pruning.compile(loss=loss, optimizer=optimizer)
        model_pruning.fit(
            x_train, y_train, batch_size=batch_size, epochs=epochs, verbose=0,
            validation_data=split.validation, callbacks=retrieve_callbacks_for_pruning(),
        )  # fmt: skip
        model_pruned = extract_pruned_model(model_pruning)
        y_pred = model_pruned.predict(x_test, verbose=0)[:, 0]
        info = AttemptInfo(
            config.name,
            *inspect_weigths(config.name, model_pruned),
            *retrieve_size_of_model(model_pruned),
            *retrieve_size_of_lite_model(model_pruned),
            y_pred,
            float(np.mean((y_pred - y_test[:, 0]) ** 2)),
        )
        info.print()
        attempt_infos.append(info)
        assert all((a == b).all() for a, b in zip(before, model_org.get_weights(), strict=True))
    print_attempt_infos(attempt_infos)

    sparse, dense = attempt_infos
    assert 0.85 < sparse.zero_weights / 4289 < 0.92
    assert 0.09 < dense.zero_weights / 4289 < 0.15
    small, large = sparse.to_dict(), dense.to_dict()
    assert small["zipped_h5_size"] < large["zipped_h5_size"] < large["h5_size"] == 37080
    assert small["zipped_tflite_size"] < large["zipped_tflite_size"] < large["tflite_size"]
    printed = capsys.readouterr().out
    assert "Model: poly decay 10/90\n  Total number of weights: 4289\n" in printed
    assert printed.splitlines()[-1].startswith("const sparsity 0.1 ")


def small() -> Any:
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(8, name="only")(inputs), name="small")


def test_a_pruning_model_is_a_model_like_the_original() -> None:
    original = small()
    model = build_pruning_model(original, ConstantSparsity(0.5))
    assert type(model) is type(original)
    assert model.get_config() == original.get_config()
    model.compile("sgd", loss="mse", metrics=["mae"])
    history = model.fit(np.ones((8, 4)), np.ones((8, 8)), verbose=0)
    assert set(history.history) == {"loss", "mae"}
    plain = extract_pruned_model(model)
    assert not plain.compiled
    plain.compile("sgd", loss="mse")
    assert type(plain.optimizer).__name__ == "SGD"


def test_a_schedule_that_ends_too_late_is_refused_before_the_training() -> None:
    model = build_pruning_model(small(), PolynomialDecay(0.1, 0.9, begin_step=0, end_step=600))
    model.compile("adam", loss="mse")
    before = model.get_weights()
    with pytest.raises(InputError, match="reach its final sparsity"):
        model.fit(
            np.ones((8, 4)), np.ones((8, 8)), verbose=0, callbacks=retrieve_callbacks_for_pruning()
        )
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_what_can_not_be_pruned_is_refused_at_once() -> None:
    inputs = keras.Input((4,))
    nothing = keras.Model(inputs, layers.BatchNormalization()(inputs))
    with pytest.raises(InputError, match="weights that can be pruned"):
        build_pruning_model(nothing, ConstantSparsity(0.5))
    with pytest.raises(InputError, match="must have a plan"):
        build_pruning_model(small(), cast(Any, "half"))


def test_both_spellings_and_both_places() -> None:
    assert inspect_weights is inspect_weigths
    assert trimgrid.build_pruning_model is build_pruning_model
    assert trimgrid.inspect_weigths is inspect_weigths
