"""Errors are those that Keras' own evaluate gives, on arrays and streams, on both backends."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from trimgrid.data.sources import ArrayData, StreamData
from trimgrid.errors import InputError
from trimgrid.keras_names import known_names
from trimgrid.measures.checking import check_measure
from trimgrid.measures.error_measures import error_measure, error_measure_from_config

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(70, 4)).astype("float32")
WEIGHTS = RANDOM.random(70).astype("float32")
TARGETS: dict[str, Any] = {
    "linear": X[:, :1] * 2 + 1,
    "sigmoid": (X[:, :1] > 0).astype("int64"),
    "softmax": RANDOM.integers(3, size=70),
    "logits": RANDOM.integers(3, size=70),
    "onehot": np.eye(3)[RANDOM.integers(3, size=70)],
}


def model(kind: str) -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,))
    activation = {"onehot": "softmax", "logits": "linear"}.get(kind, kind)
    dense = keras.layers.Dense(1 if kind in ("linear", "sigmoid") else 3, activation)
    return keras.Model(inputs, dense(inputs))


def arrays(*parts: Any) -> ArrayData:
    return ArrayData(parts, 16)


def stream(*parts: Any) -> StreamData:
    def batches() -> Any:
        for start in range(0, 70, 32):
            yield keras.tree.map_structure(lambda a, at=start: a[at : at + 32], parts)

    return StreamData(batches, "test data")


def absolute(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)


LOSSES: list[tuple[str, Any]] = [
    ("linear", "mse"),
    ("linear", keras.losses.Huber(delta=0.5)),
    ("linear", keras.losses.MeanSquaredError(reduction=None)),
    ("linear", absolute),
    ("linear", keras.losses.mean_absolute_error),
    ("sigmoid", "binary_crossentropy"),
    ("sigmoid", "crossentropy"),
    ("softmax", "sparse_categorical_crossentropy"),
    ("softmax", "crossentropy"),
    ("logits", keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
    ("onehot", "categorical_crossentropy"),
    ("onehot", "crossentropy"),
    ("onehot", keras.losses.CategoricalCrossentropy(label_smoothing=0.1)),
]


@pytest.mark.parametrize(("kind", "loss"), LOSSES)
def test_the_loss_is_that_of_evaluate(kind: str, loss: Any) -> None:
    measured, y = model(kind), TARGETS[kind]
    measured.compile(loss=loss, run_eagerly=True)
    measure = error_measure(None, loss)
    for weights in (None, WEIGHTS):
        parts = (X, y) if weights is None else (X, y, weights)
        predictions, error = measure.evaluate(measured, arrays(*parts))
        wanted = measured.evaluate(X, y, sample_weight=weights, verbose=0)
        assert error == pytest.approx(wanted, rel=2e-6)
        assert measure.evaluate(measured, stream(*parts))[1] == pytest.approx(error, rel=2e-6)
        np.testing.assert_allclose(predictions, measured(X), rtol=1e-5, atol=1e-6)
        assert measure.of_predictions(*(y, predictions, *parts[2:])) == error


def test_targets_of_one_dimension_less() -> None:
    for loss in ("mse", absolute):
        measured = model("linear")
        measured.compile(loss=loss, run_eagerly=True)
        y = TARGETS["linear"][:, 0]
        _, error = error_measure(None, loss).evaluate(measured, arrays(X, y))
        assert error == pytest.approx(measured.evaluate(X, y, verbose=0), rel=2e-6)


METRICS: list[tuple[str, Any, str]] = [
    ("linear", "mse", "mse"),
    ("linear", "MeanAbsoluteError", "MeanAbsoluteError"),
    ("linear", "root_mean_squared_error", "root_mean_squared_error"),
    ("linear", keras.metrics.R2Score(), "1 - r2_score"),
    ("linear", keras.metrics.CosineSimilarity(name="cos"), "1 - cos"),
    ("linear", "cosine_similarity", "1 - cosine_similarity"),
    ("sigmoid", "accuracy", "1 - accuracy"),
    ("sigmoid", "acc", "1 - acc"),
    ("sigmoid", keras.metrics.BinaryAccuracy(threshold=0.7), "1 - binary_accuracy"),
    ("sigmoid", keras.metrics.AUC(curve="PR"), "1 - auc"),
    ("sigmoid", "precision", "1 - precision"),
    ("sigmoid", keras.metrics.Recall(), "1 - recall"),
    ("sigmoid", keras.metrics.SensitivityAtSpecificity(0.5), "1 - sensitivity_at_specificity"),
    ("sigmoid", "false_positives", "false_positives"),
    ("softmax", "accuracy", "1 - accuracy"),
    ("softmax", keras.metrics.sparse_categorical_accuracy, "1 - sparse_categorical_accuracy"),
    ("softmax", keras.metrics.SparseTopKCategoricalAccuracy(k=2),
     "1 - sparse_top_k_categorical_accuracy"),
    ("softmax", "sparse_categorical_crossentropy", "sparse_categorical_crossentropy"),
    ("onehot", "accuracy", "1 - accuracy"),
    ("onehot", "CategoricalAccuracy", "1 - CategoricalAccuracy"),
    ("onehot", keras.metrics.F1Score(average="macro"), "1 - f1_score"),
    ("onehot", keras.metrics.FBetaScore(average="micro", beta=2.0), "1 - fbeta_score"),
]  # fmt: skip


# Of each kind and of each way to name a metric others are left.
SLOW = {
    *("root_mean_squared_error", "1 - cosine_similarity", "1 - acc", "1 - precision"),
    "1 - CategoricalAccuracy",
}


@pytest.mark.parametrize(
    ("kind", "metric", "name"),
    [pytest.param(*each, marks=[pytest.mark.slow] if each[2] in SLOW else []) for each in METRICS],
)
def test_metrics_are_those_of_evaluate(kind: str, metric: Any, name: str) -> None:
    measured, y = model(kind), TARGETS[kind]
    given = isinstance(metric, keras.metrics.Metric)
    before = [np.array(each) for each in metric.variables] if given else []
    measure = error_measure(metric, "mse")
    assert measure.name == name

    def fresh() -> Any:
        return type(metric).from_config(metric.get_config()) if given else metric

    loss = "sparse_categorical_crossentropy" if kind == "softmax" else "mse"
    measured.compile(loss=loss, metrics=[fresh()], weighted_metrics=[fresh()], run_eagerly=True)
    logs = measured.evaluate(X, y, sample_weight=WEIGHTS, verbose=0, return_dict=True)
    plain, weighted = sorted(logs.keys() - {"loss"}, key=lambda key: key.startswith("weighted_"))
    for parts, value in (((X, y), logs[plain]), ((X, y, WEIGHTS), logs[weighted])):
        wanted = 1 - value if name.startswith("1 - ") else value
        _, error = measure.evaluate(measured, arrays(*parts))
        assert error == pytest.approx(wanted, rel=2e-6, abs=2e-6)
        assert measure.evaluate(measured, arrays(*parts))[1] == error
        found_in_stream = measure.evaluate(measured, stream(*parts))[1]
        assert found_in_stream == pytest.approx(error, rel=2e-6, abs=2e-6)
    for array, variable in zip(before, metric.variables if given else (), strict=True):
        np.testing.assert_array_equal(array, variable)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")  # Keras' own, on JAX
def test_overlap() -> None:
    y_true, y_pred = np.array([[0], [1], [1], [0]]), np.array([[0.1], [0.9], [0.2], [0.8]])
    measure = error_measure(keras.metrics.BinaryIoU(), "mse")
    assert measure.name == "1 - binary_io_u"
    assert measure.of_predictions(y_true, y_pred) == pytest.approx(2 / 3)


def two(as_dict: bool = False) -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,))
    outputs = [
        keras.layers.Dense(1, name="value")(inputs),
        keras.layers.Dense(3, "softmax", name="label")(inputs),
    ]
    named = dict(zip(("value", "label"), outputs, strict=True))
    return keras.Model(inputs, named if as_dict else outputs)


VALUE, LABEL = TARGETS["linear"], TARGETS["onehot"]
LISTED, NAMED = [VALUE, LABEL], {"label": LABEL, "value": VALUE}


@pytest.mark.parametrize("make", [arrays, stream])
@pytest.mark.parametrize(
    ("as_dict", "y", "loss", "weights"),
    [
        (False, LISTED, ["mse", "categorical_crossentropy"], None),
        (False, LISTED, ["mse", "categorical_crossentropy"], [0.5, 2.0]),
        (False, LISTED, "mse", None),
        (False, LISTED, {"label": "crossentropy", "value": "mse"}, {"label": 3.0, "value": 1.0}),
        (True, NAMED, {"label": "crossentropy", "value": "mse"}, {"label": 3.0, "value": 1.0}),
        (True, NAMED, {"label": "crossentropy"}, None),
        (True, NAMED, "mse", None),
        (False, LISTED, ["mse", None], None),
    ],
)
def test_several_outputs(
    as_dict: bool, y: Any, loss: Any, weights: Any, make: Callable[..., Any]
) -> None:
    measured = two(as_dict)
    measured.compile(loss=loss, loss_weights=weights, run_eagerly=True)
    measure = error_measure(None, loss, weights)
    predictions, error = measure.evaluate(measured, make(X, y))
    wanted = measured.evaluate(X, y, verbose=0, return_dict=True)["loss"]
    assert error == pytest.approx(wanted, rel=2e-6)
    if isinstance(y, dict) or not isinstance(loss, dict):
        assert measure.of_predictions(y, predictions) == error
    with pytest.raises(InputError, match=r"single output.*'1 - accuracy' for 2 outputs.*function"):
        error_measure("accuracy", loss).evaluate(measured, make(X, y))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (["mse"], r"Loss must be given for the model's outputs\. Received: \[0\] for .*\[0, 1\]"),
        ({"values": "mse"}, r"Received: \['values'\] for the outputs \['value', 'label'\]"),
    ],
)
def test_losses_that_do_not_fit_the_outputs(loss: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        error_measure(None, loss).evaluate(two(), arrays(X, LISTED))


def test_functions() -> None:
    measured = model("linear")
    y = TARGETS["linear"]

    def of_pair(y_true: Any, y_pred: Any) -> Any:
        assert type(y_true) is type(y_pred) is np.ndarray
        return np.abs(y_true - y_pred).max()

    def weighted(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
        return 7.0 if sample_weight is None else float(sample_weight.sum())

    pair = error_measure(of_pair, "mse")
    predictions, error = pair.evaluate(measured, arrays(X, y, WEIGHTS))
    assert pair.name == "of_pair"
    assert error == float(np.abs(y - predictions).max())
    assert error_measure(weighted, "mse").of_predictions(y, y) == 7
    _, error = error_measure(weighted, "mse").evaluate(measured, arrays(X, y, WEIGHTS))
    assert error == pytest.approx(WEIGHTS.sum())
    whole = error_measure(lambda model: (model.predict(X[:2], verbose=0), np.float32(0.5)), "mse")
    predictions, error = whole.evaluate(measured, arrays(X, y))
    assert (predictions.shape, error) == ((2, 1), 0.5)
    assert error_measure(lambda model: 3, "mse").evaluate(measured, arrays(X, y)) == (None, 3.0)
    assert math.isnan(error_measure(lambda model: math.nan, None).evaluate(measured, None)[1])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must not need the model"):
        whole.of_predictions(y, y)


@pytest.mark.parametrize("value", [None, "0.5", [0.5], np.ones(1), np.ones(3), {}, 1j])
def test_functions_that_give_no_number(value: Any) -> None:
    measured = model("linear")
    for function in (lambda model: value, lambda y_true, y_pred: value):
        with pytest.raises(InputError, match="The error of a model must be a number"):
            error_measure(function, "mse").evaluate(measured, arrays(X, X[:, :1]))


class Untold(keras.metrics.Metric):  # type: ignore[misc]
    """A metric with an argument that its config has not."""

    def __init__(self, power: float, name: str = "untold") -> None:
        super().__init__(name=name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("acuracy", r"one of Keras' metrics or losses\. .*='acuracy'\. Did you mean 'accuracy'\?"),
        ("mean_sqared_error", r"Did you mean 'mean_squared_error'\?"),
        ("MeanIoU", r"must be given as an object\. Received: error='MeanIoU'"),
        ("mean", r"must compare targets and predictions.*error=Mean\."),
        ("true_positives", r"smaller where a model is better\. .*TruePositives, a count"),
        (keras.metrics.AUC, r"the class AUC\. Call it: AUC\(\)\."),
        (keras.metrics.MeanMetricWrapper(absolute), r"error=MeanMetricWrapper\."),
        (keras.metrics.Sum(), r"error=Sum\."),
        (Untold(2.0), r"copyable through its config\. Received: error=Untold, TypeError"),
        (keras.metrics.CosineSimilarity(axis=0), r"config does not hold \{'axis': 0\}"),
        (lambda: 0.0, r"takes neither one nor two arguments"),
        (lambda a, b, c: 0.0, r"takes neither one nor two arguments"),
        (lambda a, *, b: 0.0, r"takes neither one nor two arguments"),
        (print, r"takes neither one nor two arguments"),
        (3, r"Received: error=3\. "),
        (["mse"], r"Received: error=\['mse'\]\. "),
    ],
)
def test_what_is_no_error(error: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        error_measure(error, "mse")


@pytest.mark.parametrize(
    ("error", "loss", "name"),
    [
        (None, "mse", "loss: mse"),
        ("loss", absolute, "loss: absolute"),
        (None, keras.losses.Huber(), "loss: huber_loss"),
        (None, ["mse", "mae"], "loss"),
        ("dice", "mse", "loss: dice"),
        (len, "mse", "len"),
    ],
)
def test_names_of_losses(error: Any, loss: Any, name: str) -> None:
    measure = error_measure(error, loss)
    assert measure.name == name
    assert measure.needs_data == (error is not len)


def test_a_loss_is_needed() -> None:
    with pytest.raises(InputError, match=r"error=None, loss=None\."):
        error_measure(None, None)


def test_a_metric_of_several_numbers() -> None:
    measure = error_measure(keras.metrics.F1Score(), "mse")
    with pytest.raises(InputError, match=r"one number\. .*gives \(3,\)\. .*average"):
        measure.evaluate(model("onehot"), arrays(X, TARGETS["onehot"]))


@pytest.mark.parametrize("error", [None, "accuracy", keras.metrics.AUC(), "mae"])
def test_predictions_without_a_value_have_no_error(error: Any) -> None:
    y = np.array([[0.0], [1.0]])
    measure = error_measure(error, "mse")
    assert math.isnan(measure.of_predictions(y, np.array([[np.nan], [1.0]])))


def test_a_stream_whose_examples_differ_in_shape() -> None:
    inputs = keras.Input((None, 4))
    measured = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    uneven = StreamData([(X[None, :k], X[None, :k, :1]) for k in (3, 5)], "test data")
    with pytest.raises(InputError, match="must have one shape but for the number of examples"):
        error_measure(None, "mse").evaluate(measured, uneven)


def test_a_model_that_takes_one_size_of_batches() -> None:
    inputs = keras.Input(batch_shape=(7, 4))
    measured = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    predictions, _ = error_measure(None, "mse").evaluate(measured, arrays(X, X[:, :1]))
    assert predictions.shape == (70, 1)


@keras.saving.register_keras_serializable("error_measures")
class Scaled(keras.losses.Loss):  # type: ignore[misc]
    """A registered loss of one's own."""

    def __init__(self, scale: float, **more: Any) -> None:
        super().__init__(**more)
        self.scale = scale

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Scaled."""
        return self.scale * absolute(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """All arguments."""
        return {**super().get_config(), "scale": self.scale}


class Own(keras.losses.Loss):  # type: ignore[misc]
    """Another that is not registered."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Plain."""
        return absolute(y_true, y_pred)


@pytest.mark.parametrize(
    ("kind", "error", "loss"),
    [
        *((kind, None, loss) for kind, loss in LOSSES if not callable(loss)),
        *((kind, metric, "mse") for kind, metric, _ in METRICS),
        ("linear", None, Scaled(3.0)),
        ("linear", None, keras.losses.mean_squared_error),
        ("onehot", None, keras.losses.CategoricalFocalCrossentropy(gamma=3.0)),
    ],
)
def test_measures_from_their_configs(kind: str, error: Any, loss: Any) -> None:
    measure = error_measure(error, loss)
    config = json.loads(json.dumps(measure.config(), allow_nan=False))
    again = error_measure_from_config(config)
    assert again is not None
    assert again.config() == config == error_measure(error, loss).config()
    y_pred = model(kind).predict(X, verbose=0)
    found = again.of_predictions(TARGETS[kind], y_pred)
    assert found == measure.of_predictions(TARGETS[kind], y_pred)


def test_measures_of_several_outputs_from_their_configs() -> None:
    predictions = two(as_dict=True).predict(X, verbose=0)
    loss = {"label": keras.losses.CategoricalCrossentropy(), "value": "mse"}
    measure = error_measure(None, loss, {"label": 2.0, "value": 1.0})
    again = error_measure_from_config(json.loads(json.dumps(measure.config())))
    assert again is not None
    assert again.of_predictions(NAMED, predictions) == measure.of_predictions(NAMED, predictions)


def limit(y_true: Any, y_pred: Any, at: float = 0.5) -> float:
    return at


def other_limit(y_true: Any, y_pred: Any, at: float = 0.5) -> float:
    return -at


def closure(at: float) -> Callable[[Any], float]:
    return lambda model: at


@pytest.mark.parametrize(
    ("error", "loss"),
    [
        (limit, "mse"),
        (functools.partial(limit, at=2), "mse"),
        (closure(1), "mse"),
        (None, absolute),
        (None, Own()),
        (None, keras.losses.Huber(delta=2.0)),  # whose config Keras forgets
        (None, {"a": "mse", "b": absolute}),
        (None, ["mse", absolute]),
    ],
)
def test_measures_whose_code_is_not_at_hand(error: Any, loss: Any) -> None:
    config = json.loads(json.dumps(error_measure(error, loss).config()))
    assert error_measure_from_config(config) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((limit, "mse"), (other_limit, "mse")),
        ((functools.partial(limit, at=2), "mse"), (functools.partial(limit, at=3), "mse")),
        ((closure(1), "mse"), (closure(2), "mse")),
        ((None, keras.losses.Huber(delta=2.0)), (None, keras.losses.Huber(delta=3.0))),
        ((None, Scaled(2.0)), (None, Scaled(3.0))),
        ((None, "mse"), (None, "mae")),
        (("accuracy", "mse"), ("mae", "mse")),
        (("auc", "mse"), (keras.metrics.AUC(curve="PR"), "mse")),
    ],
)
def test_what_differs_has_another_config(one: Any, other: Any) -> None:
    assert error_measure(*one).config() != error_measure(*other).config()


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"kind": "magic"},
        {"kind": "loss", "loss": "mse"},
        {"kind": "loss", "loss": "no_such", "loss_weights": None},
        {"kind": "metric", "metric": {"class_name": "Model", "config": {}}},
        {"kind": "metric", "metric": {"class_name": "AUC", "config": {"no_such": 1}}},
        {"kind": "metric", "metric": {"class_name": "MeanMetricWrapper", "config": {
            "fn": {"module": "os", "class_name": "function", "config": "system"}}}},
    ],
)  # fmt: skip
def test_configs_that_are_damaged(config: Any) -> None:
    with pytest.raises(InputError, match="must be as ErrorMeasure"):
        error_measure_from_config(config)


@pytest.mark.parametrize("name", known_names())
def test_every_known_name_is_one(name: str) -> None:
    # Some have arguments or give no error; none is said to be unknown.
    try:
        message = error_measure(name, "mse").name
    except InputError as error:
        message = str(error)
    assert "one of Keras' metrics or losses" not in message


def one_class_fails(y_true: Any, y_pred: Any) -> float:
    if len(y_true) < 70:
        raise ValueError("Only one class present.\nsee above")
    return 0.5


def wrong(y_true: Any, y_pred: Any) -> float:
    raise ValueError("no such column\nsee above")


@pytest.mark.parametrize("make", [arrays, stream])
@pytest.mark.parametrize(
    "error", [None, "accuracy", one_class_fails, keras.metrics.F1Score(average="macro")]
)
def test_errors_that_can_be_computed(error: Any, make: Callable[..., Any]) -> None:
    measured = model("onehot")
    check_measure(error_measure(error, "mse"), measured, make(X, TARGETS["onehot"], WEIGHTS))


@pytest.mark.parametrize("make", [arrays, stream])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("f1_score", r"must give one number\. Received: error='1 - f1_score', which gives \(3,\)"),
        (lambda y_true, y_pred: y_pred, r"must be a number\. Received: ndarray"),
        (wrong, r"error='wrong', which fails with ValueError: no such column\. Give another"),
    ],
)
def test_errors_that_can_t_be_computed(error: Any, message: str, make: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=message):
        check_measure(
            error_measure(error, "mse"), model("onehot"), make(X, TARGETS["onehot"], WEIGHTS)
        )


def test_a_metric_of_several_outputs_can_t_be_computed() -> None:
    with pytest.raises(InputError, match=r"single output.*'1 - accuracy' for 2 outputs"):
        check_measure(error_measure("accuracy", "mse"), two(), arrays(X, LISTED))


def test_to_check_changes_nothing() -> None:
    inputs = keras.Input(batch_shape=(5, 4, 1))
    stateful = keras.Model(inputs, keras.layers.LSTM(1, stateful=True)(inputs))
    before = [np.array(each) for each in stateful.variables]
    check_measure(error_measure("mse", "mse"), stateful, arrays(X[..., None], X[:, :1]))
    for array, variable in zip(before, stateful.variables, strict=True):
        np.testing.assert_array_equal(array, variable)

    def of_the_model(model: Any) -> float:
        raise AssertionError("it may take long")

    check_measure(error_measure(of_the_model, "mse"), stateful, arrays(X[..., None], X[:, :1]))
