from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

# What a run does in its own process: copy, save, measure, queue a conversion.
MEASURE = """
import sys
from pathlib import Path
import keras, numpy as np
from trimgrid.export.files import ModelWriter, measure_model
from trimgrid.without_tensorflow import serialize_without_tensorflow

serialize_without_tensorflow()
model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(4), keras.layers.Dense(1)])
measure_model(model)
assert "tensorflow" not in sys.modules
x, y = np.ones((8, 1), "float32"), np.ones((8, 1), "float32")
"""


def run(code: str, folder: Path, backend: str = "jax") -> str:
    """Run code in a new process; return what it prints."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def test_measuring_and_converting_load_no_tensorflow(tmp_path: Path) -> None:
    code = """
    from trimgrid.export.tflite import TFLiteConverter

    with TFLiteConverter() as converter:
        writer = ModelWriter(model)
        writer.measure([2 * array for array in model.get_weights()], ".")
        converter.convert("model.keras", "model.tflite", x)
        model.compile(keras.optimizers.Adam(), "mse")
        model.fit(x, y, verbose=0)
        model.save("trained.keras")
        model.save("trained.h5")
        keras.saving.load_model("trained.keras")
    print(Path("model.tflite").exists(), "tensorflow" in sys.modules)
    """
    assert run(MEASURE + textwrap.dedent(code), tmp_path) == "True False"


@pytest.mark.slow
@pytest.mark.parametrize(
    "later",
    [
        """
        import tensorflow as tf
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
        model.compile("sgd", "mse")
        model.fit(data, verbose=0, shuffle=False)
        scale = keras.layers.Normalization()
        scale.adapt(data.map(lambda a, b: a))
        print(float(np.max(np.abs(scale.mean))))
        """,
        """
        words = keras.layers.TextVectorization(vocabulary=["a", "b"])
        print(float(np.array(words(["b a"])).sum() == 5))
        """,
        """
        keras.utils.set_random_seed(3)
        import tensorflow as tf
        first = tf.random.uniform(())
        keras.utils.set_random_seed(3)
        print(float(first == tf.random.uniform(())))
        """,
        """
        model.export("exported", format="tf_saved_model", verbose=False)
        import tensorflow as tf
        exported = tf.saved_model.load("exported")
        print(float(np.allclose(exported.serve(x), model(x), atol=1e-5)))
        """,
        """
        import tensorflow as tf
        serialize = keras.saving.serialize_keras_object
        assert serialize(tf.TensorShape([1, None])) == [1, None]
        assert serialize(tf.float16) == "float16"
        assert serialize(tf.TensorSpec([2]))["class_name"] == "__typespec__"
        print(1.0)
        """,
        """
        from keras.src.utils.module_utils import tensorflow as kept  # what Keras holds
        assert kept.available
        assert not isinstance(x, kept.TensorShape)
        assert "tensorflow" not in sys.modules
        assert kept.TensorShape([2]).rank == 1  # more than a question: the real one
        import tensorflow
        assert kept.TensorShape is tensorflow.TensorShape
        print(1.0)
        """,
    ],
    ids=["tf.data", "text", "seed", "export", "configs", "stand-in"],
)
def test_what_needs_tensorflow_afterwards_has_it(later: str, tmp_path: Path) -> None:
    assert run(MEASURE + textwrap.dedent(later), tmp_path).endswith("1.0")


def test_a_thread_that_imports_tensorflow_meanwhile_gets_it(tmp_path: Path) -> None:
    code = """
    import sys, threading
    import keras
    from trimgrid.without_tensorflow import serialize_without_tensorflow

    ask, found = keras.saving.serialize_keras_object, []

    def use():
        import tensorflow as tf  # the stand-in, at this instant
        found.append(type(tf).__name__)
        found.append(int(tf.constant(3)))  # waits until the instant is over

    def ask_and_import(value):
        thread = threading.Thread(target=use)
        thread.start()
        while not found:
            pass
        threads.append(thread)
        return ask(value)

    threads = []
    keras.saving.serialize_keras_object = ask_and_import
    serialize_without_tensorflow()
    threads[0].join()
    print(found, type(sys.modules["tensorflow"]).__name__)
    """
    assert run(code, tmp_path) == "['_StandIn', 3] module"


def test_on_tensorflow_nothing_is_put_in_its_place(tmp_path: Path) -> None:
    code = """
    import sys
    import keras
    before = sys.modules["tensorflow"]
    from trimgrid.without_tensorflow import serialize_without_tensorflow
    serialize_without_tensorflow()
    print(sys.modules["tensorflow"] is before)
    """
    assert run(code, tmp_path, backend="tensorflow") == "True"
