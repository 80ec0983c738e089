"""Every format in every quantization: a file that was run and compared, or a refusal that says why.

The child process that converts is one for all tests, because its imports take seconds.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from numpy.typing import NDArray

from trimgrid.errors import InputError, RunError
from trimgrid.examples.lstm import build_model as article_lstm
from trimgrid.export.child_queue import ChildrenQueue
from trimgrid.export.exported import Exported
from trimgrid.export.exporting import export_model
from trimgrid.export.files import write_keras
from trimgrid.export.formats import FORMATS
from trimgrid.export.samples import Samples
from trimgrid.masks import magnitude_mask
from trimgrid.measures.error_measures import error_measure
from trimgrid.prunable import prunable_variables
from trimgrid.report.export_text import export_text
from trimgrid.shrinking.shrunk import Shrunk

PAIRS = [(file_format, quantize) for file_format in FORMATS for quantize in FORMATS[file_format]]
# Keras compiles much for these, and quantizes the dense layers and embeddings of others as well.
SLOW = {
    ("mlp", "keras", "int8"),
    ("mlp", "keras", "int4"),
    ("two", "keras", "int4"),
    ("cnn", "keras", "int4"),
    ("lstm", "keras", "int4"),
    ("embedding", "keras", "int8"),
}
REFUSED = {
    ("cnn", "keras", "int8"): r"leaves 3,888 of 4,008 weights in kernels as they are: it quantizes",
    ("cnn", "keras", "int4"): r"leaves 3,888 of 4,008 weights in kernels as they are: it quantizes",
    ("lstm", "keras", "int8"): r"leaves 25,920 of 26,000 weights in kernels as they are",
    ("lstm", "keras", "int4"): r"leaves 25,920 of 26,000 weights in kernels as they are",
    ("half", "keras", "int8"): r"can't quantize this model: .* compute_dtype='float16'",
}
# The largest differences that were measured, doubled: shares of the output's range.
CLOSE = {"none": 5e-4, "float16": 1e-3, "dynamic": 0.02, "int8": 0.15, "int4": 0.15}

# Classes that a user would have in a module of his own. The child is known by its program's name.
CUSTOM = """
import os, signal, sys
import keras

IN_CHILD = sys.argv[0].endswith("export/child.py")

@keras.saving.register_keras_serializable("trimgrid_export")
class Odd(keras.layers.Layer):
    def __init__(self, what, **kwargs):
        super().__init__(**kwargs)
        self.what = what

    def get_config(self):
        return {**super().get_config(), "what": self.what}

    def call(self, x):
        if IN_CHILD and self.what == "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        if IN_CHILD and self.what == "lie":
            return 0 * x
        if IN_CHILD and self.what == "fixed batch" and x.shape[0] is None:
            import tensorflow as tf
            if not tf.executing_eagerly() and tf.compat.v1.get_default_graph().name == "serve":
                raise ValueError("no free batch, please")
        return x
"""


def mlp() -> Any:
    dense = [layers.Dense(64, "relu"), layers.Dense(64, "relu"), layers.Dense(1)]
    return keras.Sequential([keras.Input((4,)), *dense])


def cnn() -> Any:
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Conv2D(24, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, "softmax"),
        ]
    )


def two_by_two() -> Any:
    """Inputs and outputs by names that are in another order than they are made."""
    late, early = keras.Input((3,), name="late"), keras.Input((5,), name="early")
    hidden = layers.Concatenate()([layers.Dense(40, "relu")(late), layers.Dense(40)(early)])
    outputs = {"wide": layers.Dense(3)(hidden), "narrow": layers.Dense(1)(hidden)}
    return keras.Model({"late": late, "early": early}, outputs)


def embedding() -> Any:
    tokens = keras.Input((8,), dtype="int32", name="tokens")
    hidden = layers.GlobalAveragePooling1D()(layers.Embedding(50, 32)(tokens))
    return keras.Model(tokens, layers.Dense(3)(layers.Dense(32, "relu")(hidden)))


def half() -> Any:
    dense = [layers.Dense(64, "relu", dtype="mixed_float16"), layers.Dense(2)]
    return keras.Sequential([keras.Input((4,)), *dense])


def normal(*shape: int) -> Callable[[int], Any]:
    return lambda rows: np.random.default_rng(1).normal(size=(rows, *shape)).astype("float32")


MODELS: dict[str, tuple[Callable[[], Any], Callable[[int], Any]]] = {
    "mlp": (mlp, normal(4)),
    "cnn": (cnn, normal(16, 16, 3)),
    "lstm": (article_lstm, normal(6, 1)),
    "two": (two_by_two, lambda rows: {"early": normal(5)(rows), "late": normal(3)(rows)}),
    "embedding": (
        embedding,
        lambda rows: np.random.default_rng(1).integers(50, size=(rows, 8)).astype("int32"),
    ),
    "half": (half, normal(4)),
}


@dataclass
class Case:
    """A pruned model in a file, rows for it, and what it predicts for the test rows."""

    model: Any
    file: Path
    samples: Samples
    expected: Any


def mean_square(y_true: Any, y_pred: Any) -> float:
    pairs = zip(keras.tree.flatten(y_true), keras.tree.flatten(y_pred), strict=True)
    return float(np.mean([np.mean((np.float64(a) - np.float64(b)) ** 2) for a, b in pairs]))


def make_case(model: Any, rows: Callable[[int], Any], folder: Path, sparsity: float = 0.5) -> Case:
    for each in prunable_variables(model.variables):
        if each.reason is None:
            kernel = keras.ops.convert_to_numpy(each.variable)
            each.variable.assign(kernel * magnitude_mask(kernel, sparsity))
    write_keras(model, folder / "model.keras")
    test = keras.tree.map_structure(lambda array: array[:40], rows(100))
    expected = model.predict(test, verbose=0)
    targets = keras.tree.map_structure(lambda array: array + np.float32(0.5), expected)
    return Case(model, folder / "model.keras", Samples(rows(100), test, targets, 100, 40), expected)


@pytest.fixture(scope="module")
def children() -> Iterator[ChildrenQueue]:
    queue = ChildrenQueue(limit=1)
    queue.start()
    yield queue
    queue.close()


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    made: dict[str, Case] = {}

    def case(name: str) -> Case:
        if name not in made:
            keras.utils.set_random_seed(0)
            build, rows = MODELS[name]
            made[name] = make_case(build(), rows, tmp_path_factory.mktemp(name))
        return made[name]

    return case


@pytest.fixture(scope="module")
def custom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("modules")
    (folder / "trimgrid_export_layers.py").write_text(CUSTOM)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("trimgrid_export_layers")
    sys.path.remove(str(folder))


@pytest.mark.parametrize(
    ("name", "file_format", "quantize"),
    [
        pytest.param(*each, marks=[pytest.mark.slow] if each in SLOW else [])
        for each in ((name, *pair) for name in MODELS for pair in PAIRS)
    ],
)
def test_a_checked_file_or_the_reason(
    name: str,
    file_format: str,
    quantize: str,
    cases: Callable[[str], Case],
    children: ChildrenQueue,
    tmp_path: Path,
) -> None:
    case, target = cases(name), tmp_path / f"small.{file_format}"

    def export() -> Exported:
        return export_model(
            case.file, target, quantize, samples=case.samples, error=mean_square, children=children
        )

    if reason := REFUSED.get((name, file_format, quantize)):
        with pytest.raises(RunError, match=reason):
            export()
        assert not list(tmp_path.iterdir())
        return
    exported = export()
    assert [each.name for each in tmp_path.iterdir()] == [target.name]
    assert (exported.format, exported.quantize, exported.rows) == (file_format, quantize, 40)
    assert exported.size.plain == target.stat().st_size
    spreads = [float(np.ptp(np.float64(y))) for y in keras.tree.flatten(case.expected)]
    assert min(abs(exported.output_range / spread - 1) for spread in spreads) < 1e-6
    assert exported.max_difference <= CLOSE[quantize] * exported.output_range
    assert exported.keras_error == pytest.approx(0.25, abs=2e-3)
    assert exported.error == pytest.approx(0.25, abs=0.05)
    assert json.loads(json.dumps(exported.to_dict()))["size"]["plain"] == exported.size.plain
    content = target.read_bytes()
    assert str(tmp_path).encode() not in content
    assert b"/tmp" not in content
    check_zeros(case.model, constants_of(target))


@dataclass(frozen=True)
class Constant:
    """How many numbers a constant in a file has, and how many of them are zero."""

    size: int
    zeros: int


def constants_of(file: Path) -> list[Constant]:
    arrays = {
        ".tflite": tflite_constants,
        ".onnx": onnx_constants,
        ".keras": keras_constants,
        ".h5": keras_constants,
    }[file.suffix](file)
    return [Constant(array.size, array.size - int(np.count_nonzero(array))) for array in arrays]


def check_zeros(model: Any, constants: list[Constant]) -> None:
    """Each kernel must be there, with as many zeros at least."""
    for each in prunable_variables(model.variables):
        if each.reason is None:
            zeros = [found.zeros for found in constants if found.size == each.weights]
            assert zeros, each.path
            assert max(zeros) >= each.zeros > 0.45 * each.weights


def tflite_constants(file: Path) -> list[NDArray[Any]]:
    """The constants in a file as the numbers that they stand for, but for their scale."""
    from ai_edge_litert import schema_py_generated as schema

    types = schema.TensorType
    names = {
        types.FLOAT32: "float32",
        types.FLOAT16: "float16",
        types.INT8: "int8",
        types.INT32: "int32",
    }
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file.read_bytes(), 0))
    found = []
    for tensor in (each for graph in model.subgraphs for each in graph.tensors):
        data = model.buffers[tensor.buffer].data
        if data is None or not len(data):
            continue
        raw = np.asarray(data, np.uint8)
        if tensor.type == types.INT4:
            values = np.stack([raw & 15, raw >> 4], axis=1).ravel()
            values = np.where(values > 7, values - 16.0, values)[: int(np.prod(tensor.shape))]
        elif tensor.type in names:
            values = raw.view(names[tensor.type]).astype("float64")
        else:
            continue
        if tensor.quantization is not None and tensor.quantization.zeroPoint is not None:
            (zero,) = set(np.ravel(tensor.quantization.zeroPoint).tolist())
            values = values - zero
        found.append(values)
    return found


def onnx_constants(file: Path) -> list[NDArray[Any]]:
    import onnx

    model = onnx.load(file)
    onnx.checker.check_model(model)
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    found = []
    for name, array in arrays.items():
        zero = arrays.get(name.replace("_quantized", "_zero_point"), np.zeros(1))
        found.append(array.astype("float64") - (zero.flat[0] if "_quantized" in name else 0))
    return found


def keras_constants(file: Path) -> list[NDArray[Any]]:
    """Weights; 4-bit ones lie two in a byte, and stand for zero where they are the zero point."""
    variables = keras.saving.load_model(file, compile=False).variables
    arrays = {each.path: keras.ops.convert_to_numpy(each) for each in variables}
    found = []
    for path, array in arrays.items():
        if f"{path}_zero" not in arrays:
            found.append(array.astype("float64"))
            continue
        zero = arrays[f"{path}_zero"].astype("float64")  # one for each row, or for each column
        length = 2 * array.shape[1] if len(zero) == len(array) else zero.shape[1]
        unpacked = keras.quantizers.unpack_int4(array, length, axis=-1)
        found.append(keras.ops.convert_to_numpy(unpacked) - zero)
    return found


@pytest.mark.parametrize(
    ("name", "file_format", "quantize"),
    [
        ("mlp", "keras", "int8"),
        ("cnn", "tflite", "int8"),
        ("lstm", "tflite", "int4"),
        ("lstm", "onnx", "int8"),
        ("two", "onnx", "float16"),
    ],
)
def test_the_same_bytes_again_and_from_another_child(
    name: str,
    file_format: str,
    quantize: str,
    cases: Callable[[str], Case],
    children: ChildrenQueue,
    other_child: ChildrenQueue,
    tmp_path: Path,
) -> None:
    case, contents = cases(name), set()
    for i, queue in enumerate((children, children, other_child)):
        target = tmp_path / f"{i}.{file_format}"
        export_model(case.file, target, quantize, samples=case.samples, children=queue)
        contents.add(target.read_bytes())
    assert len(contents) == 1


@pytest.fixture(scope="module")
def other_child() -> Iterator[ChildrenQueue]:
    """A child that converted nothing before, and whose sets have another order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONHASHSEED", "12345")
        queue = ChildrenQueue(limit=1)
        queue.start()
    yield queue
    queue.close()


def test_names_say_which_output_is_which(
    cases: Callable[[str], Case], children: ChildrenQueue, tmp_path: Path
) -> None:
    case, seen = cases("two"), []

    def error(y_true: Any, y_pred: Any) -> float:
        seen.append(y_pred)
        assert y_true is case.samples.test_targets
        return 1.5

    for suffix in ("tflite", "onnx", "keras"):
        seen.clear()
        target = tmp_path / f"small.{suffix}"
        export_model(case.file, target, samples=case.samples, error=error, children=children)
        for y_pred in seen:
            assert {key: y.shape for key, y in y_pred.items()} == {
                "wide": (40, 3),
                "narrow": (40, 1),
            }
            for key, y in y_pred.items():
                np.testing.assert_allclose(y, case.expected[key], rtol=1e-4, atol=1e-5)


def test_the_batch_of_an_onnx_file_is_free_or_one(
    cases: Callable[[str], Case], children: ChildrenQueue, custom: ModuleType, tmp_path: Path
) -> None:
    import onnxruntime

    for folder, case in (
        (tmp_path / "free", cases("mlp")),
        (tmp_path / "one", odd_case(custom, "fixed batch", tmp_path)),
    ):
        folder.mkdir()
        export_model(case.file, folder / "a.onnx", samples=case.samples, children=children)
        session = onnxruntime.InferenceSession(folder / "a.onnx")
        batch = [each.shape[0] for each in (*session.get_inputs(), *session.get_outputs())]
        assert batch == ([1, 1] if folder.name == "one" else ["batch", "batch"])


def test_gelu_in_onnx(children: ChildrenQueue, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, "gelu"), layers.Dense(2, "gelu")])
    case = make_case(model, normal(4), tmp_path)
    exported = export_model(
        case.file, tmp_path / "gelu.onnx", samples=case.samples, children=children
    )
    assert exported.max_difference < 1e-5


def test_without_test_data_the_training_rows_are_run(
    cases: Callable[[str], Case], tmp_path: Path
) -> None:
    case = cases("mlp")
    samples = replace(case.samples, test_inputs=None, test_targets=None)
    exported = export_model(case.file, tmp_path / "a.h5", samples=samples, error=mean_square)
    assert (exported.rows, exported.error, exported.keras_error) == (100, None, None)


def two_heads(loss: Any, targets: Any) -> tuple[Any, Any]:
    """A model with a list of outputs, and its error as Keras' own evaluate gives it."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [layers.Dense(1, name=name)(inputs) for name in "ab"])
    model.compile(loss=loss)
    return model, model.evaluate(normal(4)(40), targets, verbose=0, return_dict=True)["loss"]


@pytest.mark.parametrize("suffix", ["keras", "tflite"])
@pytest.mark.parametrize(
    ("loss", "named"), [("mse", True), ({"a": "mse", "b": "mae"}, False), (["mse", "mae"], False)]
)
def test_errors_of_named_outputs(
    loss: Any, named: bool, suffix: str, children: ChildrenQueue, tmp_path: Path
) -> None:
    y = [normal(1)(40), normal(1)(40) + 1]
    targets = dict(zip("ab", y, strict=True)) if named else y
    model, wanted = two_heads(loss, targets)
    write_keras(model, tmp_path / "model.keras")
    exported = export_model(
        tmp_path / "model.keras",
        tmp_path / f"small.{suffix}",
        samples=Samples(normal(4)(40), normal(4)(40), targets, 40, 40),
        error=error_measure(None, loss),
        children=children,
    )
    assert exported.keras_error == pytest.approx(wanted, rel=1e-5)
    assert exported.error == pytest.approx(wanted, rel=0.05)


def weighted_mean(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    return float(np.average((y_true - y_pred)[:, 0] ** 2, weights=sample_weight))


@pytest.mark.parametrize(
    "error", [error_measure("mse", "mse"), error_measure(weighted_mean, "mse"), weighted_mean]
)
def test_weights_count_in_the_errors(
    error: Any, cases: Callable[[str], Case], tmp_path: Path
) -> None:
    case, weights = cases("mlp"), np.linspace(0, 3, 40)
    targets = case.samples.test_targets * weights[:, None].astype("float32")
    samples = replace(case.samples, test_targets=targets, test_weights=weights)
    exported = export_model(case.file, tmp_path / "a.h5", samples=samples, error=error)
    wanted = np.average((targets - case.expected)[:, 0] ** 2, weights=weights)
    assert exported.error == exported.keras_error == pytest.approx(wanted, rel=1e-5)
    assert abs(wanted / mean_square(targets, case.expected) - 1) > 0.1


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_model_that_takes_one_size_of_batches(suffix: str, tmp_path: Path) -> None:
    inputs = keras.Input(batch_shape=(8, 6, 1))
    hidden = layers.LSTM(4, stateful=True)(inputs)
    write_keras(keras.Model(inputs, layers.Dense(1)(hidden)), tmp_path / "model.keras")
    x, target = normal(6, 1)(21), tmp_path / f"small.{suffix}"
    samples = Samples(x, x, x[:, 0], 21, 21)
    exported = export_model(
        tmp_path / "model.keras", target, samples=samples, error=error_measure("mse", "mse")
    )
    assert (exported.rows, exported.max_difference) == (16, 0)
    assert exported.error == exported.keras_error
    few = replace(samples, test_inputs=x[:7], test_targets=x[:7, 0])
    with pytest.raises(InputError, match=r"takes 8 rows at once\. Received: 21 of 21 tr"):
        export_model(tmp_path / "model.keras", target, samples=few)


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_an_error_that_is_no_number_is_null(
    error: float, cases: Callable[[str], Case], tmp_path: Path
) -> None:
    case = cases("mlp")
    exported = export_model(
        case.file, tmp_path / "a.h5", samples=case.samples, error=lambda y_true, y_pred: error
    )
    told = json.loads(json.dumps(exported.to_dict(), allow_nan=False))
    assert (told["error"], told["keras_error"]) == (None, None)


DIED = r"^The process that converts died of SIGSEGV"
LIED = r"^The converted file differs from the Keras prediction by .*Nothing was written"


def odd_case(custom: ModuleType, what: str, folder: Path) -> Case:
    dense = layers.Dense(4)
    model = keras.Sequential([keras.Input((4,), batch_size=None), dense, custom.Odd("as it is")])
    case = make_case(model, normal(4), folder)
    model.layers[-1].what = what
    write_keras(model, case.file)
    return case


@pytest.mark.parametrize(
    ("what", "suffix", "reason"),
    [
        pytest.param(what, suffix, reason, marks=[pytest.mark.slow] if slow else [])
        for what, reason, suffix, slow in (
            ("die", DIED, "tflite", False),
            ("die", DIED, "onnx", True),  # each death takes two children's starts
            ("lie", LIED, "tflite", False),
            ("lie", LIED, "onnx", False),
        )
    ],
)
def test_a_failure_leaves_what_was_there(
    what: str,
    reason: str,
    suffix: str,
    children: ChildrenQueue,
    custom: ModuleType,
    tmp_path: Path,
) -> None:
    case = odd_case(custom, what, tmp_path)
    target = tmp_path / f"small.{suffix}"
    target.write_text("earlier")
    with pytest.raises(RunError, match=reason):
        export_model(case.file, target, samples=case.samples, children=children)
    assert target.read_text() == "earlier"
    assert {each.name for each in tmp_path.iterdir()} == {"model.keras", target.name}


def test_an_error_that_raises_leaves_what_was_there(
    cases: Callable[[str], Case], tmp_path: Path
) -> None:
    def error(y_true: Any, y_pred: Any) -> float:
        raise ZeroDivisionError

    case = cases("mlp")
    with pytest.raises(ZeroDivisionError):
        export_model(case.file, tmp_path / "a.keras", samples=case.samples, error=error)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "quantize", "message"),
    [
        ("small.pt", "none", r"\.keras, \.h5, \.tflite, \.onnx file\. Received: path=.*small\.pt"),
        ("small", "none", r"\.onnx file\. Received"),
        ("small.tflite", "int2", r"one of none, float16, dynamic, int8, int4\. Received: .*int2"),
        ("small.h5", "int8", r"can't have quantize='int8': the legacy.*one of: none\."),
        ("small.onnx", "int4", r"matrix products only\. Give one of: none, float16, dynamic, int8"),
        ("small.keras", "dynamic", r"this is what int8 is\. Give one of: none, int8, int4"),
        ("no/such/folder/small.h5", "none", r"folder of the file must exist"),
        ("model.keras", "int8", r"another file than its own"),
    ],
)
def test_what_is_refused_before_any_work(
    name: str, quantize: str, message: str, cases: Callable[[str], Case]
) -> None:
    case = cases("mlp")
    before = case.file.read_bytes()
    with pytest.raises(InputError, match=message):
        export_model(case.file, case.file.parent / name, quantize, samples=case.samples)
    assert case.file.read_bytes() == before
    assert [each.name for each in case.file.parent.iterdir()] == ["model.keras"]


@pytest.mark.parametrize(
    ("name", "quantize", "package", "message"),
    [
        ("a.onnx", "none", "tf2onnx", r"needs the package tf2onnx.*pip install 'trimgrid\[onnx\]'"),
        ("a.onnx", "int8", "onnxruntime", r"trimgrid\[onnx\]"),
        ("a.tflite", "int4", "ai_edge_quantizer", r"package ai-edge-quantizer.*\[quantize\]"),
    ],
)
def test_what_is_not_installed_is_named(
    name: str,
    quantize: str,
    package: str,
    message: str,
    cases: Callable[[str], Case],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else there(name)
    )
    case = cases("mlp")
    with pytest.raises(InputError, match=message):
        export_model(case.file, tmp_path / name, quantize, samples=case.samples)


def test_samples_of_another_model_are_refused(cases: Callable[[str], Case], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"samples must fit the model\. Received: .*\(40, 6, 1\)"):
        export_model(cases("mlp").file, tmp_path / "a.keras", samples=cases("lstm").samples)


def test_this_process_stays_free_of_tensorflow(
    cases: Callable[[str], Case], tmp_path: Path
) -> None:
    code = f"""
import sys, keras, random
from trimgrid.export.exporting import export_model
from trimgrid.export.samples import Samples
import numpy as np
x = np.ones((4, 4), "float32")
random.seed(3)
before = random.getstate()
for name, quantize in [("a.tflite", "none"), ("a.keras", "int8"), ("a.h5", "none")]:
    export_model({str(cases("mlp").file)!r}, {str(tmp_path)!r} + "/" + name, quantize,
                 samples=Samples(x, x, None, 4, 4))
print(keras.backend.backend(), "tensorflow" in sys.modules, random.getstate() == before)
"""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, check=True, text=True
    )
    assert done.stdout.split() == ["jax", "False", "True"]


@pytest.mark.parametrize(
    ("name", "quantize"),
    [
        ("mlp", "none"),
        ("cnn", "float16"),
        ("embedding", "none"),
        pytest.param("mlp", "float16", marks=pytest.mark.slow),
        pytest.param("cnn", "none", marks=pytest.mark.slow),
        pytest.param("embedding", "float16", marks=pytest.mark.slow),
    ],
)
def test_zeros_are_left_out_of_the_file(
    name: str,
    quantize: str,
    cases: Callable[[str], Case],
    children: ChildrenQueue,
    tmp_path: Path,
) -> None:
    case = most_pruned(cases(name), 0.9, tmp_path)
    exported = export_model(
        case.file,
        tmp_path / "sparse.tflite",
        quantize,
        samples=case.samples,
        error=mean_square,
        dense_file=tmp_path / "dense.tflite",
        timed_seconds=0.2,
        name="most",
        children=children,
    )
    assert exported.sparse
    assert exported.latency is not None
    files = [(file.model, file.storage, file.size) for file in exported.latency.files]
    assert files[1] == ("most", "sparse", exported.size)
    text = export_text(exported, "loss")
    assert text.startswith(f"{tmp_path / 'sparse.tflite'} (tflite")
    assert ", zeros left out)\n" in text.splitlines(keepends=True)[0]
    assert "than the dense file" in " ".join(text.split())
    assert json.loads(json.dumps(exported.to_dict(), allow_nan=False))["sparse"] is True
    assert exported.max_difference <= 2 * CLOSE[quantize] * exported.output_range
    found = [sparse_tensors(tmp_path / f"{each}.tflite") for each in ("dense", "sparse")]
    # LiteRT has no sparse embedding, and small tensors save nothing.
    assert found[0] == []
    assert len(found[1]) >= (1 if name == "embedding" else 2)
    dense = tmp_path / "dense.tflite"
    assert exported.size.plain < dense.stat().st_size
    again = tmp_path / "again.tflite"
    export_model(case.file, again, quantize, samples=case.samples, children=children)
    assert again.read_bytes() == dense.read_bytes()


def most_pruned(case: Case, sparsity: float, folder: Path) -> Case:
    """The same model with more zeros."""
    model = keras.saving.load_model(case.file, compile=False)
    return make_case(model, lambda _: case.samples.train_inputs, folder, sparsity)


def sparse_tensors(file: Path) -> list[str]:
    from ai_edge_litert.interpreter import Interpreter

    tensors = Interpreter(str(file), num_threads=1).get_tensor_details()
    return [each["name"] for each in tensors if each["sparsity_parameters"]]


@pytest.mark.parametrize("quantize", ["none", "float16"])
def test_sparse_weights_that_are_read_wrongly_are_refused(
    quantize: str, cases: Callable[[str], Case], children: ChildrenQueue, tmp_path: Path
) -> None:
    """The article's LSTM has one input: fewer than the four of a block of sparse weights."""
    case = cases("lstm")
    with pytest.raises(RunError, match=r"LiteRT answers wrongly where this model's zeros are left"):
        export_model(
            case.file,
            tmp_path / "sparse.tflite",
            quantize,
            samples=case.samples,
            dense_file=tmp_path / "dense.tflite",
            children=children,
        )
    assert not (tmp_path / "sparse.tflite").exists()


@pytest.mark.parametrize(
    ("name", "quantize", "message"),
    [
        ("a.tflite", "dynamic", "or float16 only: beside integers LiteRT answers wrongly"),
        ("a.tflite", "int8", r"Received: quantize='int8', sparse=True\. Give quantize='none'"),
        ("a.tflite", "int4", "or float16 only"),
        ("a.h5", "none", r"\.tflite files only\. Received: .*a\.h5.*Zip the file"),
        ("a.onnx", "none", r"\.tflite files only"),
    ],
)
def test_what_can_not_be_sparse(
    name: str, quantize: str, message: str, cases: Callable[[str], Case], tmp_path: Path
) -> None:
    case = cases("mlp")
    with pytest.raises(InputError, match=message):
        export_model(
            case.file,
            tmp_path / name,
            quantize,
            samples=case.samples,
            dense_file=tmp_path / "dense.tflite",
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "a.tflite",
        "a.h5",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("a.keras", "a.onnx")),
    ],
)
def test_units_that_do_nothing_are_left_out(
    name: str, cases: Callable[[str], Case], children: ChildrenQueue, tmp_path: Path
) -> None:
    model = keras.saving.load_model(cases("cnn").file, compile=False)
    kernel, _ = model.layers[0].get_weights()
    # Every other filter gives 0 for all inputs, which the next convolution may pad with zeros.
    model.layers[0].set_weights([kernel * (np.arange(16) % 2), np.full(16, -0.1)])
    case = make_case(model, MODELS["cnn"][1], tmp_path, 0.0)
    exported, whole = (
        export_model(
            case.file,
            tmp_path / f"{shrink}-{name}",
            samples=case.samples,
            error=mean_square,
            shrink=shrink,
            children=children,
        )
        for shrink in (True, False)
    )
    assert exported.shrunk is not None
    assert exported.shrunk["removed"] == {model.layers[0].name: 8}
    assert exported.shrunk["total_weights"] < exported.shrunk["total_weights_before"]
    assert whole.shrunk is None
    assert exported.size.plain < whole.size.plain
    assert exported.max_difference < 1e-5 * exported.output_range
    assert exported.error == pytest.approx(whole.error, rel=1e-5)
    assert json.loads(json.dumps(exported.to_dict()))["shrunk"] == exported.shrunk


def test_what_is_left_whole_says_why(custom: ModuleType, tmp_path: Path) -> None:
    own = keras.Sequential([keras.Input((4,)), layers.Dense(3), custom.Odd("go", name="odd")])
    for model, reason in ((mlp(), None), (own, "odd")):
        case = make_case(model, normal(4), tmp_path, 0.0)
        exported = export_model(case.file, tmp_path / "a.h5", samples=case.samples, shrink=True)
        assert exported.shrunk is not None
        assert exported.shrunk["removed"] == {}
        assert (reason or "None") in str(exported.shrunk["reason"])


def test_a_shrunk_model_that_answers_otherwise_is_refused(
    cases: Callable[[str], Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: Any) -> Shrunk:
        model = keras.saving.load_model(cases("mlp").file, compile=False)
        model.weights[0].assign(2 * model.weights[0])
        return Shrunk(model, {"a": 1}, {}, 9, 8)

    monkeypatch.setattr("trimgrid.export.exporting.shrink_model", wrong)
    case = cases("mlp")
    with pytest.raises(
        RunError, match="answers otherwise without its idle units: the shrunk model"
    ):
        export_model(case.file, tmp_path / "a.keras", samples=case.samples, shrink=True)
    assert not list(tmp_path.iterdir())


def test_what_fails_while_it_is_timed_leaves_the_old_file(
    cases: Callable[[str], Case],
    children: ChildrenQueue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = most_pruned(cases("mlp"), 0.9, tmp_path)
    (tmp_path / "sparse.tflite").write_text("old")

    def dead(*_: Any) -> None:
        raise RunError("LiteRT died")

    monkeypatch.setattr("trimgrid.export.sparse_pair.time_files", dead)
    with pytest.raises(RunError, match="LiteRT died"):
        export_model(
            case.file,
            tmp_path / "sparse.tflite",
            samples=case.samples,
            dense_file=tmp_path / "dense.tflite",
            timed_seconds=1.0,
            children=children,
        )
    assert (tmp_path / "sparse.tflite").read_text() == "old"


def test_where_sparse_storage_saves_nothing_the_dense_file_is_exported(
    cases: Callable[[str], Case], children: ChildrenQueue, tmp_path: Path
) -> None:
    case = make_case(mlp(), normal(4), tmp_path, 0.0)
    exported = export_model(
        case.file,
        tmp_path / "sparse.tflite",
        samples=case.samples,
        dense_file=tmp_path / "dense.tflite",
        timed_seconds=1.0,
        children=children,
    )
    assert (exported.sparse, exported.latency) == (False, None)
    dense = (tmp_path / "dense.tflite").read_bytes()
    assert (tmp_path / "sparse.tflite").read_bytes() == dense
    assert "no tensor has so many" in export_text(exported, "loss")


@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
def test_half_precision_rounds_sums_of_fewer_numbers_otherwise(
    policy: str, dtype_policy: Any, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    with dtype_policy(policy):
        wide = [layers.Dense(256, "relu"), layers.Dense(256, "relu"), layers.Dense(3)]
        model = keras.Sequential([keras.Input((64,)), *wide])
    kernel, _ = model.layers[0].get_weights()
    model.layers[0].set_weights([kernel * (np.arange(256) % 2), np.linspace(0.1, 2, 256)])
    case = make_case(model, normal(64), tmp_path, 0.0)
    exported = export_model(case.file, tmp_path / "a.h5", samples=case.samples, shrink=True)
    assert exported.shrunk is not None
    assert exported.shrunk["removed"] == {model.layers[0].name: 128}
