"""Settings for every test: the backend, and time for property tests on slow machines."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from hypothesis import settings

settings.register_profile("trimgrid", deadline=None, derandomize=True)
settings.load_profile("trimgrid")
