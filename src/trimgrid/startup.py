"""Before Keras is imported: which backend it gets, and how it is imported without what it tries."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from trimgrid.errors import InputError
from trimgrid.jax_startup import use_all_cores, use_compilation_cache

ENGINES = ("auto", "vectorized", "sequential")
BACKENDS = ("jax", "tensorflow")
# What Keras and TensorFlow import only to see whether it is there.
_EXTRAS = {
    "jax": ("pandas", "sklearn", "PIL", "matplotlib"),
    "tensorflow": ("pandas", "sklearn", "PIL", "matplotlib", "jax", "scipy"),
}
# A graphics card of NVIDIA or AMD, as its driver shows it.
_GPU_FILES = ("/dev/nvidiactl", "/dev/kfd")


@dataclass
class _Started:
    hurried: bool = False


_started = _Started()


def check_engine(engine: str, backend: str) -> None:
    """Check that an engine exists and can run on a backend.

    Raises `InputError` if not.

    >>> check_engine("vectorized", "jax")
    >>> check_engine("vectorized", "tensorflow")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: The vectorized engine runs on JAX only. \
Received: engine='vectorized' on the backend 'tensorflow'. Set KERAS_BACKEND=jax before Keras is \
imported (--backend jax), or take engine='auto'.
    """
    if engine not in ENGINES:
        raise InputError(
            f"The engine must be one of {', '.join(ENGINES)}. Received: engine={engine!r}."
        )
    if engine == "vectorized" and backend != "jax":
        raise InputError(
            "The vectorized engine runs on JAX only. "
            f"Received: engine='vectorized' on the backend {backend!r}. "
            "Set KERAS_BACKEND=jax before Keras is imported (--backend jax), "
            "or take engine='auto'."
        )


def select_backend(wanted: str | None, default: str) -> str:
    """Choose Keras' backend for this process: `wanted`, else KERAS_BACKEND, else the default.

    Returns its name, and leaves it in KERAS_BACKEND. Imports nothing; must be called before Keras
    is imported. Raises `InputError` for a backend that is unknown, or if Keras already runs on
    another one.

    >>> select_backend("caffe", "jax")
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: The backend must be one of jax, tensorflow. Received: 'caffe'. \
Name it with --backend or in KERAS_BACKEND.
    """
    name = wanted or os.environ.get("KERAS_BACKEND") or default
    if name not in BACKENDS:
        raise InputError(
            f"The backend must be one of {', '.join(BACKENDS)}. Received: {name!r}. "
            "Name it with --backend or in KERAS_BACKEND."
        )
    keras = sys.modules.get("keras")
    if keras is not None and keras.config.backend() != name:
        raise InputError(
            "Keras can't change its backend once it is imported. "
            f"Received: {name!r}, where it runs on {keras.config.backend()!r}."
        )
    os.environ["KERAS_BACKEND"] = name
    return name


def gpu_at_hand() -> bool:
    """Tell whether JAX will find a GPU, without importing it.

    That takes a driver, a plugin of JAX for it (`pip install "trimgrid[cuda]"`), and that neither
    JAX_PLATFORMS nor CUDA_VISIBLE_DEVICES leaves it out.

    >>> isinstance(gpu_at_hand(), bool)
    True
    """
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms and not {"cuda", "rocm", "gpu"} & set(platforms.lower().split(",")):
        return False
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    if not any(Path(file).exists() for file in _GPU_FILES):
        return False
    # The group in which plugins announce themselves to JAX.
    return any(
        "cuda" in each.name or "rocm" in each.name for each in entry_points(group="jax_plugins")
    )


def started_in_a_hurry() -> bool:
    """Tell whether `start_keras` imported Keras without some of what it can use.

    >>> started_in_a_hurry()
    False
    """
    return _started.hurried


def start_keras(hurry: bool = True) -> None:
    """Import Keras on the backend selected, in the way that suits a program of its own.

    On JAX every core is a device, compiled programs are kept for the next run, and TensorFlow is
    imported only when something really uses it. One line on standard error says if programs can't
    be kept.

    Keras and TensorFlow import some packages only to see whether they are there, which takes two
    thirds of the time. They are left out: Keras' scikit-learn wrappers, its drawing, its image
    files, and data frames as training data do not work in this process. Afterwards the packages
    themselves can be imported as ever. Without `hurry` Keras is imported whole.
    """
    backend = os.environ.get("KERAS_BACKEND", "")
    _started.hurried = hurry and ("keras" not in sys.modules or _started.hurried)
    # Else TensorFlow tells of its own start, and JAX' loader of compiled programs takes what they
    # prefer for what they need: long lines at each start on some processors.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    gc.disable()  # a collection in the middle goes through all that was imported so far
    try:
        with _without(_EXTRAS.get(backend, ()) if hurry else ()):
            if backend == "tensorflow":
                import_tensorflow()
            elif backend == "jax" and "keras" not in sys.modules:
                use_all_cores()
                if (problem := use_compilation_cache()) is not None:
                    print(f"Compiled programs can't be kept: {problem}.", file=sys.stderr)
            import_module("keras")
        if backend == "jax":
            from trimgrid.without_tensorflow import serialize_without_tensorflow

            serialize_without_tensorflow()
    finally:
        gc.freeze()  # nothing of it will ever be garbage
        gc.enable()


def import_tensorflow() -> None:
    """Import TensorFlow without its notes on its own start, which no setting turns off."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # A new model is a new trace: that is no news here.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import_module("tensorflow")
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Make the import of packages that are not loaded yet fail."""
    blocked = [name for name in names if name not in sys.modules]
    for name in blocked:
        sys.modules[name] = None  # type: ignore[assignment]  # makes `import` raise ImportError
    try:
        yield
    finally:
        for name in blocked:
            del sys.modules[name]
