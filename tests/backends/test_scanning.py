"""The scan of sparsities: the errors of the model pruned by hand, whatever the error and data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid import masks
from trimgrid.allocation.counts import shared_masks
from trimgrid.allocation.setting import Allocation
from trimgrid.allocation.sharing import share
from trimgrid.errors import InputError, RunError
from trimgrid.grids.grid import AttemptConfig
from trimgrid.one_shot import OneShot
from trimgrid.runs import pruned_errors
from trimgrid.runs.scan import Scan, ScanPoint
from trimgrid.runs.study import Study

RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 6), dtype="float32")
Y = X[:, :1] ** 2 - X[:, 1:2]
LABELS = (X.sum(axis=1) * 2).astype("int32") % 3
SPARSITIES = [0.0, 0.25, 0.5, 0.9, 0.99]


def regression(*parts: Any) -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(9, activation="tanh"), *parts, layers.Dense(1)]
    )


def classifier() -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(9, activation="tanh"), layers.Dense(3, "softmax")]
    )


def by_hand(study: Study, sparsities: list[float] = SPARSITIES) -> list[float]:
    """The study's error of a copy that is pruned tensor by tensor, one sparsity after the other."""
    copy = keras.models.clone_model(study.model)
    kernels = [
        each
        for each in copy.trainable_variables
        if each.name in ("kernel", "recurrent_kernel", "embeddings")
    ]
    paths, shapes = [each.path for each in kernels], [tuple(each.shape) for each in kernels]
    errors = []
    for sparsity in sparsities:
        copy.set_weights(study.model.get_weights())
        weights = [keras.ops.convert_to_numpy(each) for each in kernels]
        sharing = share(Allocation(), paths, shapes, np.array([sparsity]))
        for variable, each, mask in zip(
            kernels, weights, shared_masks(weights, sharing, sparsity), strict=True
        ):
            variable.assign(np.where(mask, each, 0))
        errors.append(study.evaluate(copy)[1])
    return errors


def absolute(y_true: Any, y_pred: Any) -> float:
    return float(np.abs(y_true - y_pred).max())


def of_model(model: Any) -> float:
    return float(sum(np.abs(each).sum() for each in model.get_weights()))


WEIGHTS = RANDOM.random(50).astype("float32")
CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "loss": (regression, (X, Y), {}),
    "weighted loss": (regression, (X, Y, WEIGHTS), {}),
    "double precision": (regression, (X.astype("float64"), Y.astype("float64")), {}),
    "metric": (regression, (X, Y), {"error": "root_mean_squared_error"}),
    "function of predictions": (regression, (X, Y), {"error": absolute}),
    "function of the model": (regression, (X, Y), {"error": of_model}),
    "accuracy": (
        classifier,
        (X, LABELS),
        {"error": "accuracy", "loss": "sparse_categorical_crossentropy"},
    ),
    "batch normalization and dropout": (
        lambda: regression(layers.BatchNormalization(), layers.Dropout(0.5)),
        (X, Y),
        {},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_errors_are_those_of_the_study(case: str) -> None:
    build, test, options = CASES[case]
    model = build()
    before = [np.array(each) for each in model.get_weights()]
    study = Study(model, (X, LABELS if case == "accuracy" else Y), test=test, epochs=1,
                  **({"loss": "mse"} | options))  # fmt: skip
    scan = study.scan(SPARSITIES)
    expected = by_hand(study)
    assert [each.sparsity for each in scan] == SPARSITIES
    assert [each.error for each in scan] == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert scan.original_error == pytest.approx(expected[0], rel=1e-5)
    assert scan.error_name == study.error_name
    assert len({*expected}) > 2
    for mine, its in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_several_inputs_and_outputs() -> None:
    keras.utils.set_random_seed(5)
    first, second = keras.Input((6,), name="first"), keras.Input((4,), dtype="int32", name="second")
    inner = layers.Concatenate()(
        [layers.Dense(5)(first), layers.Flatten()(layers.Embedding(9, 3)(second))]
    )
    model = keras.Model(
        {"first": first, "second": second},
        {"a": layers.Dense(1, name="a")(inner), "b": layers.Dense(2, name="b")(inner)},
    )
    data = (
        {"first": X, "second": (X[:, :4] * 9).astype("int32")},
        {"a": Y, "b": np.concatenate([Y, -Y], axis=1)},
    )
    study = Study(model, data, test=data, loss={"a": "mse", "b": "mae"}, epochs=1)
    scan = study.scan(SPARSITIES)
    assert [each.error for each in scan] == pytest.approx(by_hand(study), rel=1e-5)


@pytest.mark.parametrize("even", [True, False])
def test_streams(even: bool) -> None:
    """Batches of several sizes; and series of several lengths, which can't be joined."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((None, 2)), layers.GRU(4), layers.Dense(1)])

    def stream() -> Any:
        for start, stop, length in ((0, 20, 3), (20, 27, 3 if even else 2), (27, 40, 3)):
            yield X[start:stop].reshape(-1, 3, 2)[:, :length], Y[start:stop]

    study = Study(model, stream, test=stream, loss="mse", epochs=1)
    scan = study.scan(SPARSITIES)
    assert [each.error for each in scan] == pytest.approx(by_hand(study), rel=1e-5)


def test_a_model_that_takes_one_size_of_batches() -> None:
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input(batch_shape=(8, 6)), layers.Dense(5), layers.Dense(1)])
    study = Study(
        model, (X[:48], Y[:48]), test=(X[:48], Y[:48]), loss="mse", epochs=1, batch_size=8
    )
    scan = study.scan(SPARSITIES)
    assert [each.error for each in scan] == pytest.approx(by_hand(study), rel=1e-5)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16"])
def test_other_types(dtype: str, dtype_policy: Any) -> None:
    with dtype_policy(dtype):
        model = regression()
    study = Study(model, (X, Y), test=(X, Y), loss="mse", epochs=1)
    found = [each.error for each in study.scan(SPARSITIES)]
    assert found == pytest.approx(by_hand(study), rel=0.05)


@pytest.mark.parametrize("room", [1, 3, 100])
def test_points_that_do_not_fit_at_once(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(regression(), (X, Y), test=(X, Y), loss="mse", epochs=1)
    whole = study.scan(7)
    # 50 predictions of four bytes each, in batches of 20: as many as if there were 60.
    monkeypatch.setattr(pruned_errors, "_BATCH", 20)
    monkeypatch.setattr(pruned_errors, "_PREDICTIONS_BYTES", room * 240)
    parts = study.scan(7)
    assert [each.error for each in parts] == pytest.approx([e.error for e in whole], rel=1e-6)


def test_ties_and_weights_that_are_no_numbers() -> None:
    model = regression()
    weights = model.get_weights()
    weights[0] = np.tile(np.array([0.5, -0.5, 0.25], "float32"), (6, 3))
    weights[2][4] = np.nan
    model.set_weights(weights)
    study = Study(model, (X, Y), test=(X, Y), loss="mse", error=of_model, epochs=1)
    study_of_predictions = Study(model, (X, Y), test=(X, Y), loss="mse", epochs=1)
    assert all(np.isnan(each.error) for each in study_of_predictions.scan(SPARSITIES))
    for sparsity, rank in zip(SPARSITIES, [pruned_errors._ranks(weights[0])] * 5, strict=True):
        gone = 54 - masks.kept_count(54, sparsity)
        np.testing.assert_array_equal(rank >= gone, masks.magnitude_mask(weights[0], sparsity))
    assert np.isnan([each.error for each in study.scan(SPARSITIES)]).all()


@pytest.mark.parametrize("allocation", ["erdos_renyi", "global_magnitude", "lamp"])
def test_allocations(allocation: str) -> None:
    model = regression()
    study = Study(model, (X, Y), test=(X, Y), loss="mse", epochs=1)
    scan = study.scan(SPARSITIES, ["uniform", allocation])
    assert scan.allocations == ["uniform", allocation]
    kernels = [each for each in model.trainable_variables if each.name == "kernel"]
    weights = [keras.ops.convert_to_numpy(each).copy() for each in kernels]
    expected = []
    for sparsity in SPARSITIES:
        plan = np.array([sparsity])
        shapes = [each.shape for each in weights]
        sharing = share(Allocation(allocation), [each.path for each in kernels], shapes, plan)
        chosen = shared_masks(weights, sharing, sparsity)
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        for variable, each, mask in zip(
            copy.trainable_variables[::2], weights, chosen, strict=True
        ):
            variable.assign(np.where(mask, each, 0))
        expected.append(study.evaluate(copy)[1])
    assert [each.error for each in scan[5:]] == pytest.approx(expected, rel=1e-5)
    assert [each.error for each in scan[:5]] == pytest.approx(by_hand(study), rel=1e-5)
    assert scan[7] != scan[2]


def test_attempts_without_training_have_the_same_errors(tmp_path: Path) -> None:
    study = Study(regression(), (X, Y), test=(X, Y), loss="mse", epochs=1)
    grid = [AttemptConfig(f"{each}", OneShot(each), allocation="uniform") for each in SPARSITIES]
    results = study.run(grid, tmp_path, tflite=False, progress=False)
    found = [each.error for each in study.scan(SPARSITIES)]
    assert found == pytest.approx([each.error for each in results.attempts], rel=1e-5)


@pytest.mark.parametrize(
    ("sparsities", "expected"),
    [
        (4, [0.0, 0.25, 0.5, 0.75]),
        (np.int64(1), [0.0]),
        ([0.9, 0.5, 0.9], [0.5, 0.9]),
        ((0,), [0.0]),
        (np.array([0.5, 0.25]), [0.25, 0.5]),
    ],
)
def test_which_points(sparsities: Any, expected: list[float]) -> None:
    study = Study(regression(), (X, Y), test=(X, Y), loss="mse", error=of_model, epochs=1)
    assert [each.sparsity for each in study.scan(sparsities)] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "sparsities must be an integer of at least 1"),
        (([],), r"the number of points, or a list of fractions. Received: sparsities=\[\]"),
        (({0.5},), "the number of points, or a list"),
        ((True,), "the number of points, or a list"),
        ((0.5,), "the number of points, or a list"),
        (([0.5, 1.0],), r"sparsities must be a fraction in \[0, 1\)"),
        ((3, ["unifrom"]), r"Received: 'unifrom'\. Did you mean 'uniform'\?"),
        ((3, ["lamp", None]), "must be names that are known. Received: None"),
        ((3, [["lamp"]]), r"must be names that are known. Received: \['lamp'\]"),
        ((3, []), "allocations must be one or more"),
    ],
)
def test_bad_input(arguments: Any, message: str) -> None:
    study = Study(regression(), (X, Y), test=(X, Y), loss="mse", epochs=1)
    with pytest.raises(InputError, match=message):
        study.scan(*arguments)


POINTS = [
    ScanPoint("lamp", 0.9, 0.2),
    ScanPoint("uniform", 0.5, 0.104),
    ScanPoint("lamp", 0.5, 0.101),
    ScanPoint("uniform", 0.9, float("nan")),
    ScanPoint("uniform", 0.25, 0.1),
]


def test_the_result(tmp_path: Path) -> None:
    scan = Scan(POINTS, 0.1, "loss: mse")
    assert [(each.allocation, each.sparsity) for each in scan] == [
        ("lamp", 0.5), ("lamp", 0.9), ("uniform", 0.25), ("uniform", 0.5), ("uniform", 0.9),
    ]  # fmt: skip
    assert (len(scan), scan[-1].sparsity, scan[:1]) == (5, 0.9, [POINTS[2]])
    assert repr(scan) == "<Scan of 5 points: lamp, uniform>"
    text = scan.to_csv(tmp_path / "scan.csv")
    assert text.splitlines()[:2] == ["allocation,sparsity,error", "lamp,0.5,0.101"]
    assert (tmp_path / "scan.csv").read_text() == text
    pandas = pytest.importorskip("pandas")
    table = scan.to_pandas()
    pandas.testing.assert_frame_equal(
        table, pandas.DataFrame([tuple(each) for each in scan], columns=table.columns)
    )
    assert list(table.columns) == ["allocation", "sparsity", "error"]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, POINTS[2]),  # of two at 0.5 the one with the lower error
        ({"allocation": "uniform"}, POINTS[1]),
        ({"allocation": "uniform", "max_increase": 0.03}, POINTS[4]),
        ({"max_error": 0.2}, POINTS[0]),
        ({"max_error": 0.2, "max_increase": 0.5}, POINTS[2]),
    ],
)
def test_the_largest_sparsity(limits: dict[str, Any], expected: ScanPoint) -> None:
    assert Scan(POINTS, 0.1, "loss: mse").largest(**limits) == expected


def test_no_sparsity_will_do() -> None:
    scan = Scan(POINTS, 0.1, "loss: mse")
    with pytest.raises(RunError, match=r"an error of at most 0\.05\. The least is 0\.1"):
        scan.largest(max_error=0.05)
    with pytest.raises(InputError, match=r"with: lamp, uniform\. Received: allocation='global'"):
        scan.largest(allocation="global")
    with pytest.raises(InputError, match="max_error must be a finite number"):
        scan.largest(max_error=float("inf"))
    with pytest.raises(RunError, match="The original's error is not known"):
        Scan(POINTS, float("nan"), "loss: mse").largest()
