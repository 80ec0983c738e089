"""The loss, optimizer and metrics with which a model was compiled."""

from __future__ import annotations

import json
import warnings
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import keras

from trimgrid.errors import InputError, first_line
from trimgrid.keras_names import fresh_copy
from trimgrid.legacy.compiled import legacy_settings
from trimgrid.legacy.telling import is_legacy
from trimgrid.models import load_model, readable
from trimgrid.optimizers import unscaled
from trimgrid.training import fresh_optimizer

_PARTS = ("loss", "optimizer", "metrics")
_WITHOUT_LOSS = "that was compiled without a loss"


@dataclass(frozen=True)
class Settings:
    """What a model was compiled with, as objects of its own.

    `loss`, `metrics` and `loss_weights` have the structure that `compile` was given; `metrics` is a
    tuple where that was a list. None stands for what was not given. `left_out` says what else
    `compile` was given that is not among these, in words, and `no_loss` why there is no loss: empty
    where there is one.

    >>> Settings().optimizer is None
    True
    """

    loss: Any = None
    optimizer: Any = None
    metrics: Any = None
    loss_weights: Any = None
    left_out: tuple[str, ...] = ()
    no_loss: str = ""


def compiled_settings(model: Any) -> Settings:
    """Return what a model was compiled with: nothing if it was not.

    The optimizer is a new one without state, with the learning rate that the model's has now.
    Metrics are new ones, losses too where their config holds all of their arguments: a loss has no
    state. The model stays as it is. Of a `tf_keras` model they are Keras 3's of the same meaning.

    Raises `InputError` for a model with a `compile()` of its own, and for objects that can't be
    made from their config.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> compiled_settings(model).loss is None
    True
    >>> model.compile("sgd", "mse", metrics=["mae"])
    >>> settings = compiled_settings(model)
    >>> settings.loss, type(settings.optimizer).__name__, settings.metrics
    ('mse', 'SGD', ('mae',))
    """
    if is_legacy(model):
        left_out = _left_out(model.get_compile_config() or {})
        return Settings(**legacy_settings(model), left_out=left_out)
    if not model.compiled:
        return Settings(no_loss="a model that is not compiled")
    if type(model).compile is not keras.Model.compile:
        raise InputError(
            "Settings can be taken from a model that Keras compiled. Received: "
            f"{type(model).__name__}, which has a compile() of its own. Give loss and optimizer."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of lambdas, which stay in this process
            config = dict(model.get_compile_config())
            metrics = keras.saving.deserialize_keras_object(config["metrics"])
        optimizer = None if model.optimizer is None else fresh_optimizer(model.optimizer)
    except Exception as error:  # whatever a custom class raises
        raise InputError(
            "What a model was compiled with must be copyable through its config. Received: "
            f"{model.name!r}, which fails with {type(error).__name__}: {first_line(error)} "
            "Give loss, optimizer and metrics, or register custom classes."
        ) from error
    return Settings(
        loss=keras.tree.map_structure(_fresh_loss, model.loss),
        optimizer=optimizer,
        metrics=tuple(metrics) if isinstance(metrics, list) else metrics,
        loss_weights=config.get("loss_weights"),
        left_out=_left_out(config),
        no_loss="" if model.loss is not None else f"a model {_WITHOUT_LOSS}",
    )


def counted_steps(model: Any) -> int:
    """Return on how many batches the optimizer of a compiled model has trained, 0 if there is none.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> _ = model.fit(keras.ops.ones((6, 4)), keras.ops.ones((6, 1)), batch_size=2, verbose=0)
    >>> counted_steps(model)
    3
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return 0
    optimizer = unscaled(optimizer)
    # One that adds gradients up counts its steps, each of several batches.
    return int(optimizer.iterations) * (
        getattr(optimizer, "gradient_accumulation_steps", None) or 1
    )


def load_compiled(path: str | Path) -> tuple[Any, Settings]:
    """Load a model as `load_model` does, and what its file says that it was compiled with.

    What can't be loaded, such as a loss that is not registered, is left out and said, in `left_out`
    or `no_loss`; the rest is there. The model is then not compiled.

    Raises `InputError` as `load_model` and `compiled_settings` do.

    >>> load_compiled("model.onnx")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A model file must exist. Received: 'model.onnx'. Check the path.
    """
    path = Path(path)
    model = load_model(path)  # which says what is wrong with the file
    with readable(path) as file:
        return _with_settings(model, file)


def _with_settings(model: Any, path: Path) -> tuple[Any, Settings]:
    """Compile a model that was loaded from a file as that tells; if that fails tell the parts."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the optimizer's state, which nobody needs
            if path.suffix == ".keras":
                model = keras.saving.load_model(path, compile=True, safe_mode=True)
            else:
                _compile_as_in_h5(model, path)
    except Exception:  # whatever a custom class raises: one part of it, and the others may be good
        return model, _settings_in_parts(path)
    return model, compiled_settings(model)


def _settings_in_parts(path: Path) -> Settings:
    """Revive what the file tells, each part by itself."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))["compile_config"]
        revive = dict.fromkeys(_PARTS, keras.saving.deserialize_keras_object)
    else:
        with h5py.File(path, "r") as file:
            config = json.loads(file.attrs["training_config"])
        config["optimizer"] = config.get("optimizer_config")
        revive = {
            "loss": partial(_revived, module=keras.losses),
            "optimizer": partial(_revived, module=keras.optimizers),
            "metrics": partial(_revived, module=keras.metrics),
        }
    found: dict[str, Any] = dict.fromkeys(_PARTS)
    failures: dict[str, str] = {}
    for part in _PARTS:
        try:
            if (told := config.get(part)) is not None:
                thing = revive[part](told)
                found[part] = fresh_optimizer(thing) if part == "optimizer" else thing
        except Exception as error:  # whatever a custom class raises
            failures[part] = f"fails with {type(error).__name__}: {first_line(error)}"[:-1]
    loss, metrics = found["loss"], found["metrics"]
    why = f"whose loss {failures['loss']}" if "loss" in failures else _WITHOUT_LOSS
    return Settings(
        loss=loss,
        optimizer=found["optimizer"],
        metrics=tuple(metrics) if isinstance(metrics, list) else metrics,
        loss_weights=config.get("loss_weights"),
        left_out=(
            *(f"the {part} {said}: left out" for part, said in failures.items()),
            *_left_out(config),
        ),
        no_loss="" if loss is not None else f"a model {why}",
    )


def _compile_as_in_h5(model: Any, path: Path) -> None:
    """Compile a model as its .h5 file tells. Keras itself fails on names such as "mse" there."""
    with h5py.File(path, "r") as file:
        text = file.attrs.get("training_config")
    if text is None:
        return
    config = json.loads(text)
    model.compile(
        optimizer=_revived(config["optimizer_config"], keras.optimizers),
        loss=_revived(config["loss"], keras.losses),
        metrics=_revived(config.get("metrics"), keras.metrics),
        loss_weights=config.get("loss_weights"),
        weighted_metrics=_revived(config.get("weighted_metrics"), keras.metrics),
    )


def _revived(config: Any, module: Any) -> Any:
    if isinstance(config, list):
        return [_revived(each, module) for each in config]
    if isinstance(config, dict) and "class_name" in config:
        found = module.deserialize(config)
        if isinstance(found, str):  # Keras gives the name of a class that it does not know
            raise ValueError(f"Unknown: {found}.")
        return found
    if isinstance(config, dict):
        return {key: _revived(each, module) for key, each in config.items()}
    # A function of the user's own is only a name here. "accuracy" is several metrics' name.
    if isinstance(config, str) and config not in ("accuracy", "acc", "crossentropy", "ce"):
        module.get(config)
    return config


def _fresh_loss(loss: Any) -> Any:
    if not isinstance(loss, keras.losses.Loss):
        return loss
    try:
        return fresh_copy(loss)
    except Exception:  # its config leaves an argument out: a new one would be another loss
        return loss


def _left_out(config: dict[str, Any]) -> tuple[str, ...]:
    said = []
    if config.get("weighted_metrics"):
        said.append("weighted_metrics are left out: give the error instead")
    if config.get("run_eagerly"):
        said.append("run_eagerly is left out: trainings are compiled")
    if (config.get("steps_per_execution") or 1) != 1:
        said.append("steps_per_execution is left out: it does not change a result")
    return tuple(said)
