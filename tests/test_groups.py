"""A run in groups: the same table as without, whatever happens to the workers."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import keras
import numpy as np
import pytest

import trimgrid
from trimgrid.errors import InputError, RunError
from trimgrid.executors.work import Again, Done, Event, Failed, Resources, Told, Unit, Work
from trimgrid.grids.grid import article_grid
from trimgrid.runs.checking import ORIGINAL
from trimgrid.runs.group_run import GroupRun
from trimgrid.runs.packed import Packed
from trimgrid.runs.placing import placing_of
from trimgrid.runs.run_options import Placing

GRID = article_grid(10)[:4]


class Here:
    """Does units in this process, after they have travelled; some fail, some begin again."""

    slots = 2

    def __init__(self, dies: Sequence[str] = (), loses: bool = False) -> None:
        self.dies, self.loses = dies, loses
        self.done: list[tuple[str, ...]] = []

    def run(
        self, work: Work, units: Sequence[Unit], logs: Path, first: Unit | None = None
    ) -> Generator[Event, None, None]:
        groups = GroupRun(work.shared.unpacked())
        for unit in units if first is None else [first, *units]:
            messages: list[Any] = []
            if any(name in self.dies for name in unit.arguments):
                yield Again(unit, "its worker was killed")
                yield Failed(unit, "its worker was killed by SIGKILL, twice", "")
                continue
            end: Event = Done(unit)
            try:
                groups.do(unit.arguments, messages.append)
            except InputError as error:
                end = Failed(unit, f"InputError: {error}", "")
            self.done.append(unit.arguments)
            for message in messages:
                if not self.loses:
                    yield Told(unit, message)
            yield end


def model() -> Any:
    keras.utils.set_random_seed(7)
    layers = keras.layers.Dense(8, "relu", name="a"), keras.layers.Dense(2, name="b")
    return keras.Sequential([keras.Input((6,), name="in"), *layers], name="net")


def study(start: Any = None, **options: Any) -> trimgrid.Study:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6)).astype("float32")
    y = x[:, :2] * x[:, 2:4]
    settings = {"loss": "mse", "epochs": 3, "batch_size": 8, "pretrain_epochs": 2, **options}
    return trimgrid.Study(start or model(), (x, y), test=(x, y), **settings)


def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, here: Here, group: int = 2, **options: Any
) -> trimgrid.Results:
    placing = Placing(here, group)
    monkeypatch.setattr("trimgrid.runs.study.placing_of", lambda *_, **__: placing)
    return study().run(GRID, folder, tflite=False, progress=False, **options)


def table(results: trimgrid.Results) -> list[tuple[Any, ...]]:
    return [
        (each.name, each.error, each.zipped_h5_size, each.zero_weights, each.status)
        for each in results
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    folder = tmp_path_factory.mktemp("alone") / "run"
    return table(study().run(GRID, folder, tflite=False, progress=False))


def test_groups_give_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: list[Any]
) -> None:
    here, seen = Here(), list[str]()
    results = run(
        tmp_path / "run", monkeypatch, here, on_result=lambda each: seen.append(each.name)
    )
    assert table(results) == alone
    assert seen == [ORIGINAL, *(each.name for each in GRID)]
    names = [each.name for each in GRID]
    assert here.done == [(), tuple(names[:2]), tuple(names[2:])]
    assert results.progress is not None
    assert results.progress.epochs == results.progress.total_epochs == 2 + 3 * len(GRID)


def test_messages_that_are_lost_lose_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: list[Any]
) -> None:
    assert table(run(tmp_path / "run", monkeypatch, Here(loses=True))) == alone


def test_a_group_that_dies_is_given_up_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: list[Any]
) -> None:
    said: list[str] = []
    names = [each.name for each in GRID]
    results = run(tmp_path / "run", monkeypatch, Here(dies=names[:1]), say=said.append)
    assert table(results)[3:] == alone[3:]
    for each in results[1:3]:
        assert each.status.startswith("worker failed: its worker was killed by SIGKILL, twice")
        assert np.isnan(each.error)
        assert each.zipped_h5_size is None
    assert any("once more" in line for line in said)
    assert any("The next run tries again" in line for line in said)
    again = Here()
    assert table(run(tmp_path / "run", monkeypatch, again)) == alone
    assert again.done == [tuple(names[:2])]


def test_what_workers_refuse_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="memory for training must have room for one attempt"):
        run(tmp_path / "run", monkeypatch, Here(), memory=100)


def test_an_original_that_dies_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dies(Here):
        def run(
            self, work: Work, units: Sequence[Unit], logs: Path, first: Unit | None = None
        ) -> Generator[Event, None, None]:
            assert first is not None
            yield Failed(first, "its worker was killed by SIGKILL, twice", "")

    with pytest.raises(RunError, match=r"original model could not be trained: its worker.*log"):
        run(tmp_path / "run", monkeypatch, Dies())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": "slurm"}, r"one of local, ray. Received: executor='slurm'"),
        ({"workers": 0}, "workers"),
        ({"ray_address": "head:6379"}, r'executor="ray". Received: ray_address'),
        ({"group": 3}, r"workers=2 or more. Received: group=3"),
        ({"executor": "ray", "workers": 2}, r"a cluster has its own. Received: workers=2"),
        ({"workers": 2, "group": 0}, "group"),
        ({"executor": "ray", "resources": {"cpus": 1}}, r"Resources. Received: resources=\{'cpus'"),
        ({"workers": 2, "run_dir": "memory://runs/m"}, r"Received: 'memory://runs/m', which is in"),
    ],
)
def test_placing_that_is_none(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        study().run(GRID, **{"run_dir": tmp_path / "run", **options})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("devices", "given", "message"),
    [
        (["gpu:0", "gpu:1"], {"gpus": 1}, r"gpu:1, and gpus=1 .*Give .*Resources\(gpus=2\)"),
        (["gpu:3"], {"gpus": 2}, r"on 1 device, .* gpu:3, and gpus=2 .*gpus=4"),
        (["cpu:0", "cpu:1"], {"cpus": 1.5}, r"cpu:1, and cpus=1.5 .*cpus=2"),
        (["tpu:0"], {"gpus": 1}, r"cores or graphics cards. .*tpu:0\. Run with executor=.local."),
        (["gpu:1", "gpu:0"], {"gpus": 2}, None),
        (["cpu:0"], {}, None),
    ],
)
def test_a_group_of_a_cluster_gets_the_devices_of_a_distribution(
    devices: list[str], given: dict[str, Any], message: str | None
) -> None:
    distribution = SimpleNamespace(device_mesh=SimpleNamespace(devices=np.array(devices)))
    options: dict[str, Any] = {"resources": Resources(**given), "distribution": distribution}
    if message is None:
        assert placing_of(None, "ray", **options) is not None
    else:
        with pytest.raises(InputError, match=message):
            placing_of(None, "ray", **options)


@pytest.mark.parametrize("executor", [{"workers": 2}, {"executor": "ray"}])
def test_tf_data_does_not_travel(tmp_path: Path, executor: dict[str, Any]) -> None:
    tf = pytest.importorskip("tensorflow")
    x = np.zeros((8, 6), "float32")
    rows = tf.data.Dataset.from_tensor_slices((x, x[:, :2])).batch(4)
    study = trimgrid.Study(model(), (x, x[:, :2]), test=rows, loss="mse", epochs=10)
    with pytest.raises(InputError, match=r"tf\.data\.Dataset. Received: one as test data. Give"):
        study.run(GRID, tmp_path / "run", **executor)
    assert not (tmp_path / "run").exists()


@keras.saving.register_keras_serializable("tests")
class Scaled(keras.layers.Layer):  # type: ignore[misc]
    """A layer that only this file knows."""

    def build(self, shape: Any) -> None:
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")

    def call(self, inputs: Any) -> Any:
        return inputs * self.factor


def test_what_pickled_models_do_not_carry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen layers stay frozen, and classes of the caller's are known where the model arrives."""
    from trimgrid.runs.group_run import GroupWork

    frozen = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8, name="a"), Scaled(), keras.layers.Dense(2)]
    )
    frozen.layers[0].trainable = False
    made: list[GroupWork] = []

    class Takes(Here):
        def run(
            self, work: Work, units: Sequence[Unit], logs: Path, first: Unit | None = None
        ) -> Generator[Event, None, None]:
            assert first is not None
            made.append(work.shared.unpacked())
            GroupRun(made[0])
            yield Failed(first, "enough", "")

    placing = Placing(Takes(), 2)
    monkeypatch.setattr("trimgrid.runs.study.placing_of", lambda *_, **__: placing)
    with pytest.raises(RunError):
        study(frozen).run(GRID, tmp_path / "run", tflite=False, progress=False)
    (work,) = made
    assert work.subject.model is not frozen
    flags = [bool(each.trainable) for each in frozen.variables]
    assert [bool(each.trainable) for each in work.subject.model.variables] == flags
    assert work.subject.lengths == study(frozen)._subject.lengths


def test_data_that_can_not_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    lock = threading.Lock()

    def batches() -> Any:
        with lock:
            yield np.ones((4, 6), "float32"), np.ones((4, 2), "float32")

    monkeypatch.setattr("trimgrid.runs.study.placing_of", lambda *_, **__: Placing(Here(), 2))
    bad = trimgrid.Study(model(), batches, test=batches, loss="mse", epochs=10)
    with pytest.raises(InputError, match=r"study.subject.data.train.*function that makes it"):
        bad.run(GRID, tmp_path / "run", tflite=False, progress=False)


def test_classes_are_registered_where_they_arrive(tmp_path: Path) -> None:
    """Under the name that they have here, which saved models are read by."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    try:
        packed = Packed.of(Scaled, {"tests>Scaled": Scaled, "Scaled": Scaled}, "layer")
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    (tmp_path / "packed").write_bytes(pickle.dumps(packed))
    there = (
        "import pickle, keras; made = pickle.load(open('packed', 'rb')).unpacked()\n"
        "print(keras.saving.get_registered_name(made))\n"
        "print(keras.saving.get_registered_object('tests>Scaled') is made)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", there], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["tests>Scaled", "True"], done.stderr


def test_modules_beside_the_script_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside_it.py").write_text("def made():\n    return 7\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    beside = importlib.import_module("beside_it")
    packed = Packed.of(beside.made, {}, "function")
    there = "import pickle, sys; print(pickle.load(sys.stdin.buffer).unpacked()())"
    done = subprocess.run(
        [sys.executable, "-c", there], input=pickle.dumps(packed), capture_output=True, check=False
    )
    assert done.stdout.split() == [b"7"], done.stderr
