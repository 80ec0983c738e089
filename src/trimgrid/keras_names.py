"""Keras' metrics and losses: their names, which of them rise, and their configs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import keras

LARGER_IS_BETTER: tuple[type, ...] = (
    keras.metrics.Accuracy,
    keras.metrics.AUC,
    keras.metrics.BinaryAccuracy,
    keras.metrics.CategoricalAccuracy,
    keras.metrics.ConcordanceCorrelation,
    keras.metrics.CosineSimilarity,
    keras.metrics.FBetaScore,
    keras.metrics.IoU,
    keras.metrics.MeanIoU,
    keras.metrics.PearsonCorrelation,
    keras.metrics.Precision,
    keras.metrics.PrecisionAtRecall,
    keras.metrics.R2Score,
    keras.metrics.Recall,
    keras.metrics.RecallAtPrecision,
    keras.metrics.SensitivityAtSpecificity,
    keras.metrics.SparseCategoricalAccuracy,
    keras.metrics.SparseTopKCategoricalAccuracy,
    keras.metrics.SpecificityAtSensitivity,
    keras.metrics.TopKCategoricalAccuracy,
)
"""The metrics whose best value is 1, with those that derive from them."""


def known_names() -> list[str]:
    """Return the names of Keras' metrics and losses, such as "mean_squared_error".

    >>> "f1_score" in known_names(), "huber" in known_names()
    (True, True)
    """
    classes = [_snake_case(name) for name, _ in _classes(keras.metrics)]
    functions = [name for name in dir(keras.losses) if name.islower() and _is_loss(name)]
    return sorted({"accuracy", "crossentropy", *classes, *functions})


def metric_name(metric: Any) -> str:
    """Return the name of a metric object, without the number that Keras counts up for some.

    >>> metric_name(keras.metrics.Precision(name="precision_3"))
    'precision'
    """
    name, own = str(metric.name), _snake_case(type(metric).__name__)
    return own if re.fullmatch(rf"{own}_\d+", name) else name


def from_class_config(config: Mapping[str, Any], module: ModuleType, kind: type) -> Any | None:
    """Return the object that a class name and a config describe; None if the class is not known.

    Known are the classes of a module of Keras, and of others those that are registered.

    Raises `ValueError` for a class that is not of the kind, and what the class raises on a config.

    >>> config = {"class_name": "Tversky", "config": {"alpha": 2.0}}
    >>> from_class_config(config, keras.losses, keras.losses.Loss).get_config()["alpha"]
    2.0
    """
    name = config["class_name"]
    known: dict[str, Any] = dict(_classes(module))
    if "." in name:
        registered = keras.saving.get_custom_objects().values()
        known = {_path(each): each for each in registered if isinstance(each, type)}
        if name not in known:
            return None
    cls = known.get(name)
    if cls is None or not issubclass(cls, kind):
        raise ValueError(f"{name!r} is no {kind.__name__} of Keras")
    _check_nested(config["config"])
    return cls.from_config(dict(config["config"]))


def fresh_copy(thing: Any) -> Any:
    """Return a new metric or loss from the config of one, which has the same settings.

    Raises `ValueError` if the config does not hold all settings, as some of Keras' own do not, and
    what a class raises that can't be made from it.

    >>> fresh_copy(keras.metrics.AUC(curve="PR")).get_config()["curve"]
    'PR'
    """
    copy = type(thing).from_config(thing.get_config())
    # A metric that was used differs in more than its settings; those that Keras forgets are dicts.
    wanted, found = plain_settings(thing), plain_settings(copy)
    for key, value in wanted.items():
        counts = isinstance(thing, keras.losses.Loss) or isinstance(value, dict)
        if counts and found.get(key) != value:
            raise ValueError(f"its config does not hold {value!r}")
    return copy


def plain_settings(thing: Any) -> dict[str, Any]:
    """Return the attributes of an object, but its name, that are plain values or dicts of them.

    >>> plain_settings(keras.losses.Huber(delta=2.0))["_fn_kwargs"]
    {'delta': 2.0}
    """
    plain = (bool, int, float, str, type(None))
    return {
        key: dict(value) if isinstance(value, dict) else value
        for key, value in vars(thing).items()
        if key != "name"
        and (
            isinstance(value, plain)
            or (isinstance(value, dict) and all(isinstance(each, plain) for each in value.values()))
        )
    }


def _classes(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name in dir(module):
        if isinstance(each := getattr(module, name), type):
            yield name, each


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])", "_", name).lower()


def _is_loss(name: str) -> bool:
    try:
        return keras.losses.get(name) is not None
    except ValueError:
        return False


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _check_nested(config: Any) -> None:
    """Refuse objects in a config from a file that are not Keras' own: Keras would import them."""
    for each in keras.tree.flatten(config) if not isinstance(config, Mapping) else [config]:
        if isinstance(each, Mapping):
            module = each.get("module")
            if module is not None and str(module).split(".")[0] != "keras":
                raise ValueError(f"an object of {module!r} in it")
            for inner in each.values():
                _check_nested(inner)
