"""TensorBoard and MLflow get each attempt once, with its settings, figures, curves and files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from trimgrid.errors import InputError
from trimgrid.loggers import open_logger
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.attempt_files import result_dict
from trimgrid.run_directory.store import Planned, RunDirectory
from trimgrid.runs.results import Results, StoredAttempt, load_results
from trimgrid.shrunk_info import ShrunkInfo

CONFIG = {"schedule": {"class": "ConstantSparsity", "frequency": 100}, "seed": None}


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """A run of one attempt of two seeds."""
    shrunk = ShrunkInfo(
        total_weights=6, nonzero_weights=5, removed={"a": 1}, error=0.25, zipped_tflite_size=7
    )
    info = AttemptInfo("half / of: it", 10, 5, 5, 40, 30, 20, 10, None, 0.5, shrunk=shrunk)
    planned = Planned("00aa", info.name, CONFIG)
    with RunDirectory(tmp_path / "run", {}, {}) as run:
        run.plan([planned])
        columns: dict[str, list[float]] = {
            "seed": [3, 3, 4],
            "epoch": [1, 2, 1],
            "loss": [0.9, 0.8, float("nan")],
        }
        run.write_history(planned.id, columns)
        folder = run.attempt_folder(planned.id)
        content = result_dict(folder, planned.id, info, seeds=[3, 4])
        run.finish(planned.id, content)
    return load_results(tmp_path / "run")


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The points of all curves in a folder of event files."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[tuple[int, float]]] = {}
    for path in folder.rglob("events.*"):
        data = path.read_bytes()
        while data:  # a record: length, checksum, content, checksum
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_tensorboard(results: Results) -> None:
    logger = open_logger("tensorboard", results.folder)
    for _ in range(2):  # the second time it is there already
        logger.log(results[0])
    logger.close()
    (folder,) = (results.folder / "logs" / "tensorboard").iterdir()
    assert folder.name == "half-of-it-00aa"
    found = scalars(folder)
    assert [step for step, _ in found["loss"]] == [1, 2]
    assert found["loss"][0][1] == pytest.approx(0.9)
    assert found["zipped_tflite_size"] == [(0, 10.0)]
    assert found["error"] == [(0, 0.5)]
    assert found["shrunk_weights"] == [(0, 6.0)]
    assert found["shrunk_error"] == [(0, 0.25)]
    assert found["zipped_shrunk_tflite_size"] == [(0, 7.0)]
    assert "shrunk_h5_size" not in found, "it was not measured"
    assert "loss/seed 4" not in found, "NaN is no point of a curve"


@pytest.mark.filterwarnings("ignore")  # MLflow and SQLAlchemy warn of themselves
def test_mlflow(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    logger = open_logger("mlflow", results.folder)
    for _ in range(2):
        logger.log(results[0])
    logger.close()
    client = MlflowClient(tracking_uri=f"sqlite:///{results.folder / 'logs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("trimgrid/run")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "half / of: it"
    assert run.info.status == "FINISHED"
    assert run.data.params["schedule.frequency"] == "100"
    assert run.data.metrics["zipped_tflite_size"] == 10
    assert run.data.metrics["zipped_shrunk_tflite_size"] == 7
    points = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((point.step, point.value) for point in points) == [(1, 0.9), (2, 0.8)]
    assert "history.csv" in [each.path for each in client.list_artifacts(run.info.run_id)]


@pytest.mark.parametrize(
    ("name", "module", "hint"),
    [
        ("tensorboard", "tensorboardX", r"pip install 'trimgrid\[tensorboard\]'"),
        ("mlflow", "mlflow", r"pip install 'trimgrid\[mlflow\]'"),
    ],
)
def test_a_logger_that_is_missing(
    name: str, module: str, hint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked: Any = None
    monkeypatch.setitem(sys.modules, module, blocked)
    with pytest.raises(InputError, match=hint):
        open_logger(name, tmp_path)


def test_an_attempt_without_history(tmp_path: Path) -> None:
    info = StoredAttempt(
        *("failed", 10, 5, 5, None, None, None, None, None, float("nan")),
        id="00bb",
        folder=tmp_path,
        config={},
        status="training failed: the loss became nan at step 3",
    )
    logger = open_logger("tensorboard", tmp_path)
    logger.log(info)
    assert scalars(tmp_path / "logs")["total_weights"] == [(0, 10.0)]
