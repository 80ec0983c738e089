"""Prune a trained Keras model in a grid of attempts and pick the smallest that is good enough.

The public names are imported when they are first used, so that the command line can answer
without loading a framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_MODULES = {
    "Allocation": "allocation.setting",
    "AttemptConfig": "grids.grid",
    "AttemptGrid": "grids.expansion",
    "AttemptInfo": "results",
    "BeginPruning": "begin_pruning",
    "Blocks": "structures.kinds",
    "ConstantSparsity": "schedules",
    "ConversionError": "export.tflite",
    "Cosine": "learning_rates",
    "Distillation": "distillation",
    "Exported": "export.exported",
    "InputError": "errors",
    "IterativePruning": "iterative",
    "MagnitudePruning": "pruning",
    "NofM": "structures.kinds",
    "OneCycle": "learning_rates",
    "OneShot": "one_shot",
    "PolynomialDecay": "schedules",
    "Resources": "executors.work",
    "Results": "runs.results",
    "RunError": "errors",
    "Scan": "runs.scan",
    "Schedule": "schedules",
    "Shrunk": "shrinking.shrunk",
    "StoredAttempt": "stored.attempt",
    "Study": "runs.study",
    "TFLiteConverter": "export.tflite",
    "Training": "training",
    "Units": "structures.kinds",
    "article_grid": "grids.grid",
    "build_pruning_model": "trim_insignificant_weights",
    "copy_model": "models",
    "error_measure": "measures.error_measures",
    "expand_grid": "grids.expansion",
    "export_model": "export.exporting",
    "extract_pruned_model": "trim_insignificant_weights",
    "inspect_weights": "trim_insignificant_weights",
    "inspect_weigths": "trim_insignificant_weights",
    "load_grid": "grids.toml_file",
    "load_model": "models",
    "load_results": "runs.results",
    "magnitude_mask": "masks",
    "measure_model": "export.files",
    "pareto_front": "choosing",
    "print_attempt_infos": "report.table",
    "prunable_variables": "prunable",
    "recommended_grid": "runs.recommending",
    "retrieve_callbacks_for_pruning": "trim_insignificant_weights",
    "retrieve_size_of_lite_model": "trim_insignificant_weights",
    "retrieve_size_of_model": "trim_insignificant_weights",
    "run_grid": "runs.running",
    "shrink_model": "shrinking.shrunk",
    "use_all_cores": "jax_startup",
    "use_compilation_cache": "jax_startup",
    "write_h5": "export.files",
    "write_keras": "export.files",
}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
