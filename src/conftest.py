"""Modules that need TFMOT are collected only where it is installed."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

collect_ignore: list[str] = []
if find_spec("tensorflow_model_optimization") is None:
    legacy = ("fitting", "planned", "toolkit", "wrapping")
    collect_ignore = [f"trimgrid/legacy/{name}.py" for name in legacy]
    collect_ignore.append("trimgrid/engines/tfmot.py")
else:
    with warnings.catch_warnings():  # its import compares versions in a way that is deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        import tensorflow_model_optimization  # noqa: F401
