"""The distributions of Keras under which a model can be trained: checked, and told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import keras
import numpy as np

from trimgrid.data.sources import ArrayData, StreamData
from trimgrid.engines.copied_layouts import CopiedLayouts
from trimgrid.engines.even_batches import shares_of
from trimgrid.errors import InputError, first_line
from trimgrid.json_values import JSON
from trimgrid.legacy.telling import is_legacy
from trimgrid.models import nested_layers
from trimgrid.training import Training

Distribution: TypeAlias = Any
"""A `keras.distribution.DataParallel` or `keras.distribution.ModelParallel`."""


def scope_of(distribution: Distribution | None) -> AbstractContextManager[None]:
    """Return the block in which models are made and trained under a distribution.

    After it the distribution that was current before, or none, is current again.

    >>> with scope_of(None):
    ...     keras.distribution.distribution() is None
    True
    """
    if distribution is None:
        return nullcontext()
    scope: AbstractContextManager[None] = distribution.scope()
    return scope


def check_distribution(
    distribution: Distribution, model: Any, data: ArrayData | StreamData, training: Training
) -> None:
    """Check that a model can be trained on data under a distribution.

    Raises `InputError` for what is no distribution, a backend other than JAX, a `tf_keras` model,
    several processes, devices that are not there, layouts that do not fit the weights or name none
    of them, and batches that do not divide among the devices.
    """
    kinds = keras.distribution.DataParallel, keras.distribution.ModelParallel
    if not isinstance(distribution, kinds):
        raise InputError(
            "A distribution is a keras.distribution.DataParallel or ModelParallel. "
            f"Received: distribution={distribution!r}. Give for example "
            "keras.distribution.DataParallel()."
        )
    name, backend = type(distribution).__name__, keras.config.backend()
    if is_legacy(model):
        raise InputError(
            "A distribution spreads models of Keras 3. "
            f"Received: {name} for the tf_keras model {model.name!r}. Leave it away."
        )
    if backend != "jax":
        raise InputError(
            "Keras spreads a model over devices on JAX only. "
            f"Received: {name} on the backend {backend!r}. Set KERAS_BACKEND=jax before Keras is "
            "imported, or leave the distribution away."
        )
    if distribution.num_processes > 1:
        raise InputError(
            "A study trains in one process, on the devices of one machine. "
            f"Received: {name} for {distribution.num_processes} processes. Spread the attempts "
            "over machines instead."
        )
    _check_devices(distribution.device_mesh)
    _check_layouts(distribution, model)
    shares = shares_of(distribution)
    # Of a stream the largest: those that end an epoch may be smaller.
    size = training.batch_size if isinstance(data, ArrayData) else max(data.sizes)
    if size % shares:
        below, above = size // shares * shares, (size // shares + 1) * shares
        raise InputError(
            "A batch must divide among the devices that share it; only smaller ones, such as the "
            f"last of an epoch, need not. Received: batches of {size} examples for {shares} "
            f"shares. Take batches of {f'{below} or ' if below else ''}{above}."
        )


def fresh_distribution(distribution: Distribution, model: Any) -> Distribution:
    """Return a distribution that does the same to a model and that nobody has used yet.

    One that was used holds devices of JAX, which can't travel to another process.

    >>> given = keras.distribution.DataParallel()
    >>> fresh_distribution(given, None).device_mesh.shape == given.device_mesh.shape
    True
    """
    old = distribution.device_mesh
    mesh = keras.distribution.DeviceMesh(old.shape, old.axis_names, list(np.ravel(old.devices)))
    if isinstance(distribution, keras.distribution.DataParallel):
        return keras.distribution.DataParallel(device_mesh=mesh)
    layouts = keras.distribution.LayoutMap(mesh)
    for path, layout in _layouts(distribution, model):
        if layout is not None:
            layouts[re.escape(path)] = layout.axes
    return keras.distribution.ModelParallel(
        layout_map=layouts, batch_dim_name=distribution.batch_dim_name
    )


def distribution_settings(distribution: Distribution, model: Any) -> dict[str, JSON]:
    """Return what of a distribution determines the bits of a training, ready for JSON.

    Of a layout map this is what it says of the model's weights and layers.
    """
    mesh = distribution.device_mesh
    return {
        "kind": type(distribution).__name__,
        "mesh": {"shape": [int(n) for n in mesh.shape], "axes": [str(n) for n in mesh.axis_names]},
        "batch_axis": str(distribution.batch_dim_name),
        "devices": sorted({str(each).split(":")[0] for each in np.ravel(mesh.devices)}),
        "layouts": {
            path: list(layout.axes)
            for path, layout in _layouts(distribution, model)
            if layout is not None
        },
    }


def described(distribution: Distribution) -> str:
    """Return kind and number of devices in a few words, such as "DataParallel on 4 devices"."""
    devices = int(np.size(distribution.device_mesh.devices))
    return f"{type(distribution).__name__} on {devices} device{'s' if devices != 1 else ''}"


def _layouts(distribution: Distribution, model: Any) -> Iterator[tuple[str, Any]]:
    """The layouts, or None, of all weights and of all outputs of layers, by their paths."""
    outputs = [f"{each.path}/output" for each in nested_layers(model) if each.path]
    for path in [*(variable.path for variable in model.variables), *outputs]:
        try:
            yield path, distribution.get_tensor_layout(path)
        except ValueError as error:
            raise InputError(
                "A layout map must give each weight one layout. "
                f"Received: {first_line(error)} Take other patterns."
            ) from error


def _check_devices(mesh: Any) -> None:
    devices = [str(each) for each in np.ravel(mesh.devices)]
    known = keras.distribution.list_devices(devices[0].split(":")[0])
    wrong = [each for each in devices if each not in known or devices.count(each) > 1]
    if wrong:
        raise InputError(
            "A mesh must be made of devices that are there, each once. "
            f"Received: {wrong[0]!r} in {devices}, where there are {known}. Take "
            "keras.distribution.list_devices()."
        )


def _check_layouts(distribution: Distribution, model: Any) -> None:
    layouts = dict(_layouts(distribution, model))
    split = isinstance(distribution, keras.distribution.ModelParallel)
    if split:
        CopiedLayouts(distribution, model)
    if split and not any(layout is not None for layout in layouts.values()):
        paths = ", ".join(repr(variable.path) for variable in model.variables[:4])
        raise InputError(
            "The layout map of a ModelParallel must lay out weights of the model. Received: "
            f"patterns that match none of the paths {paths}, ... Patterns match whole paths, as in "
            "'.*dense/kernel'; to split batches alone take DataParallel."
        )
    mesh = distribution.device_mesh
    lengths = dict(zip(mesh.axis_names, mesh.shape, strict=True))
    for variable in model.variables:
        layout, shape = layouts[variable.path], tuple(variable.shape)
        if layout is None:
            continue
        fits = len(layout.axes) <= len(shape) and all(
            axis is None or size % lengths[axis] == 0
            for size, axis in zip(shape, layout.axes, strict=False)
        )
        if not fits:
            raise InputError(
                "A layout must fit its weight: an axis of the mesh for each axis that it divides. "
                f"Received: {layout.axes} for {variable.path!r} of shape {shape}, on a mesh of "
                f"{lengths}. Split another axis, or take another number of devices."
            )
