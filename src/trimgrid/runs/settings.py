"""What determines the results of a study, as data that tells it from every other."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import platform as machine
from platform import python_version
from typing import Any

import keras

from trimgrid import __version__
from trimgrid.cores import usable_cores
from trimgrid.digests import digest
from trimgrid.engines.choice import choose_engine
from trimgrid.engines.distribution import Distribution, distribution_settings
from trimgrid.export.files import write_keras
from trimgrid.function_facts import function_facts
from trimgrid.json_values import JSON, json_value
from trimgrid.legacy.telling import is_legacy, legacy_versions
from trimgrid.measures.error_kinds import ErrorMeasure
from trimgrid.measures.error_measures import error_measure
from trimgrid.run_directory.attempt_files import sha256_of
from trimgrid.run_directory.manifest import MANIFEST, read_manifest
from trimgrid.runs.study_data import StudyData
from trimgrid.scratch import scratch_folder
from trimgrid.startup import ENGINES
from trimgrid.training import Training


def shared_settings(
    model: Any,
    data: StudyData,
    training: Training,
    pretrain_epochs: int,
    measure: ErrorMeasure,
    *,
    engine: str,
    repeats: int,
    tflite: bool,
    distribution: Distribution | None = None,
) -> dict[str, Any]:
    """Return what all attempts share, and what must be the same when a run goes on.

    `engine`: the one that trains, see `engine_of`. All others are those of a `trimgrid.Study` and
    its `run`.

    Raises `InputError` for an object that has no config.
    """
    settings = {
        "model": {"digest": model_digest(model)},
        "data": data.digests(),
        "training": training_settings(training),
        "pretrain_epochs": pretrain_epochs,
        "error": measure.config(),
        "error_name": measure.name,
        "repeats": repeats,
        "tflite": tflite,
        "engine": engine,
        "backend": keras.config.backend(),
        "platform": platform(),
        "versions": versions(model),
    }
    if distribution is not None:  # the ids of studies without one stay as they were
        settings["distribution"] = distribution_settings(distribution, model)
    return settings


def engine_of(
    model: Any, folder: Path, wanted: str, distribution: Distribution | None = None
) -> tuple[str, str]:
    """Return the engine to ask for, and the one that the run directory names.

    A run that goes on without naming an engine goes on with the one that it began with.

    Raises `InputError` for an engine that is unknown, or can't train the model.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> engine_of(model, Path("runs/none"), "sequential")
    ('sequential', 'sequential')
    """
    chosen = choose_engine(model, wanted, distribution).engine
    if wanted != "auto" or distribution is not None:
        return wanted, chosen
    if (folder / MANIFEST).exists():
        begun = str(read_manifest(folder).settings.get("engine", chosen))
        if begun != chosen and begun in ENGINES:
            return begun, begun
    return "auto", chosen


def training_settings(training: Training) -> dict[str, JSON]:
    """Return the settings of a training, ready for JSON.

    Raises `InputError` for an object that has no config.

    >>> training_settings(Training("mse", epochs=3))["epochs"]
    3
    """
    return {
        "loss": error_measure(None, training.loss, training.loss_weights).config(),
        "optimizer": _named(training.optimizer),
        "metrics": _named(training.metrics),
        "epochs": training.epochs,
        "batch_size": training.batch_size,
        "seed": training.seed,
        "class_weight": json_value(training.class_weight),
    }


def _named(value: Any) -> JSON:
    """Names in small letters, functions by their source, objects by their config."""
    if isinstance(value, str):
        return value.lower()
    if isinstance(value, Mapping) and "class_name" not in value:
        return {str(key): _named(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_named(each) for each in value]
    if callable(value) and not hasattr(value, "get_config"):
        return function_facts(value)
    return json_value(value)


def model_digest(model: Any) -> str:
    """Return what tells a model from others: its `.keras` file, and what of it is frozen.

    >>> model = keras.Sequential([keras.Input((2,), name="in"), keras.layers.Dense(1, name="out")])
    >>> model_digest(model) == model_digest(model)
    True
    """
    with scratch_folder() as folder:
        path = folder / "model.keras"
        write_keras(model, path)
        content = sha256_of(path)
    if is_legacy(model):  # its config tells what is frozen
        return digest([content])
    return digest([content, [bool(variable.trainable) for variable in model.variables]])


def platform() -> str:
    """Return what computes, "cpu" or "gpu": their sums are rounded in different ways.

    >>> platform() in ("cpu", "gpu")
    True
    """
    return str(keras.distribution.list_devices()[0]).split(":")[0].lower()


def versions(model: Any) -> dict[str, str]:
    """Return the versions of what computes for a model: another one may round otherwise.

    >>> sorted(versions(keras.Sequential()))[-1]
    'trimgrid'
    """
    backend = keras.config.backend()
    computes = backend if backend != "tensorflow" else _tensorflow_package()
    return {
        "trimgrid": __version__,
        "keras": keras.__version__,
        backend: version(computes),
        **(_legacy_versions() if is_legacy(model) else {}),
    }


def _legacy_versions() -> dict[str, str]:
    return {"tensorflow": version(_tensorflow_package()), **legacy_versions()}


def _tensorflow_package() -> str:
    from importlib.metadata import packages_distributions

    return packages_distributions().get("tensorflow", ["tensorflow"])[0]


def _program(path: str) -> str:
    """The program as people call it: `trimgrid`, wherever it lies and however it was started."""
    named = Path(path)
    own = named.name == "trimgrid" or named.parts[-2:] == ("trimgrid", "__main__.py")
    return "trimgrid" if own else path


def about() -> dict[str, Any]:
    """Return what people may want to know of a run: when, where, how it was started.

    >>> sorted(about())
    ['command', 'cores', 'created', 'machine', 'numpy', 'python']
    """
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([_program(sys.argv[0]), *sys.argv[1:]]),
        "machine": machine(),
        "cores": usable_cores(),
        "python": python_version(),
        "numpy": version("numpy"),
    }
