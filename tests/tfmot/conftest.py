"""Tests beside TFMOT, where it is installed: `pip install 'trimgrid[tfmot]'`."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

collect_ignore_glob: list[str] = []
if find_spec("tensorflow_model_optimization") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    with warnings.catch_warnings():
        # Both import what Python and TensorFlow want to be rid of.
        warnings.simplefilter("ignore", DeprecationWarning)
        import tensorflow_model_optimization  # noqa: F401
        import tf_keras  # noqa: F401
