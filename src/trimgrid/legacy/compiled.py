"""What a model of `tf_keras` was compiled with, as objects of Keras 3."""

from __future__ import annotations

from typing import Any

from trimgrid.legacy.settings import in_keras_3


def legacy_settings(model: Any) -> dict[str, Any]:
    """Return the fields of `compiled_settings.Settings` for a model of `tf_keras`.

    Raises `InputError` for what Keras 3 does not have, or not with the same meaning.
    """
    if getattr(model, "optimizer", None) is None:
        return {"no_loss": "a model that is not compiled"}
    import tf_keras

    config = model.get_compile_config() or {}
    metrics = tf_keras.saving.deserialize_keras_object(config.get("metrics"))
    loss = model.loss
    return {
        "loss": in_keras_3(loss),
        "optimizer": in_keras_3(model.optimizer),
        "metrics": tuple(in_keras_3(metrics)) if isinstance(metrics, list) else in_keras_3(metrics),
        "loss_weights": config.get("loss_weights"),
        "no_loss": "" if loss is not None else "a model that was compiled without a loss",
    }
