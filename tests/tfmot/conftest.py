"""Tests beside TFMOT itself: they are collected only where the extra tfmot is installed."""

from __future__ import annotations

import importlib.util
import warnings

TFMOT_INSTALLED = importlib.util.find_spec("tensorflow_model_optimization") is not None
collect_ignore_glob = [] if TFMOT_INSTALLED else ["*"]
if TFMOT_INSTALLED:
    with warnings.catch_warnings():  # its import compares versions in a way that is deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        import tensorflow_model_optimization  # noqa: F401
