"""A smaller model from a model's config and the weights of what stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from trimgrid.models import seed_random_layers
from trimgrid.randomness import isolated_randomness
from trimgrid.shrinking.behaviors import Axes, Behavior, Blocking, Floats, Giving, Mixing, Passing
from trimgrid.shrinking.graph import Call, Graph, Tensor, join
from trimgrid.shrinking.solving import Solution


def rebuild(model: Any, graph: Graph, behaviors: Sequence[Behavior], solution: Solution) -> Any:
    """Return a new model without the channels that leave, with everything else as it is."""
    builder = _Builder(graph, behaviors, solution)
    config = model.get_config()
    builder.edit(config, "")
    with isolated_randomness(0):
        smaller = type(model).from_config(config)
        for (path, old), (_, new) in zip(_layers(model), _layers(smaller), strict=True):
            if path in builder.followed or not isinstance(old, keras.Model):
                new.set_weights(builder.weights(path, old))
            _copy_settings(old, new)
            for name in builder.initializers(path, old):
                setattr(new, name, getattr(old, name))
        if smaller.dtype_policy != model.dtype_policy:
            smaller.dtype_policy = model.dtype_policy
    seed_random_layers(smaller, 0)
    return smaller


class _Builder:
    def __init__(self, graph: Graph, behaviors: Sequence[Behavior], solution: Solution) -> None:
        self._graph, self._solution = graph, solution
        self.followed: dict[str, tuple[Call, Behavior]] = {
            call.path: (call, each) for call, each in zip(graph.calls, behaviors, strict=True)
        }

    def edit(self, config: dict[str, Any], prefix: str) -> None:
        """Put the new sizes into the config of a model, and of those in it that were opened."""
        for entry in config["layers"]:
            inner = entry["config"]
            path = join(prefix, inner["name"])
            if path in self._graph.entrances:
                inner["batch_shape"] = self._shape(self._graph.entrances[path])
            elif path not in self.followed:
                self.edit(inner, path)
            elif isinstance(self.followed[path][1], Blocking):
                continue  # as it is, with the shapes that it was built for
            else:
                self._resize(path, entry)
            _forget_shapes(entry)
        if prefix and "build_input_shape" in config:
            first = join(prefix, config["layers"][0]["config"]["name"])
            config["build_input_shape"] = self._shape(self._graph.entrances[first])

    def _shape(self, tensor: Tensor) -> tuple[int | None, ...]:
        shape = self._graph.shapes[tensor]
        kept = self._solution.kept.get(tensor)
        return shape if kept is None else (*shape[:-1], kept.size)

    def _resize(self, path: str, entry: dict[str, Any]) -> None:
        call, behavior = self.followed[path]
        if "layer" in entry["config"]:  # of a wrapper
            entry = entry["config"]["layer"]
        inner = entry["config"]
        # Random numbers that are not kept: JAX would compile their making for each new shape.
        inner.update(dict.fromkeys(self.initializers(path, call.layer), "zeros"))
        if self._needs_bias(path):
            inner["use_bias"] = True
        kept = self._solution.kept.get(call.output)
        if kept is None or not isinstance(behavior, Mixing | Giving | Passing):
            return
        if behavior.size == "target_shape":
            *others, last = inner["target_shape"]
            inner["target_shape"] = (*others, last if last == -1 else kept.size)
        elif behavior.size is not None:
            inner[behavior.size] = kept.size

    def initializers(self, path: str, layer: Any) -> list[str]:
        """Return the arguments of a layer that say how weights begin, if it may change its size."""
        if path not in self.followed or not isinstance(self.followed[path][1], Mixing | Giving):
            return []
        return [name for name in layer.get_config() if name.endswith("_initializer")]

    def _needs_bias(self, path: str) -> bool:
        return bool(np.any(self._solution.folds.get(path, 0)))

    def weights(self, path: str, layer: Any) -> list[Floats]:
        """Return the weights of a layer in the smaller model."""
        arrays = [np.asarray(each) for each in layer.get_weights()]
        if path not in self.followed:
            return arrays
        call, behavior = self.followed[path]
        if not isinstance(behavior, Blocking) and behavior.axes:
            arrays = [
                self._taken(array, axes, call)
                for array, axes in zip(arrays, behavior.axes, strict=True)
            ]
        if self._needs_bias(path):
            folded = self._solution.folds[path]
            has_bias = len(arrays) > 1 and arrays[-1].ndim == 1
            bias = arrays.pop() if has_bias else np.zeros(folded.size, arrays[0].dtype)
            arrays.append((bias.astype("float64") + folded).astype(bias.dtype))
        return arrays

    def _taken(self, array: Floats, axes: Axes, call: Call) -> Floats:
        for axis, side in axes.items():
            kept = self._solution.kept.get(call.inputs[0] if side == "in" else call.output)
            if kept is not None:
                array = array.take(kept, axis)
        return array


def _forget_shapes(config: Any) -> None:
    """Take the shapes that layers were built for out of a config, wrapped layers' too."""
    if isinstance(config, dict):
        config.pop("build_config", None)
        for each in config.values():
            _forget_shapes(each)


def _layers(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The layers of a model and of the models in it, with their paths."""
    for layer in model.layers:
        path = join(prefix, layer.name)
        yield path, layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer, path)


def _copy_settings(old: Any, new: Any) -> None:
    """Copy what a config may leave out: which layers and weights are frozen."""
    if new.trainable != old.trainable:
        new.trainable = old.trainable
    if isinstance(old, keras.Model):
        return  # its layers come next
    for before, after in zip(old.weights, new.weights, strict=False):
        if after.trainable != before.trainable:
            after.trainable = before.trainable
