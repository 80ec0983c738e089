"""Whole trainings beside TFMOT: the masks of every batch, and the weights at the end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from tests.tfmot.side_by_side import (
    Case,
    Recorded,
    chosen_at,
    compare,
    run_tfmot,
    run_trimgrid,
    start_of,
    train_in_engine,
)
from trimgrid import Training
from trimgrid.data.sources import open_data

RANDOM, NOT_SLOW = 52, 16  # seeded configurations
ROWS = 120  # of the embedding: more than a batch looks up


def mlp(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [layers.Input((6,)), layers.Dense(16, "relu"), layers.Dense(12, "tanh"), layers.Dense(2)]
    )


def lstm(k: Any) -> Any:
    layers = k.layers
    return k.Sequential([layers.Input((5, 3)), layers.LSTM(8), layers.Dense(2)])


def embedding(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [layers.Input((7,)), layers.Embedding(ROWS, 6), layers.Flatten(), layers.Dense(2)]
    )


def cnn(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            layers.Input((8, 8, 2)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )


MODELS = {"mlp": (mlp, (6,)), "lstm": (lstm, (5, 3)), "embedding": (embedding, (7,))}
MODELS["cnn"] = (cnn, (8, 8, 2))
OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    "adam": ("Adam", {"learning_rate": 0.01}),
}


def data_for(name: str, examples: int, seed: int) -> tuple[Any, Any]:
    shape = (examples, *MODELS[name][1])
    generator = np.random.default_rng(seed)
    y = generator.normal(size=(examples, 2)).astype("float32")
    if name == "embedding":
        x = generator.integers(20, size=shape)
        if keras.config.backend() == "tensorflow":
            # There Keras 3 squares the gradients of a row's occurrences in a batch one by one, so
            # that Adam trains otherwise than in Keras 2 where a row occurs twice.
            x = np.arange(x.size).reshape(shape) % ROWS
        return x, y
    return generator.normal(size=shape).astype("float32"), y


def case_of(name: str, optimizer: tuple[str, dict[str, Any]], **others: Any) -> Case:
    x, y = data_for(name, others.pop("examples", 44), others.get("seed", 0))
    decay = {"initial_sparsity": 0.1, "final_sparsity": 0.8, "begin_step": 2, "end_step": 26}
    settings: dict[str, Any] = {
        "schedule": ("PolynomialDecay", {**decay, "frequency": 3}),
        "batch_size": 8,
        "epochs": 6,
    }
    return Case(MODELS[name][0], x, y, "mse", optimizer, **(settings | others))


def random_case(seed: int) -> Case:
    """A model, data, an optimizer and a schedule drawn by a seed."""
    draw = np.random.default_rng(seed)
    # Most of the time goes into compiling: the models that take longest come less often.
    name = str(draw.choice(["mlp", "embedding", "cnn", "lstm"], p=[0.5, 0.25, 0.2, 0.05]))
    batch_size, epochs = int(draw.integers(4, 17)), int(draw.integers(2, 8))
    # A last batch of another size is compiled once more, which takes half as long again.
    examples = batch_size * int(draw.integers(2, 6)) + int(seed % 4 == 0) * int(draw.integers(1, 4))
    steps = -(-examples // batch_size) * epochs
    rate = float(10 ** draw.uniform(-3, -1.3))
    optimizer: tuple[str, dict[str, Any]] = ("Adam", {"learning_rate": rate})
    if draw.random() < 0.5:
        momentum = float(draw.choice([0.0, 0.9]))
        optimizer = ("SGD", {"learning_rate": rate, "momentum": momentum})
    begin = int(draw.integers(0, max(1, steps // 2)))
    timing = {"begin_step": begin, "frequency": int(draw.integers(1, max(2, steps // 3)))}
    if draw.random() < 0.5:
        end = -1 if draw.random() < 0.5 else int(draw.integers(begin + 1, steps + 3))
        target = float(draw.uniform(0.05, 0.95))
        schedule = ("ConstantSparsity", {**timing, "target_sparsity": target, "end_step": end})
    else:
        low, high = sorted(float(each) for each in draw.uniform(0, 0.97, size=2))
        decay = {"initial_sparsity": low, "final_sparsity": high, "power": int(draw.integers(1, 5))}
        schedule = ("PolynomialDecay", {**timing, **decay})
        schedule[1]["end_step"] = int(draw.integers(begin + 1, steps + 3))
    if not any(due(schedule[1], step) for step in range(1, steps + 1)):
        # One that prunes at all.
        schedule[1].update(begin_step=1, frequency=1, end_step=max(2, schedule[1]["end_step"]))
    return case_of(
        name,
        optimizer,
        schedule=schedule,
        batch_size=batch_size,
        epochs=epochs,
        examples=examples,
        seed=seed,
    )


def due(schedule: dict[str, Any], step: int) -> bool:
    begin, end = schedule["begin_step"], schedule["end_step"]
    ended = end >= 0 and step > end
    return step >= begin and not ended and (step - begin) % schedule["frequency"] == 0


def with_schedule(case: Case, **changed: Any) -> Case:
    name, arguments = case.schedule
    return replace(case, schedule=(name, arguments | changed))


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        *((name, "adam") for name in MODELS),
        ("mlp", "sgd"),
        *(pytest.param(name, "sgd", marks=pytest.mark.slow) for name in MODELS if name != "mlp"),
    ],
)
def test_masks_and_weights_are_those_of_tfmot(name: str, optimizer: str) -> None:
    case = case_of(name, OPTIMIZERS[optimizer])
    start = start_of(case)
    theirs = run_tfmot(case, start)
    # As its documentation has it: in front of batches 2, 5, ..., 26, and never at step 0.
    assert set(chosen_at(theirs)) <= {*range(2, 27, 3)}
    assert len(chosen_at(theirs)) >= 8
    compare(theirs, run_trimgrid(case, start))


@pytest.mark.filterwarnings("ignore:.*It stops at:UserWarning")
@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=[] if seed < NOT_SLOW else [pytest.mark.slow])
        for seed in range(RANDOM)
    ],
)
def test_random_configurations(seed: int) -> None:
    case = random_case(seed)
    start = start_of(case)
    theirs = run_tfmot(case, start)
    assert chosen_at(theirs)
    compare(theirs, run_trimgrid(case, start))


@pytest.fixture(scope="module")
def right() -> tuple[Case, Any, Recorded, Recorded]:
    case = with_schedule(case_of("mlp", OPTIMIZERS["sgd"], epochs=3), end_step=17)
    start = start_of(case)
    return case, start, run_tfmot(case, start), run_trimgrid(case, start)


WRONG: dict[str, Any] = {
    "updates a step later": {"begin_step": 3, "end_step": 18},
    "more updates": {"frequency": 1},
    "a sparsity": {"final_sparsity": 0.81},
    "a power": {"power": 2},
}


@pytest.mark.parametrize(
    ("what", "side"),
    [
        ("updates a step later", "theirs"),
        ("more updates", "ours"),
        ("a sparsity", "theirs"),
        ("a power", "ours"),
        *(
            pytest.param(what, side, marks=pytest.mark.slow)
            for what, side in (
                ("updates a step later", "ours"),
                ("more updates", "theirs"),
                ("a sparsity", "ours"),
                ("a power", "theirs"),
            )
        ),
    ],
)
def test_a_wrong_schedule_on_either_side_is_found(right: Any, what: str, side: str) -> None:
    case, start, theirs, ours = right
    compare(theirs, ours)
    wrong = with_schedule(case, **WRONG[what])
    if side == "theirs":
        theirs = run_tfmot(wrong, start)
    else:
        ours = run_trimgrid(wrong, start)
    with pytest.raises(AssertionError, match=r"batch \d+, tensor \d: \d+ masks differ"):
        compare(theirs, ours)


@pytest.mark.parametrize("side", ["theirs", "ours"])
def test_one_wrong_mask_or_weight_on_either_side_is_found(right: Any, side: str) -> None:
    _, _, theirs, ours = right

    def compared(changed: Recorded) -> None:
        compare(*((changed, ours) if side == "theirs" else (theirs, changed)))

    sound = theirs if side == "theirs" else ours
    masks = [[mask.copy() for mask in each] for each in sound.masks]
    masks[-1][1][0, 0] ^= True
    with pytest.raises(AssertionError, match="batch 18, tensor 1: 1 masks differ"):
        compared(replace(sound, masks=masks))
    weights = [each.copy() for each in sound.weights]
    weights[1][0] += 0.01
    with pytest.raises(AssertionError, match="tensor 1: weights differ by"):
        compared(replace(sound, weights=weights))
    with pytest.raises(AssertionError, match="not as many batches"):
        compared(replace(sound, masks=sound.masks[1:]))


def test_the_end_of_an_epoch_counts(right: Any) -> None:
    """TFMOT applies masks there: what is chosen next can't bring pruned weights back."""
    case, start, theirs, _ = right
    case = with_schedule(case, begin_step=1, frequency=6, end_step=13)  # epochs have 6 batches
    theirs = run_tfmot(case, start)
    assert set(chosen_at(theirs)) <= {1, 7, 13}
    compare(theirs, run_trimgrid(case, start))
    for before, after in zip(theirs.masks, theirs.masks[1:], strict=False):
        for old, new in zip(before, after, strict=True):
            assert not (new & ~old).any()


@pytest.mark.parametrize("name", ["mlp", "embedding"])
def test_the_engines_in_an_order_of_their_own(name: str) -> None:
    """What an engine of a study trains, on shuffled data, is what TFMOT trains on these batches."""
    case = case_of(name, OPTIMIZERS["adam"])
    start = start_of(case)
    training = Training(
        case.loss, case.optimizer_of(keras), epochs=6, batch_size=case.batch_size, seed=5
    )
    data = open_data((case.x, case.y), training, "training data")
    batches = [batch for epoch in range(6) for batch in data.epoch(training.seed, epoch)]
    assert not np.array_equal(batches[0][0], case.x[:8])
    theirs = run_tfmot(case, start, batches)
    names = ["sequential"] + ["vectorized"] * (keras.config.backend() == "jax")
    for engine in names:
        ours = train_in_engine(engine, case, start, data, training)
        compare(theirs, replace(theirs, weights=ours))
