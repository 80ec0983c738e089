"""Before Keras is imported: backend, engine, cores, cache, and what is not imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trimgrid import cores, jax_startup, startup
from trimgrid.cores import usable_cores
from trimgrid.errors import InputError
from trimgrid.jax_startup import use_compilation_cache
from trimgrid.startup import check_engine, gpu_at_hand, select_backend

# A program of which JAX keeps something, and what it says of its cache.
COMPILING = """
import collections, jax
found = collections.Counter()
jax.monitoring.register_event_listener(lambda name, **_: found.update([name.split("/")[-1]]))
from trimgrid.startup import select_backend, start_keras
select_backend(None, "jax")
start_keras()
print(float(jax.jit(lambda x: jax.numpy.tanh(x @ x).sum())(jax.numpy.eye(4))))
print(found["cache_hits"], found["cache_misses"])
"""


def python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, with no settings of ours but those given."""
    ours = ("KERAS_BACKEND", "XLA_FLAGS", "TF_CPP_MIN_LOG_LEVEL", "JAX_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )


def printed(code: str, **variables: str) -> str:
    done = python(code, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for compiled programs, in a cache of the test's own."""
    monkeypatch.setenv("TRIMGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.delenv("JAX_ENABLE_COMPILATION_CACHE", raising=False)
    return tmp_path / "cache" / "jax"


@pytest.mark.parametrize(
    ("wanted", "set_before", "default", "chosen"),
    [
        (None, None, "jax", "jax"),
        (None, "", "tensorflow", "tensorflow"),
        (None, "tensorflow", "jax", "tensorflow"),
        ("jax", "tensorflow", "tensorflow", "jax"),
    ],
)
def test_the_backend_is_the_option_then_the_variable_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
    wanted: str | None,
    set_before: str | None,
    default: str,
    chosen: str,
) -> None:
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    if set_before is None:
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
    else:
        monkeypatch.setenv("KERAS_BACKEND", set_before)
    assert select_backend(wanted, default) == chosen
    assert os.environ["KERAS_BACKEND"] == chosen


@pytest.mark.parametrize("name", ["caffe", "torch", "JAX"])
def test_an_unknown_backend(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(InputError, match=f"one of jax, tensorflow. Received: '{name}'"):
        select_backend(name, "jax")
    monkeypatch.setenv("KERAS_BACKEND", name)
    with pytest.raises(InputError, match="KERAS_BACKEND"):
        select_backend(None, "jax")
    assert os.environ["KERAS_BACKEND"] == name


def test_a_backend_is_for_the_whole_process() -> None:
    import keras

    other = {"jax": "tensorflow", "tensorflow": "jax"}[keras.config.backend()]
    with pytest.raises(InputError, match=f"Received: '{other}', where it runs on"):
        select_backend(other, "jax")


@pytest.mark.parametrize(
    ("engine", "backend", "message"),
    [
        ("fast", "jax", "one of auto, vectorized, sequential. Received: engine='fast'"),
        ("vectorized", "tensorflow", r"KERAS_BACKEND=jax.*--backend jax"),
        ("vectorized", "torch", "on the backend 'torch'"),
    ],
)
def test_engines_that_can_not_be(engine: str, backend: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_engine(engine, backend)


@pytest.mark.parametrize(
    ("file", "plugin", "variables", "found"),
    [
        ("driver", "xla_cuda13", {}, True),
        ("driver", "rocm", {}, True),
        ("driver", "xla_cuda13", {"JAX_PLATFORMS": "cuda,cpu"}, True),
        ("driver", "xla_cuda13", {"CUDA_VISIBLE_DEVICES": "0,1"}, True),
        ("driver", None, {}, False),
        ("driver", "tpu", {}, False),
        ("none", "xla_cuda13", {}, False),
        ("driver", "xla_cuda13", {"JAX_PLATFORMS": "cpu"}, False),
        ("driver", "xla_cuda13", {"CUDA_VISIBLE_DEVICES": "-1"}, False),
        ("driver", "xla_cuda13", {"CUDA_VISIBLE_DEVICES": ""}, False),
    ],
)
def test_a_gpu_takes_a_driver_and_a_plugin(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    plugin: str | None,
    variables: dict[str, str],
    found: bool,
) -> None:
    class EntryPoint:
        name = plugin

    (tmp_path / "driver").touch()
    monkeypatch.setattr(startup, "_GPU_FILES", (str(tmp_path / file),))
    plugins = [] if plugin is None else [EntryPoint()]
    monkeypatch.setattr(startup, "entry_points", lambda group: plugins)
    for name in ("JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert gpu_at_hand() is found


@pytest.mark.parametrize(
    ("quota", "wanted"),
    [("max 100000", 4), ("400000 100000", 4), ("250000 100000", 3), ("50000 100000", 1), ("", 4)],
)
def test_the_quota_of_a_container_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, wanted: int
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(cores, "_CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    assert usable_cores() == wanted


CORES = """
import os
{before}
import trimgrid.jax_startup as startup
{patch}
startup.use_all_cores()
import jax
print(jax.local_device_count("cpu"))
"""


@pytest.mark.parametrize(
    ("before", "variables", "devices"),
    [
        ("", {}, "3"),
        ("import jax", {}, "3"),
        ("import jax; jax.config.update('jax_num_cpu_devices', 4)", {}, "4"),
        ("", {"JAX_NUM_CPU_DEVICES": "2"}, "2"),
        ("", {"XLA_FLAGS": "--xla_force_host_platform_device_count=5"}, "5"),
    ],
)
def test_a_device_for_each_core_unless_it_was_chosen(
    before: str, variables: dict[str, str], devices: str
) -> None:
    code = CORES.format(before=before, patch="startup.usable_cores = lambda: 3")
    assert printed(code, **variables) == devices


def test_the_cores_that_the_process_is_bound_to_count() -> None:
    bound = "os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])"
    assert printed(CORES.format(before=bound, patch="")) == "1"
    usable = "from trimgrid.cores import usable_cores; print(usable_cores())"
    assert printed(f"import os; {bound}; {usable}") == "1"


def test_cores_come_too_late_once_jax_runs() -> None:
    before = "import jax; jax.numpy.zeros(1)"
    done = python(CORES.format(before=before, patch="startup.usable_cores = lambda: 3"))
    assert "InputError: The cores must be given to JAX before it starts" in done.stderr


def test_the_second_process_finds_what_the_first_compiled(cache: Path) -> None:
    first, hits_and_misses = printed(COMPILING).splitlines()
    hits, misses = map(int, hits_and_misses.split())
    assert hits == 0
    assert misses > 0
    files = sorted(cache.rglob("*-cache"))
    assert len(files) == misses
    assert cache.stat().st_mode & 0o777 == 0o700
    assert printed(COMPILING).splitlines() == [first, f"{misses} 0"]
    assert sorted(cache.rglob("*-cache")) == files
    # Half a file is as good as none.
    for file in files:
        file.write_bytes(file.read_bytes()[:200])
    done = python(COMPILING)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == first
    assert done.stderr == ""


@pytest.mark.parametrize(
    "variables",
    [{"JAX_ENABLE_COMPILATION_CACHE": "0"}, {"JAX_COMPILATION_CACHE_DIR": "{own}"}],
)
def test_the_users_own_settings_of_the_cache_win(
    tmp_path: Path, cache: Path, variables: dict[str, str]
) -> None:
    given = {key: value.format(own=tmp_path / "own") for key, value in variables.items()}
    printed(COMPILING, **given)
    assert not cache.exists()


def test_without_a_place_for_the_cache_one_line_says_so(tmp_path: Path, cache: Path) -> None:
    cache.parent.write_text("a file where the folder should be")
    done = python(COMPILING)
    assert done.returncode == 0
    [line] = done.stderr.splitlines()
    assert line.startswith("Compiled programs can't be kept: ")
    assert str(cache.parent) in line


def test_a_cache_that_others_may_write_to_is_not_used(cache: Path) -> None:
    """What lies in the cache is run."""
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    assert use_compilation_cache() == f"{cache} can be written to by others"


def test_the_oldest_programs_go_when_there_are_too_many(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "machine").mkdir(parents=True)
    files = [cache / "machine" / f"{i}-cache" for i in range(5)]
    for i, file in enumerate(files):
        file.write_bytes(bytes(100))
        os.utime(file, (1000 + i, 1000 + i))
    os.utime(files[0], (2000, 2000))
    monkeypatch.setattr(jax_startup, "_CACHE_BYTES", 300)
    jax_startup._bound(cache)
    assert [file for file in files if file.exists()] == [files[0], files[3], files[4]]


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_keras_comes_without_the_packages_that_it_only_tries(cache: Path, backend: str) -> None:
    code = f"""
import sys
from trimgrid.startup import select_backend, start_keras
select_backend({backend!r}, "jax")
start_keras()
names = ("tensorflow", "jax", "pandas", "sklearn", "PIL", "matplotlib")
print(*(name for name in names if name in sys.modules))
import matplotlib.figure, PIL, jax
"""
    assert printed(code) == backend


def test_nothing_is_imported_before_the_backend_is_chosen() -> None:
    code = """
import sys
import trimgrid.startup, trimgrid.jax_startup, trimgrid.memory_size
names = {"keras", "jax", "tensorflow", "numpy"}
print(sorted(names & set(sys.modules)))
"""
    assert printed(code) == "[]"


def test_looking_at_a_file_does_without_tensorflow(tmp_path: Path, cache: Path) -> None:
    import keras

    file = tmp_path / "model.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(file)
    code = f"""
import sys
from trimgrid.cli import main
for command in ("inspect", "size"):
    try:
        main([command, {str(file)!r}])
    except SystemExit as ended:
        assert not ended.code, ended.code
    print("tensorflow" in sys.modules)
"""
    said = [line for line in printed(code).splitlines() if line in ("True", "False")]
    assert said == ["False", "False"]
