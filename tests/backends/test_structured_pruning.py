"""Structures in trainings: masks of the oracle, what is left alone and why, refusals, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from tests.conftest import Results
from trimgrid import shrink_model
from trimgrid.allocation.setting import Allocation
from trimgrid.begin_pruning import BeginPruning
from trimgrid.data.sources import open_data
from trimgrid.engines.sequential import SequentialEngine
from trimgrid.errors import InputError
from trimgrid.grids.grid import AttemptConfig
from trimgrid.mask_choice import MaskChoice
from trimgrid.one_shot import OneShot
from trimgrid.prunable import prunable_variables
from trimgrid.pruning import MagnitudePruning
from trimgrid.runs.checking import Lengths, check_attempts, outputs_told
from trimgrid.runs.study import Study
from trimgrid.schedules import ConstantSparsity, PolynomialDecay
from trimgrid.shrinking.output_kernels import output_kernels
from trimgrid.structures.kinds import Blocks, NofM, Structure, Units
from trimgrid.training import Task, Training

RANDOM = np.random.default_rng(0)
DATA = RANDOM.random((24, 8), dtype="float32"), RANDOM.random((24, 2), dtype="float32")
STILL = Training("mse", keras.optimizers.SGD(1e-30), epochs=2, batch_size=8)
DECAY = PolynomialDecay(0.1, 0.5, frequency=2)
ATTEMPTS: list[tuple[Structure, Allocation | None]] = [
    (Blocks(1, 4), None),
    (NofM(2, 4), Allocation("lamp")),
    (Units(), Allocation("global_magnitude")),
]


def model_of() -> Any:
    """Kernels of (8, 12), (12, 4) and (4, 2); the last is made up of no blocks of 1x4."""
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(12, activation="relu", name="in"),
            layers.Dense(4, activation="relu", name="hidden"),
            layers.Dense(2, name="out"),
        ]
    )


def expected(model: Any, structure: Structure, allocation: Allocation | None) -> list[Any]:
    """Where the kernels are not zero at the end of a training that does not move the weights."""
    found = prunable_variables(model.trainable_variables, structure=structure)[::2]
    pruned = [each.variable for each in found if each.reason is None]
    weights = [np.asarray(each) for each in pruned]
    paths, shapes = [each.path for each in pruned], [each.shape for each in pruned]
    choice = MaskChoice(allocation, paths, shapes, DECAY.plan(6), structure)
    masks = iter(choice.masks(weights, 0.5))
    return [next(masks) if each.reason is None else np.ones(each.shape, np.bool_) for each in found]


@pytest.mark.parametrize(("structure", "allocation"), ATTEMPTS, ids=str)
def test_masks_of_the_oracle_in_fit(
    structure: Structure, allocation: Allocation | None, results: Results
) -> None:
    model = model_of()
    engine = SequentialEngine(model, open_data(DATA, STILL, "training data"))
    task = Task("one", DECAY, STILL, allocation=allocation, structure=structure)
    (found,) = results(engine, [task])
    for weights, mask in zip(
        found.weights[::2], expected(model, structure, allocation), strict=True
    ):
        np.testing.assert_array_equal(weights != 0, mask)


def test_a_plain_fit_and_its_config(tmp_path: Path) -> None:
    model = model_of()
    optimizer = MagnitudePruning("adam", DECAY, structure="units l1")
    model.compile(optimizer, loss="mse")
    model.fit(*DATA, batch_size=8, epochs=2, callbacks=[BeginPruning()], verbose=0)
    kernels = [np.asarray(layer.kernel) for layer in model.layers]
    assert [int(each.any(axis=0).sum()) for each in kernels] == [6, 2, 2]
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert copy.structure == Units("l1")
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").optimizer.structure == Units("l1")


def test_resumed(results: Results, copying: Any) -> None:
    training = Training("mse", "adam", epochs=2, batch_size=8, seed=3)
    engine = SequentialEngine(model_of(), open_data(DATA, training, "training data"))
    tasks = [Task("a", DECAY, training, id="a", structure=NofM(2, 4))]
    (whole,) = results(engine, tasks, None, None, copying)
    results(engine, tasks, None, None, copying.at(4))[0].check_same(whole)


def reasons(model: Any, structure: Structure) -> dict[str, str | None]:
    return {
        "/".join(each.path.split("/")[-2:]): each.reason
        for each in prunable_variables(model.weights, structure=structure)
        if len(each.shape) > 1
    }


def test_what_is_left_alone() -> None:
    tokens = keras.Input((5,), dtype="int32")
    x = layers.Embedding(12, 8, name="words")(tokens)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.LSTM(6, name="lstm")(x)
    x = layers.Reshape((1, 1, 6))(x)
    x = layers.Conv2DTranspose(8, 2, name="conv2d_transpose")(x)
    x = layers.Conv2D(8, 2, name="conv")(x)
    model = keras.Model(tokens, layers.Dense(3, name="out")(layers.Flatten()(x)))
    attention = "units l2: attention, whose units are those of heads"
    recurrent = "units l2: recurrent, whose columns are read by the layer itself"
    no_kernel = "units l2: no kernel of a Dense or convolutional layer"
    transposed = "a transposed convolution, whose inputs are the last axis"
    assert reasons(model, Units()) == {
        "words/embeddings": no_kernel,
        "query/kernel": attention,
        "key/kernel": attention,
        "value/kernel": attention,
        "attention_output/kernel": attention,
        "query/bias": "bias",
        "key/bias": "bias",
        "value/bias": "bias",
        "lstm_cell/kernel": recurrent,
        "lstm_cell/recurrent_kernel": no_kernel,
        "conv2d_transpose/kernel": f"units l2: {transposed}",
        "conv/kernel": None,
        "out/kernel": "output layer",
    }
    found = reasons(model, NofM(2, 4))
    assert found["words/embeddings"] == "2:4: the rows of an embedding are no inputs"
    assert found["query/kernel"] == "2:4: attention, whose heads lie behind the inputs"
    assert found["attention_output/kernel"] is None
    assert found["lstm_cell/recurrent_kernel"] == "2:4: 6 inputs are no multiple of 4"
    assert found["conv2d_transpose/kernel"] == f"2:4: {transposed}"
    # A Dense layer of such a name has no heads.
    critic = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, name="value"), layers.Dense(1, name="out")]
    )
    assert reasons(critic, NofM(2, 4))["value/kernel"] is None


def test_output_layers_are_told_from_the_graph() -> None:
    inputs = keras.Input((8,))
    body = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="inner")], name="body")
    x = body(layers.Dense(8, name="first")(inputs))
    left, right = layers.Dense(4, name="left")(x), layers.Dense(4, name="right")(x)
    total = layers.Activation("relu")(layers.Add()([left, right]))
    model = keras.Model(inputs, {"sum": total, "score": layers.Dense(2, name="score")(x)})
    found = output_kernels(model)
    assert found is not None
    assert sorted(each.split("/")[-2] for each in found) == ["left", "right", "score"]
    (attempt,) = outputs_told([AttemptConfig("a", DECAY, structure="units")], model)
    told = reasons(model, attempt.structure)  # type: ignore[arg-type]
    assert {name: why for name, why in told.items() if why != "output layer"} == {
        "first/kernel": None,
        "inner/kernel": None,
    }
    frozen = model_of()
    frozen.layers[-1].trainable = False
    assert output_kernels(frozen) == ()


class Own(keras.Model):  # type: ignore[misc]
    """A model that only its class knows: the last kernel counts as its output layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = layers.Dense(4, name="first"), layers.Dense(2, name="last")

    def call(self, inputs: Any) -> Any:
        return self.last(self.first(inputs))


def test_the_last_kernel_of_an_unknown_graph() -> None:
    model = Own()
    model(DATA[0])
    assert output_kernels(model) is None
    (attempt,) = outputs_told([AttemptConfig("a", DECAY, structure="units")], model)
    assert attempt.structure == Units()
    assert reasons(model, Units()) == {"first/kernel": None, "last/kernel": "output layer"}
    own = Units(outputs=("first/*",))
    assert reasons(model, own) == {"first/kernel": "output layer", "last/kernel": None}
    with pytest.raises(InputError, match="Every pattern of outputs must match"):
        reasons(model, Units(outputs=("middle/*",)))


BAD: list[tuple[dict[str, Any], str]] = [
    ({"structure": "2:4"}, "highest sparsity is 0.5. Received: highest target=0.7"),
    ({"structure": "blocks 5x5"}, r"in/kernel \(blocks 5x5: a matrix of 8x12 has no whole number"),
    ({"structure": "1:3", "allocation": "lamp"}, r"highest target=0.7\. Give a"),
    ({"structure": "units", "allocation": "lamp", "min_kept": 60}, "Possible are sparsities"),
    ({"structure": "units", "overrides": {"out/*": 0.1}}, "The paths are: "),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_bad_input_is_told_before_training(settings: dict[str, Any], message: str) -> None:
    grid = [AttemptConfig("first", ConstantSparsity(0.7), **settings)]
    with pytest.raises(InputError, match=message) as caught:
        check_attempts(grid, STILL, Lengths(6, 6), model_of())
    assert str(caught.value).startswith("first: ")


def test_a_depthwise_kernel_that_no_name_tells_is_refused() -> None:
    inside = keras.Sequential(
        [keras.Input((4, 4, 8)), layers.DepthwiseConv2D(2, depth_multiplier=2, name="mine")],
        name="inside",
    )
    inputs = keras.Input((4, 4, 4))
    x = layers.Flatten()(inside(layers.Conv2D(8, 3, padding="same", name="first")(inputs)))
    model = keras.Model(inputs, layers.Dense(2, name="out")(x))
    (path,) = (str(each.path) for each in model.weights if "mine/kernel" in str(each.path))

    def check(structure: str, **more: Any) -> None:
        attempt = AttemptConfig("first", ConstantSparsity(0.3), structure=structure, **more)
        check_attempts([attempt], STILL, Lengths(6, 6), model)

    for structure in ("units", "2:4"):
        with pytest.raises(InputError, match=f"^first: A depthwise .*{structure}.* {path} of sha"):
            check(structure)
        check(structure, overrides={"mine/*": 0.0})
    check("blocks 1x2")


def test_half_of_the_filters_leave_the_model(tmp_path: Path) -> None:
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu", name="one"),
            layers.BatchNormalization(),
            layers.Conv2D(12, 3, activation="relu", name="two"),
            layers.Flatten(),
            layers.Dense(10, activation="relu", name="hidden"),
            layers.Dense(3, name="out"),
        ]
    )
    x, y = RANDOM.random((32, 8, 8, 1), "float32"), RANDOM.random((32, 3), "float32")
    study = Study(model, (x, y), test=(x, y), loss="mse", epochs=1, batch_size=8)
    grid = [AttemptConfig("half", OneShot(0.5), structure="units")]
    results = study.run(grid, tmp_path / "run", tflite=False, progress=False)
    half = results["half"]
    assert half.details is not None
    kept = {t.path.split("/")[-2]: t.reason for t in half.details.tensors if "kernel" in t.path}
    assert kept == {"one": None, "two": None, "hidden": None, "out": "output layer"}
    assert half.config["structure"] == {"name": "units", "norm": "l2"}
    pruned = half.load()
    shrunk = shrink_model(pruned)
    assert shrunk.removed == {"one": 4, "two": 6, "hidden": 5}
    np.testing.assert_allclose(
        shrunk.model.predict(x, verbose=0), pruned.predict(x, verbose=0), atol=1e-5
    )
