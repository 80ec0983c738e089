from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from numpy.typing import NDArray

from trimgrid.errors import InputError
from trimgrid.export.agreement import WrongFileError, compare
from trimgrid.export.files import write_keras
from trimgrid.export.runtimes import run_tflite
from trimgrid.export.tflite import Conversion, ConversionError, TFLiteConverter
from trimgrid.masks import magnitude_mask

RNG = np.random.default_rng(0)

# Classes that a user would have in a module of his own. The child is known by its program's name.
CUSTOM = """
import os, signal, sys, time
import keras

IN_CHILD = sys.argv[0].endswith("export/child.py")

@keras.saving.register_keras_serializable("trimgrid_test")
def twice(x):
    return 2 * x

@keras.saving.register_keras_serializable("trimgrid_test")
class Odd(keras.layers.Layer):
    def __init__(self, what, note="", **kwargs):
        super().__init__(**kwargs)
        self.what, self.note = what, note

    def get_config(self):
        return {**super().get_config(), "what": self.what, "note": self.note}

    def call(self, x):
        if IN_CHILD:
            import tensorflow as tf
            if self.what == "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            elif self.what == "exit":
                print("out of luck", file=sys.stderr, flush=True)
                os._exit(3)
            elif self.what == "hang":
                open(self.note, "w").close()
                time.sleep(60)
            elif self.what == "hang once" and not os.path.exists(self.note):
                open(self.note, "w").close()
                time.sleep(60)
            elif self.what == "print":
                print('{"error": "not an answer"}', flush=True)
                os.write(1, b"noise without an end of line")
            elif self.what == "raise":
                raise ValueError("first line" + chr(10) + "second line" + chr(10) + "x" * 5000)
            elif self.what == "unsupported":
                return tf.raw_ops.Betainc(a=abs(x), b=abs(x), x=keras.ops.sigmoid(x))
            elif self.what == "lie" and not tf.executing_eagerly():
                return 0 * x
        return x

@keras.saving.register_keras_serializable("trimgrid_test")
class WithInner(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.Dense(40)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.inner(x)
"""


def mlp(seed: int = 1) -> Any:
    sizes = [(32, "relu"), (64, "relu"), (32, "relu"), (1, None)]
    return keras.Sequential(
        [keras.Input((1,)), *(_dense(i + seed, *size) for i, size in enumerate(sizes))]
    )


def lstm() -> Any:
    return keras.Sequential([keras.Input((6, 1)), layers.LSTM(80), layers.Dense(1)])


def cnn() -> Any:
    stages = [
        layers.Conv2D(32, 3, activation="tanh") if i % 2 == 0 else layers.MaxPooling2D()
        for i in range(6)
    ]
    return keras.Sequential(
        [
            keras.Input((180, 180, 3)),
            *stages,
            layers.Flatten(),
            layers.Dense(128, activation="tanh"),
            layers.Dropout(0.5),
            layers.Dense(5),
        ]
    )


def _dense(seed: int, units: int, activation: str | None) -> Any:
    initializer = keras.initializers.GlorotUniform(seed)
    return layers.Dense(units, activation=activation, kernel_initializer=initializer)


def odd(custom: ModuleType, what: str, note: str = "") -> Any:
    return keras.Sequential([keras.Input((3,)), layers.Dense(4), custom.Odd(what, note)])


ARTICLE = [
    (mlp, RNG.uniform(-2, 2, (8, 1)), 7_232),
    (lstm, RNG.normal(size=(4, 6, 1)), 42_480),
    (cnn, RNG.uniform(size=(2, 180, 180, 3)), 1_669_728),
]
X3 = RNG.normal(size=(4, 3)).astype(np.float32)


@dataclass
class Bench:
    """A converter and a folder of its own for each test."""

    converter: TFLiteConverter
    folder: Path

    def files(self, model: Any) -> tuple[Path, Path]:
        number = len(list(self.folder.iterdir()))
        write_keras(model, self.folder / f"{number}.keras")
        return self.folder / f"{number}.keras", self.folder / f"{number}.tflite"

    def convert(self, model: Any, samples: Any) -> Conversion:
        return self.converter.convert(*self.files(model), samples)


@pytest.fixture(scope="module")
def shared_converter() -> Iterator[TFLiteConverter]:
    with TFLiteConverter() as converter:
        yield converter


@pytest.fixture
def bench(shared_converter: TFLiteConverter, tmp_path: Path) -> Bench:
    folder = tmp_path / "files"
    folder.mkdir()
    return Bench(shared_converter, folder)


@pytest.fixture(scope="module")
def custom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A user's module, put on the path after the shared child may have been started."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "trimgrid_test_layers.py").write_text(CUSTOM)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("trimgrid_test_layers")
    sys.path.remove(str(folder))


def weights_of(content: bytes) -> list[NDArray[Any]]:
    """The int8 weights in a .tflite file."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return [
        interpreter.get_tensor(tensor["index"])
        for tensor in interpreter.get_tensor_details()
        if tensor["dtype"] is np.int8 and len(tensor["shape"]) >= 2
    ]


def predict(model: Any, x: Any) -> NDArray[Any]:
    return np.asarray(model.predict(x, verbose=0))


def test_importing_the_client_imports_no_framework() -> None:
    code = (
        "import sys, trimgrid.export.tflite\n"
        "print({'tensorflow', 'keras', 'jax'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(("build", "samples", "article_bytes"), ARTICLE)
def test_the_article_models_convert_to_their_size_and_answer_alike(
    build: Callable[[], Any], samples: NDArray[Any], article_bytes: int, bench: Bench
) -> None:
    model = build()
    conversion = bench.convert(model, samples)
    assert conversion.size.plain == conversion.path.stat().st_size
    assert abs(conversion.size.plain / article_bytes - 1) < 0.15
    content = conversion.path.read_bytes()
    details = Interpreter(model_content=content).get_input_details()
    assert [list(detail["shape"]) for detail in details] == [[1, *samples.shape[1:]]]
    assert str(bench.folder).encode() not in content
    expected = predict(model, samples)
    assert conversion.output_range == pytest.approx(np.ptp(expected), rel=1e-3)
    (name,) = Interpreter(model_content=content).get_signature_runner().get_input_details()
    answers = run_tflite(content, {name: samples.astype(np.float32)})["output_0"]
    assert conversion.max_difference == pytest.approx(abs(answers - expected).max(), abs=1e-5)
    assert conversion.max_difference < 0.1 * conversion.output_range


def test_what_was_converted_before_does_not_matter(bench: Bench, custom: ModuleType) -> None:
    inner = custom.WithInner()  # its inner layer's name counts the layers of the process
    first = keras.Sequential([keras.Input((1,)), layers.Dense(32), inner])
    other = lstm()
    contents = [
        bench.convert(model, samples).path.read_bytes()
        for model, samples in [(first, X3[:, :1]), (other, ARTICLE[1][1]), (first, X3[:, :1])]
    ]
    assert contents[0] == contents[2] != contents[1]


def dense() -> Any:
    return keras.Sequential([keras.Input((3,)), layers.Dense(40, "relu"), layers.Dense(2)])


def normalized() -> Any:
    """What it computes with is made from its weights when they are loaded."""
    scale, norm = layers.Normalization(name="scale"), layers.BatchNormalization(name="norm")
    model = keras.Sequential([keras.Input((3,)), scale, layers.Dense(40), norm])
    scale.adapt(np.ones((2, 3)))
    return model


def half() -> Any:
    return keras.Sequential([keras.Input((3,)), layers.Dense(64, dtype="mixed_bfloat16")])


@pytest.fixture(scope="module")
def new_child() -> Iterator[TFLiteConverter]:
    """A converter whose child knows nothing of the shared one's."""
    with TFLiteConverter() as converter:
        yield converter


@pytest.mark.parametrize(
    ("build", "samples"),
    [
        (mlp, ARTICLE[0][1]),
        pytest.param(dense, X3, marks=pytest.mark.slow),
        (normalized, X3),
        (half, X3),
    ],
)
def test_a_model_after_one_of_its_structure_gives_its_own_file(
    build: Callable[[], Any],
    samples: NDArray[Any],
    bench: Bench,
    new_child: TFLiteConverter,
    custom: ModuleType,
) -> None:
    """In the shared child after another model with the same config, and alone in a new one."""
    model = build()
    files = []
    for i in range(3):  # random weights, some zero; spread like weights, and positive variances
        weights = [abs(RNG.normal(0.3, 0.2, a.shape)) for a in model.get_weights()]
        model.set_weights([(a * (RNG.random(a.shape) > i / 4)).astype("float32") for a in weights])
        files.append(bench.files(model))
    contents = [bench.converter.convert(*pair, samples).path.read_bytes() for pair in files]
    assert contents[0] != contents[1] != contents[2]
    again = [bench.converter.convert(*pair, samples).path.read_bytes() for pair in files[::-1]]
    assert again == contents[::-1]
    assert new_child.pids != bench.converter.pids
    alone = []
    for pair in files:
        # With a class of the user's between, which is never kept, each is loaded from the file.
        new_child.convert(*bench.files(odd(custom, "as it is")), X3)
        alone.append(new_child.convert(*pair, samples).path.read_bytes())
    assert alone == contents


def test_damaged_weights_are_told_as_in_the_first_file(
    bench: Bench, new_child: TFLiteConverter
) -> None:
    model = mlp()
    whole, damaged = bench.files(model), bench.files(model)
    with zipfile.ZipFile(whole[0]) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(damaged[0], "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data[:-2000] if name == "model.weights.h5" else data)
    reasons = []
    bench.convert(lstm(), ARTICLE[1][1])
    for before in ([], [whole]):
        for pair in before:
            bench.converter.convert(*pair, X3[:, :1])
        with pytest.raises(ConversionError) as caught:
            bench.converter.convert(*damaged, X3[:, :1])
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]


def test_pruned_weights_stay_zero(bench: Bench) -> None:
    model = mlp()
    masks = {}
    for layer in model.layers[1:3]:
        kernel = keras.ops.convert_to_numpy(layer.kernel)
        mask = magnitude_mask(kernel, 0.9)
        layer.kernel.assign(kernel * mask)
        masks[mask.T.shape] = mask.T  # LiteRT keeps a kernel as (outputs, inputs)
    conversion = bench.convert(model, ARTICLE[0][1])
    found = {weights.shape: weights for weights in weights_of(conversion.path.read_bytes())}
    assert found.keys() == masks.keys()
    for shape, weights in found.items():
        assert not weights[~masks[shape]].any()
        assert np.count_nonzero(weights) > 0.9 * masks[shape].sum()


def test_several_inputs_and_outputs_by_name(bench: Bench) -> None:
    late, early = keras.Input((3,), name="late"), keras.Input((3,), name="early")
    hidden = layers.Concatenate()([layers.Dense(40)(late), layers.Dense(40)(early)])
    outputs = {"wide": layers.Dense(3)(hidden), "narrow": layers.Dense(1)(hidden)}
    model = keras.Model({"late": late, "early": early}, outputs)
    samples = {"late": X3, "early": 10 * X3[::-1]}
    conversion = bench.convert(model, samples)
    content = conversion.path.read_bytes()
    answers = run_tflite(content, samples)
    expected = model.predict(samples, verbose=0)
    for key, output in zip(sorted(expected), sorted(answers), strict=True):
        np.testing.assert_allclose(
            answers[output], expected[key], atol=0.05 * np.ptp(expected[key])
        )


@pytest.mark.parametrize("name", ["in", "1st", "class", "a-b c"])
def test_any_name_of_an_input(name: str, bench: Bench) -> None:
    model = keras.Sequential([keras.Input((3,), name=name), layers.Dense(2)])
    assert bench.convert(model, X3).max_difference < 0.1


@pytest.mark.parametrize("as_dict", [False, True])
def test_a_list_of_inputs_of_equal_shapes(as_dict: bool, bench: Bench) -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b", dtype="int32")
    model = keras.Model([b, a], layers.Subtract()([a, layers.Dense(3)(b)]))
    b_values = np.arange(12).reshape(4, 3)
    samples = {"a": X3, "b": b_values} if as_dict else [b_values, X3]
    conversion = bench.convert(model, samples)
    answers = run_tflite(conversion.path.read_bytes(), {"a": X3, "b": b_values.astype(np.int32)})
    expected = predict(model, [b_values.astype(np.int32), X3])
    np.testing.assert_allclose(answers["output_0"], expected, atol=0.05 * np.ptp(expected))


LAYERS = [
    lambda x: layers.Dense(2)(layers.BatchNormalization()(layers.Conv1D(8, 3)(x))),
    lambda x: layers.Bidirectional(layers.GRU(5))(x),
    lambda x: layers.LayerNormalization()(layers.MultiHeadAttention(2, 4)(x, x)),
    lambda x: layers.Embedding(7, 4)(keras.ops.cast(abs(x), "int32")),
]


@pytest.mark.parametrize("build", LAYERS)
def test_other_layers_convert_too(build: Callable[[Any], Any], bench: Bench) -> None:
    inputs = keras.Input((None, 3))  # the free time axis gets the samples' length
    samples = RNG.normal(size=(3, 8, 3))
    conversion = bench.convert(keras.Model(inputs, build(inputs)), samples)
    assert conversion.max_difference < 0.1 * conversion.output_range


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_half_precision_models_are_converted_from_float32(policy: str, bench: Bench) -> None:
    dense = [layers.Dense(units, dtype=policy) for units in (64, 2)]
    model = keras.Sequential([keras.Input((3,)), *dense])
    conversion = bench.convert(model, X3)
    content = conversion.path.read_bytes()
    (name,) = Interpreter(model_content=content).get_signature_runner().get_input_details()
    answers = run_tflite(content, {name: X3})["output_0"]
    assert answers.dtype == np.float32
    expected = predict(model, X3).astype(np.float32)
    np.testing.assert_allclose(answers, expected, atol=0.05 * float(np.ptp(expected)))


def test_a_custom_class_and_function_from_a_module(bench: Bench, custom: ModuleType) -> None:
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, activation=custom.twice), custom.Odd("print")]
    )
    assert bench.convert(model, X3).max_difference < 0.1


@pytest.mark.parametrize(
    ("module", "told"),
    [("__main__", "the main program"), ("trimgrid_study", "the study's file")],
)
def test_a_class_of_the_main_program_is_refused_with_the_remedy(
    module: str, told: str, bench: Bench, custom: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = bench.files(odd(custom, "print"))
    monkeypatch.setattr(custom.Odd, "__module__", module)
    with pytest.raises(ConversionError, match=f"Odd is defined in {told}.*move it to a module"):
        bench.converter.convert(*files, X3)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("raise", r"^ValueError: first line second line x+\.\.\.$"),
        ("unsupported", r"^No built-in LiteRT operation for Betainc$"),
        ("lie", r"^The converted file differs from the Keras prediction by [\d.]+, allowed is "),
        pytest.param(  # two children's starts: an export shows it, too
            "segfault", r"^The process that converts died of SIGSEGV", marks=pytest.mark.slow
        ),
        ("exit", r"^The process that converts ended with exit code 3: out of luck$"),
    ],
)
def test_a_failure_has_one_line_leaves_no_file_and_the_next_one_works(
    what: str, reason: str, bench: Bench, custom: ModuleType
) -> None:
    model_file, tflite_file = bench.files(odd(custom, what))
    with pytest.raises(ConversionError, match=reason) as caught:
        bench.converter.convert(model_file, tflite_file, X3)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
    assert list(bench.folder.iterdir()) == [model_file]
    assert bench.convert(mlp(), X3[:, :1]).path.exists()


def test_a_child_that_is_killed_costs_nothing(bench: Bench, custom: ModuleType) -> None:
    marker = bench.folder / "hangs"
    model = mlp()
    before = bench.converter.submit(*bench.files(model), X3[:, :1])
    hanging = bench.converter.submit(*bench.files(odd(custom, "hang once", str(marker))), X3)
    after = bench.converter.submit(*bench.files(model), X3[:, :1])
    while not marker.exists():
        assert not hanging.done()
        time.sleep(0.01)
    (pid,) = bench.converter.pids
    os.kill(pid, signal.SIGKILL)
    assert hanging.result(60).path.exists()
    assert before.result(60).path.read_bytes() == after.result(60).path.read_bytes()
    assert pid not in bench.converter.pids


def test_a_conversion_that_takes_too_long_is_stopped_and_close_leaves_no_process(
    bench: Bench, custom: ModuleType
) -> None:
    with TFLiteConverter(timeout=0.5) as converter:
        model_file, tflite_file = bench.files(odd(custom, "hang", str(bench.folder / "hangs")))
        with pytest.raises(ConversionError, match=r"took over 0\.5 seconds"):
            converter.convert(model_file, tflite_file, X3)
        assert converter.pids == []
        converter.start()
        (pid,) = converter.pids
        waiting = converter.submit(model_file, tflite_file, X3)
        while not (waiting.running() or waiting.done()):  # in the queue it would be cancelled
            time.sleep(0.01)
        cancelled = converter.submit(model_file, tflite_file, X3)
    with pytest.raises(ConversionError, match="closed"):
        waiting.result(60)
    assert cancelled.cancelled()
    with pytest.raises(ConversionError, match="closed"):
        converter.submit(model_file, tflite_file, X3)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_child_that_cannot_start_says_why(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorflow.py").write_text("raise ImportError('no such library')")
    files = bench.files(mlp())
    monkeypatch.syspath_prepend(tmp_path)
    with TFLiteConverter() as converter:
        for _ in range(2):
            with pytest.raises(ConversionError, match=r"can't start: no such library"):
                converter.convert(*files, X3[:, :1])


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    code = f"""
import os, numpy, trimgrid.export.tflite
converter = trimgrid.export.tflite.TFLiteConverter()
try:
    converter.convert({str(tmp_path / "bad.keras")!r}, "never.tflite", numpy.ones(1))
except trimgrid.export.tflite.ConversionError:  # so the child is up and waits for the next
    print(converter.pids[0], flush=True)
    os._exit(1)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    status = Path("/proc", done.stdout.decode().strip(), "status")
    deadline = time.monotonic() + 30
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_full_disk_is_no_failure_of_the_model(tmp_path: Path) -> None:
    code = """
import resource
from trimgrid.startup import start_keras
start_keras()
import keras, numpy as np
from trimgrid.export.files import write_keras
from trimgrid.export.tflite import TFLiteConverter

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(800)])
write_keras(model, "model.keras")
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
with TFLiteConverter() as converter:
    for rows in (2, 2000):
        try:
            converter.convert("model.keras", "model.tflite", np.ones((rows, 4), "float32"))
        except OSError as error:
            print(error.errno, error.filename)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    )
    found = [line.split() for line in done.stdout.splitlines()]
    # By the child, and by the process itself.
    assert [(number, Path(file).name) for number, file in found] == [
        ("27", "room"),
        ("27", "samples.npz"),
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["model.keras"]


def test_weights_that_are_not_numbers_are_named(bench: Bench) -> None:
    model = mlp()
    model.layers[-1].kernel.assign(np.full((32, 1), np.nan))
    with pytest.raises(ConversionError, match="NaN or infinity"):
        bench.convert(model, X3[:, :1])


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_a_file_that_is_no_model(content: bytes | None, bench: Bench) -> None:
    file = bench.folder / "model.keras"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConversionError, match=r"Not a readable \.keras file"):
        bench.converter.convert(file, bench.folder / "model.tflite", X3)


def test_code_in_a_model_file_is_not_run(bench: Bench, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "lambda.keras")
    with pytest.raises(ConversionError, match=r"[Ll]ambda"):
        bench.converter.convert(tmp_path / "lambda.keras", tmp_path / "lambda.tflite", X3)


@pytest.mark.parametrize(
    "samples",
    [
        np.ones((0, 3)),
        np.float32(1),
        np.array(["a"]),
        [],
        [np.ones((2, 3)), np.ones((3, 3))],
        {"a": np.array([None])},
    ],
)
def test_samples_that_are_none(samples: Any, bench: Bench) -> None:
    with pytest.raises(InputError, match=r"Samples must be arrays of numbers.*Received: "):
        bench.converter.submit(bench.folder / "a.keras", bench.folder / "a.tflite", samples)


def test_the_timeout_must_be_positive() -> None:
    with pytest.raises(InputError, match="timeout=0"):
        TFLiteConverter(timeout=0)


def test_there_must_be_a_child() -> None:
    with pytest.raises(InputError, match="workers=0"):
        TFLiteConverter(workers=0)


def test_the_file_of_another_model_is_noticed(bench: Bench) -> None:
    content = bench.convert(mlp(1), ARTICLE[0][1]).path.read_bytes()
    (name,) = Interpreter(model_content=content).get_signature_runner().get_input_details()
    x = ARTICLE[0][1].astype(np.float32)
    actual = run_tflite(content, {name: x})["output_0"]
    compare([predict(mlp(1), x)], [actual])
    with pytest.raises(WrongFileError, match="differs from the Keras prediction"):
        compare([predict(mlp(2), x)], [actual])
    with pytest.raises(WrongFileError, match="inputs"):
        run_tflite(content, {"another": x})


Y = np.array([[0.0, 1.0], [2.0, 10.0]])


@pytest.mark.parametrize(
    ("expected", "actual", "message"),
    [
        (Y, Y[:, :1], "shape"),
        (Y, np.where(Y == 2, np.nan, Y), "converted file's output 0 holds NaN"),
        (Y + np.inf, Y, "Keras model's output 0 holds NaN"),
        (Y, Y + 2.8, "by 2.8, allowed is 2.7 "),
        (Y, np.full_like(Y, Y.mean()), "by 6.75"),
        (np.zeros_like(Y), np.full_like(Y, 1e-3), "by 0.001"),
        (np.full_like(Y, 5), np.full_like(Y, 5.2), "by 0.2, allowed is 0.1 "),
    ],
)
def test_what_is_too_far(expected: NDArray[Any], actual: NDArray[Any], message: str) -> None:
    with pytest.raises(WrongFileError, match=re.escape(message)):
        compare([expected], [actual])


def test_the_worst_output_is_told() -> None:
    agreement = compare([Y, 2 * Y], [Y + 0.1, 2 * Y - 0.5])
    assert agreement.max_difference == pytest.approx(0.5)
    assert agreement.output_range == 20.0
    with pytest.raises(WrongFileError, match="1 outputs, the model 2"):
        compare([Y, Y], [Y])
