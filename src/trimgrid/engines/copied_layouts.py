"""A layout map that is written for a model, on copies of the model, whose paths may differ."""

from __future__ import annotations

from typing import Any

import keras

from trimgrid.errors import InputError
from trimgrid.models import copy_model, nested_layers


class CopiedLayouts(keras.distribution.ModelParallel):  # type: ignore[misc]
    """A `ModelParallel` under which copies of a model are laid out as the model would be.

    A model that is made from its config may have other paths: in a `Sequential` of the name "m"
    "m/dense/kernel" becomes "dense/kernel".

    Raises `InputError` if two weights have one path in a copy and another layout.
    """

    def __init__(self, distribution: Any, model: Any) -> None:
        mesh = distribution.device_mesh
        super().__init__(
            layout_map=keras.distribution.LayoutMap(mesh),
            batch_dim_name=distribution.batch_dim_name,
        )
        self._given = distribution
        self._known: dict[str, Any] = {}
        for path, own in _paths(model, copy_model(model)):
            layout = distribution.get_tensor_layout(path)
            if _axes(self._known.setdefault(own, layout)) != _axes(layout):
                raise InputError(
                    "Weights that lie in another way must have another path in copies of a model. "
                    f"Received: {path!r}, which is {own!r} there, as another one is. Give the "
                    "layers names of their own."
                )

    def get_tensor_layout(self, path: str) -> Any:
        """Return the layout of a copy's weight or of an output of a layer, None for none."""
        if path in self._known:
            return self._known[path]
        return self._given.get_tensor_layout(path)

    def get_variable_layout(self, variable: Any) -> Any:
        """Return the layout of a copy's weight, or of a variable that is none."""
        if variable.path not in self._known:
            return self._given.get_variable_layout(variable)
        layout = self._known[variable.path]
        if layout is None:  # on every device in full
            axes = [None] * len(variable.shape)
            layout = keras.distribution.TensorLayout(axes, self.device_mesh)
        return layout


def _axes(layout: Any) -> Any:
    return None if layout is None else layout.axes


def _paths(model: Any, copy: Any) -> list[tuple[str, str]]:
    """The paths of weights, and of the outputs of layers that have one, in a model and its copy."""
    weights = zip(model.variables, copy.variables, strict=True)
    layers = zip(nested_layers(model), nested_layers(copy), strict=True)
    return [
        *((one.path, other.path) for one, other in weights),
        *((f"{one.path}/output", f"{other.path}/output") for one, other in layers if other.path),
    ]
