"""Pruning in a plain `model.fit`: exact sparsity with everything that a training can have."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import pytest
from keras import layers, ops

from trimgrid import masks
from trimgrid.begin_pruning import BeginPruning
from trimgrid.errors import InputError
from trimgrid.iterative import IterativePruning
from trimgrid.one_shot import OneShot
from trimgrid.pruning import MagnitudePruning
from trimgrid.schedules import ConstantSparsity, PolynomialDecay, Schedule

RANDOM = np.random.default_rng(0)
X = RANDOM.random((96, 16), dtype="float32")
Y = RANDOM.integers(0, 4, 96)
STEPS = 9  # 3 epochs of 3 batches of 32
DECAY = PolynomialDecay(0.1, 0.8, end_step=STEPS, frequency=2)


def build(dropout: float = 0.2) -> Any:
    keras.utils.set_random_seed(1)
    inputs = outputs = keras.Input((16,))
    for layer in (
        layers.Dense(24, name="first"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(name="relu"),
        layers.Dropout(dropout, name="drop"),
        layers.Dense(4, name="last"),
    ):
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def fit(optimizer: Any, model: Any = None, data: Any = None, **options: Any) -> Any:
    model = model or build()
    epochs, callbacks = options.pop("epochs", 3), options.pop("callbacks", None)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, **options)
    batches = data if data is not None else (X, Y)
    arguments = {"batch_size": 32} if isinstance(batches, tuple) else {}
    inputs = batches if isinstance(batches, tuple) else (batches,)
    model.fit(*inputs, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **arguments)
    return model


def zeros(model: Any) -> list[int]:
    return [int((ops.convert_to_numpy(v) == 0).sum()) for v in kernels(model)]


def kernels(model: Any) -> list[Any]:
    return [v for v in model.trainable_variables if v.name == "kernel"]


def expected_zeros(model: Any, sparsity: float) -> list[int]:
    sizes = [int(np.prod(v.shape)) for v in kernels(model)]
    return [size - masks.kept_count(size, sparsity) for size in sizes]


def adam(learning_rate: float = 0.001, **options: Any) -> Any:
    return keras.optimizers.Adam(learning_rate, **options)


@pytest.mark.parametrize(
    ("inner", "options"),
    [
        (lambda: "adam", {}),
        (lambda: "sgd", {"metrics": ["accuracy"]}),
        (lambda: adam(clipnorm=1.0), {}),
        (lambda: adam(global_clipnorm=1.0, weight_decay=0.01), {}),
        (lambda: adam(use_ema=True, ema_momentum=0.9), {}),
        (lambda: adam(gradient_accumulation_steps=3), {}),
        (lambda: keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, STEPS)), {}),
        (lambda: keras.optimizers.LossScaleOptimizer(adam()), {}),
        (lambda: "adam", {"steps_per_execution": 2}),
        (lambda: "adam", {"jit_compile": False}),
        (lambda: "adam", {"run_eagerly": True}),
    ],
    ids=[
        "adam", "sgd", "clipnorm", "weight decay", "moving average", "accumulation",
        "learning-rate schedule", "loss scale inside", "several steps", "no jit", "eager",
    ],
)  # fmt: skip
def test_the_final_sparsity_is_exact(inner: Any, options: dict[str, Any]) -> None:
    model = fit(MagnitudePruning(inner(), DECAY), **options)
    assert zeros(model) == expected_zeros(model, 0.8)
    assert int(model.optimizer.iterations) == STEPS


def test_a_loss_scale_optimizer_may_be_outside() -> None:
    model = fit(keras.optimizers.LossScaleOptimizer(MagnitudePruning("adam", DECAY)))
    assert zeros(model) == expected_zeros(model, 0.8)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(dtype_policy: Any, policy: str) -> None:
    with dtype_policy(policy):
        model = fit(MagnitudePruning("adam", DECAY))
    assert zeros(model) == expected_zeros(model, 0.8)


def test_two_loss_scales_are_refused() -> None:
    inner = MagnitudePruning(keras.optimizers.LossScaleOptimizer(adam()), DECAY)
    with pytest.raises(InputError, match="scaled once"):
        keras.optimizers.LossScaleOptimizer(inner)


class Sparsities(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes the zeros after each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[int]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if keras.config.backend() == "jax":
            self.model.jax_state_sync()
        self.seen.append(zeros(self.model))


@pytest.mark.parametrize(
    "schedule",
    [DECAY, ConstantSparsity(0.5, begin_step=4), PolynomialDecay(0.2, 0.6, 1, 6, frequency=1)],
)
def test_the_sparsity_holds_after_every_step(schedule: Schedule) -> None:
    seen = Sparsities()
    model = fit(MagnitudePruning(adam(0.01), schedule, steps=STEPS), callbacks=[seen])
    plan = schedule.plan(STEPS)
    for step, found in enumerate(seen.seen, start=1):
        targets = plan[: step + 1][~np.isnan(plan[: step + 1])]
        wanted = expected_zeros(model, targets[-1]) if targets.size else [0, 0]
        assert found == wanted, f"after step {step}"


def test_begin_prunes_before_the_first_batch() -> None:
    model = build()
    first = kernels(model)[0]
    original = ops.convert_to_numpy(first)
    optimizer = MagnitudePruning("adam", ConstantSparsity(0.5))
    optimizer.build(model.trainable_variables)
    assert zeros(model) == [0, 0]
    optimizer.begin(STEPS)
    expected = np.where(masks.magnitude_mask(original, 0.5), original, 0)
    np.testing.assert_array_equal(ops.convert_to_numpy(first), expected)


def test_without_begin_the_first_masks_come_from_the_first_weights() -> None:
    model = build()
    original = ops.convert_to_numpy(kernels(model)[0])
    fit(MagnitudePruning(adam(0.5), ConstantSparsity(0.5)), model, (X[:32], Y[:32]), epochs=1)
    kept = ops.convert_to_numpy(kernels(model)[0]) != 0
    np.testing.assert_array_equal(kept, masks.magnitude_mask(original, 0.5))


def test_evaluating_before_training_prunes_nothing() -> None:
    model = build()
    before = model.get_weights()
    model.compile(MagnitudePruning("adam", ConstantSparsity(0.5)), loss="mse")
    model.evaluate(X, np.zeros((96, 4)), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_pruned_weights_can_come_back() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[0.001], [1.0], [2.0], [3.0]], "float32")])
    # The first weight is pruned at step 0, and its gradient is by far the largest.
    data = np.array([[100.0, 0, 0, 0]] * 32, "float32"), np.full((32, 1), 1000, "float32")
    model.compile(MagnitudePruning(keras.optimizers.SGD(1e-3), ConstantSparsity(0.25, 0, 4, 1)),
                  loss="mse")  # fmt: skip
    model.fit(*data, batch_size=8, verbose=0)
    kernel = model.get_weights()[0][:, 0]
    assert kernel[0] != 0
    assert kernel[1] == 0


def test_unpruned_training_is_the_inner_optimizer() -> None:
    pruned = fit(MagnitudePruning(adam(), ConstantSparsity(0.0)))
    plain = fit(adam())
    for a, b in zip(pruned.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_stopped_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    # Without dropout: Keras does not save the state of random layers.
    through = fit(MagnitudePruning("adam", DECAY), build(dropout=0), epochs=3)
    half = fit(MagnitudePruning("adam", DECAY), build(dropout=0), epochs=2)
    half.save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    resumed.fit(X, Y, batch_size=32, shuffle=False, verbose=0)
    pairs = zip(through.optimizer.variables, resumed.optimizer.variables, strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
    for a, b in zip(through.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_optimizer_state_of_h5_files_does_not_stop_the_loading(tmp_path: Path) -> None:
    model = fit(MagnitudePruning("adam", DECAY))
    model.save(tmp_path / "model.h5")
    loaded = keras.saving.load_model(tmp_path / "model.h5")
    assert zeros(loaded) == zeros(model)


def test_the_saved_model_is_untouched(tmp_path: Path) -> None:
    model = fit(MagnitudePruning("adam", DECAY))
    model.save(tmp_path / "model.keras")
    plain = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert [layer.name for layer in plain.layers][1:] == ["first", "norm", "relu", "drop", "last"]
    assert [v.path for v in plain.weights] == [v.path for v in build().weights]


def test_the_config_goes_round() -> None:
    optimizer = MagnitudePruning(
        adam(0.25), DECAY, include=["*/kernel"], exclude=["last/*"], steps=STEPS
    )
    again = MagnitudePruning.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert again.schedule == DECAY
    assert float(again.learning_rate) == 0.25
    again.learning_rate = 0.5
    assert float(again.inner_optimizer.learning_rate) == 0.5


def test_include_and_exclude() -> None:
    model = fit(MagnitudePruning("adam", DECAY, exclude=["last/*"]))
    assert zeros(model) == [expected_zeros(model, 0.8)[0], 0]
    model = fit(MagnitudePruning("adam", DECAY, include=["last/kernel"]))
    assert zeros(model) == [0, expected_zeros(model, 0.8)[1]]


class Doubled(keras.Model):  # type: ignore[misc]
    """A subclassed model whose own train_step trains each batch as it comes."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(4)
        self.steps_seen = 0

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def train_step(self, *arguments: Any) -> Any:
        self.steps_seen += 1
        return super().train_step(*arguments)


class OwnStep(Doubled):
    """A model whose train_step computes the gradients and calls the optimizer itself."""

    def train_step(self, *arguments: Any) -> Any:
        if keras.config.backend() == "jax":
            return self._jax_step(*arguments)
        return self._tensorflow_step(*arguments)

    def _jax_step(self, state: Any, data: Any) -> Any:
        import jax

        trainable, rest, optimizer_state, metrics = state
        x, y = data[:2]

        def loss(values: Any) -> Any:
            predicted, _ = self.stateless_call(values, rest, x)
            return ops.mean((predicted - ops.one_hot(y, 4)) ** 2)

        value, gradients = jax.value_and_grad(loss)(trainable)
        trainable, optimizer_state = self.optimizer.stateless_apply(
            optimizer_state, gradients, trainable
        )
        return {"loss": value}, (trainable, rest, optimizer_state, metrics)

    def _tensorflow_step(self, data: Any) -> Any:
        import tensorflow as tf

        x, y = data[:2]
        with tf.GradientTape() as tape:
            value = ops.mean((self(x) - ops.one_hot(y, 4)) ** 2)
        gradients = tape.gradient(value, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": value}


def test_a_train_step_that_calls_the_optimizer_itself() -> None:
    model = OwnStep()
    fit(MagnitudePruning("adam", DECAY), model)
    assert zeros(model) == expected_zeros(model, 0.8)


def test_weight_decay_may_be_excluded() -> None:
    optimizer = MagnitudePruning(adam(weight_decay=0.5), ConstantSparsity(0.5))
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "kernel"])
    decayed = fit(optimizer, build(dropout=0))
    plain = fit(MagnitudePruning(adam(), ConstantSparsity(0.5)), build(dropout=0))
    for a, b in zip(decayed.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_custom_train_step() -> None:
    model = Doubled()
    fit(MagnitudePruning("adam", DECAY), model)
    assert zeros(model) == expected_zeros(model, 0.8)
    assert model.steps_seen > 0


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """The data in three batches."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        rows = slice(32 * index, 32 * (index + 1))
        return X[rows], Y[rows]


def test_a_py_dataset() -> None:
    model = fit(MagnitudePruning("adam", DECAY), data=Batches())
    assert zeros(model) == expected_zeros(model, 0.8)


def test_a_tf_dataset() -> None:
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(32)
    model = fit(MagnitudePruning("adam", DECAY), data=data)
    assert zeros(model) == expected_zeros(model, 0.8)


def test_the_callback_fills_in_the_end() -> None:
    open_ended = PolynomialDecay(0.1, 0.8, frequency=2)
    model = fit(MagnitudePruning("adam", open_ended), callbacks=[BeginPruning()])
    assert zeros(model) == expected_zeros(model, 0.8)
    assert model.optimizer.steps == STEPS


def test_the_callback_counts_from_the_initial_epoch() -> None:
    open_ended = PolynomialDecay(0.1, 0.8, frequency=2)
    model = build()
    model.compile(MagnitudePruning("adam", open_ended), "mse")
    data = X, np.zeros((96, 4), "float32")
    model.fit(
        *data, batch_size=32, epochs=4, initial_epoch=2, verbose=0, callbacks=[BeginPruning()]
    )
    assert model.optimizer.steps == 6
    assert zeros(model) == expected_zeros(model, 0.8)


def test_the_callback_in_a_training_of_two_parts(tmp_path: Path) -> None:
    model = fit(
        MagnitudePruning("adam", PolynomialDecay(0.1, 0.8, frequency=2), steps=12),
        epochs=2,
        callbacks=[BeginPruning()],
    )
    assert model.optimizer.steps == 12
    assert zeros(model) != expected_zeros(model, 0.8)
    model.fit(X, Y, batch_size=32, epochs=2, verbose=0, callbacks=[BeginPruning()])
    assert zeros(model) == expected_zeros(model, 0.8)


def test_the_callback_settles_what_goes_on_from_loaded_weights(tmp_path: Path) -> None:
    open_ended = PolynomialDecay(0.1, 0.8, frequency=2)
    first = fit(MagnitudePruning("adam", open_ended, steps=9), epochs=2)
    first.save_weights(tmp_path / "half.weights.h5")
    second = build()
    second.compile(MagnitudePruning("adam", open_ended), first.loss)
    second.optimizer.build(second.trainable_variables)
    second.load_weights(tmp_path / "half.weights.h5")
    second.fit(X, Y, batch_size=32, epochs=3, initial_epoch=2, verbose=0,
               callbacks=[BeginPruning()])  # fmt: skip
    assert second.optimizer.steps == 9
    assert zeros(second) == expected_zeros(second, 0.8)


def test_the_callback_makes_up_for_batches_that_were_skipped(dtype_policy: Any) -> None:
    with dtype_policy("mixed_float16"):
        model = build()
    model.compile(MagnitudePruning("adam", PolynomialDecay(0.1, 0.8, frequency=2)), "mse")
    huge = np.full((96, 4), 60000.0, "float32")
    model.fit(X, huge, batch_size=32, epochs=3, verbose=0, callbacks=[BeginPruning()])
    assert int(model.optimizer.iterations) < 9, "some batches were skipped"
    assert zeros(model) == expected_zeros(model, 0.8)


def test_the_callback_refuses_a_schedule_that_ends_too_late() -> None:
    late = PolynomialDecay(0.1, 0.8, end_step=1000)
    with pytest.raises(InputError, match=r"Planned updates: 0: 10\.0 %"):
        fit(MagnitudePruning("adam", late), callbacks=[BeginPruning()])


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (OneShot(0.5), r"for the attempts of a study\. Received: OneShot.*ConstantSparsity"),
        (IterativePruning(0.5, rewind="learning_rate"), r"Give it rewind=None or rewind='weights'"),
    ],
)
def test_what_only_a_study_can_follow(schedule: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit(MagnitudePruning("adam", schedule), callbacks=[BeginPruning()])


def test_the_callback_needs_a_pruning_optimizer() -> None:
    with pytest.raises(InputError, match="compiled with MagnitudePruning"):
        fit("adam", callbacks=[BeginPruning()])


def test_a_schedule_without_an_end_needs_the_length() -> None:
    with pytest.raises(InputError, match="needs its length"):
        fit(MagnitudePruning("adam", PolynomialDecay(0.1, 0.8)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MagnitudePruning(MagnitudePruning("adam", DECAY), DECAY), "around another"),
        (lambda: MagnitudePruning("adam", cast(Schedule, "half")), "must have a plan"),
        (lambda: MagnitudePruning("adam", ConstantSparsity(0.5, 20), steps=9), "begin before"),
        (lambda: MagnitudePruning("adam", DECAY, steps=5), "reach its final"),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_nothing_to_prune() -> None:
    model = keras.Sequential([keras.Input((16,)), layers.BatchNormalization()])
    model.compile(MagnitudePruning("adam", DECAY), loss="mse")
    with pytest.raises(InputError, match="weights that can be pruned"):
        model.fit(X, X, verbose=0)
