"""Prune a trained Keras model in a grid of attempts and pick the smallest that is good enough.

The public names are imported when they are first used, so that the command line can answer
without loading a framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_MODULES = {
    "AttemptConfig": "grid",
    "AttemptInfo": "results",
    "BeginPruning": "begin_pruning",
    "ConstantSparsity": "schedules",
    "ConversionError": "tflite",
    "InputError": "errors",
    "MagnitudePruning": "pruning",
    "PolynomialDecay": "schedules",
    "RunError": "errors",
    "Schedule": "schedules",
    "TFLiteConverter": "tflite",
    "Training": "training",
    "article_grid": "grid",
    "build_pruning_model": "trim_insignificant_weights",
    "copy_model": "models",
    "extract_pruned_model": "trim_insignificant_weights",
    "inspect_weights": "trim_insignificant_weights",
    "inspect_weigths": "trim_insignificant_weights",
    "load_model": "models",
    "magnitude_mask": "masks",
    "measure_model": "export",
    "pareto_front": "results",
    "print_attempt_infos": "report.table",
    "prunable_variables": "models",
    "retrieve_callbacks_for_pruning": "trim_insignificant_weights",
    "retrieve_size_of_lite_model": "trim_insignificant_weights",
    "retrieve_size_of_model": "trim_insignificant_weights",
    "run_grid": "study",
    "use_all_cores": "jax_startup",
    "use_compilation_cache": "jax_startup",
    "write_h5": "export",
    "write_keras": "export",
}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
