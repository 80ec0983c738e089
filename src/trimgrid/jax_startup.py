"""Before JAX starts: a device for each core, and a folder for the programs that it compiles."""

from __future__ import annotations

import os
import platform
import stat
import warnings
from contextlib import suppress
from hashlib import sha256
from importlib import import_module
from pathlib import Path

from trimgrid.cache import cache_folder
from trimgrid.cores import usable_cores
from trimgrid.errors import InputError

# Programs of the size of ours take 10 to 300 kB each.
_CACHE_BYTES = 256 * 2**20
# Microseconds of processor time in each period of so many, or "max": where Linux says so.


def use_all_cores() -> None:
    """Let JAX have one CPU device for each core that this process may use.

    The vectorized engine lays the attempts over all devices, and on a CPU JAX has one, whatever the
    cores, unless it is told before it starts. So call this before the first operation of JAX or
    Keras. It does nothing to a GPU, and leaves a number of devices alone that was chosen already:
    with the setting `jax_num_cpu_devices`, JAX_NUM_CPU_DEVICES or XLA_FLAGS.

    Raises `InputError` if JAX has started already.

    >>> import subprocess, sys
    >>> devices = "import jax; print(jax.local_device_count('cpu') == usable_cores())"
    >>> code = f"from trimgrid.jax_startup import *; use_all_cores(); {devices}"
    >>> subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    'True\\n'
    """
    config = import_module("jax").config
    by_flag = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    cores = usable_cores()
    if by_flag or config.jax_num_cpu_devices >= 0 or cores == 1:
        return
    try:
        config.update("jax_num_cpu_devices", cores)
    except RuntimeError as error:
        raise InputError(
            "The cores must be given to JAX before it starts. "
            "Received: a JAX that runs already. "
            "Call trimgrid.use_all_cores() before the first operation of JAX or Keras."
        ) from error


def use_compilation_cache() -> str | None:
    """Let JAX keep the programs that it compiles, so that the next run need not compile them.

    They are kept in the user's cache folder, at most 256 MiB of them; what was compiled longest ago
    goes first. Call this before JAX compiles. The settings JAX_COMPILATION_CACHE_DIR and
    JAX_ENABLE_COMPILATION_CACHE of a user win: nothing is done then.

    Never fails: returns why there is no cache, or None if there is one. A folder that others may
    write to is not used, because what lies there is run.

    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, JAX_ENABLE_COMPILATION_CACHE="false"):
    ...     print(use_compilation_cache())
    None
    """
    if {"JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"} & set(os.environ):
        return None
    try:
        folder = cache_folder() / "jax"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"{folder} can't be written to"
        if hasattr(os, "getuid"):
            found = folder.stat()
            others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if found.st_uid != os.getuid() or others:
                return f"{folder} can be written to by others"
        _bound(folder)
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        return str(error)
    config = import_module("jax").config
    config.update("jax_compilation_cache_dir", str(folder / _machine()))
    config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # A full disk, or half a file where a process was killed: JAX compiles as if there was nothing.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    return None


def _machine() -> str:
    """Return a name for this kind of processor.

    A home may be shared by several machines, and a program that was compiled for a processor with
    more instructions would end the process.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    kinds = ("vendor_id", "model name", "flags", "Features", "CPU part")
    known = sorted({line for line in lines if line.startswith(kinds)})
    return sha256("\n".join([platform.machine(), *known]).encode()).hexdigest()[:16]


def _bound(folder: Path) -> None:
    """Remove the oldest files until the rest is small enough.

    JAX can do this itself, but then locks the folder at each program and needs a package more.
    """
    files: list[tuple[float, int, Path]] = []
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # another process does the same
            if file.is_file():
                found = file.stat()
                files.append((found.st_mtime, found.st_size, file))
    size = sum(each[1] for each in files)
    for _, bytes_of_it, file in sorted(files):
        if size <= _CACHE_BYTES:
            break
        file.unlink(missing_ok=True)
        size -= bytes_of_it
