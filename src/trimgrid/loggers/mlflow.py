"""Results for MLflow: an attempt is a run with parameters, metrics and files."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

from trimgrid.loggers.facts import curves, figures, parameters
from trimgrid.optional import optional_modules
from trimgrid.run_directory.elsewhere import present
from trimgrid.stored.attempt import StoredAttempt

_TAG = "trimgrid.attempt"


class MLflowLogger:
    """Logs to the server that MLFLOW_TRACKING_URI names, else to `logs/mlflow.db` in the run
    directory: `mlflow ui --backend-store-uri sqlite:///R/logs/mlflow.db` shows it.

    The experiment is named after the run directory. An attempt that is there already is not logged
    again.

    Raises `InputError` if the package mlflow is missing.
    """

    def __init__(self, run_dir: Path) -> None:
        (mlflow,) = optional_modules("Logging to MLflow", "mlflow", "mlflow", "mlflow")
        self._new_client = mlflow.MlflowClient
        self._run_dir = run_dir.absolute()

    def log(self, attempt: StoredAttempt) -> None:
        """Log an attempt, unless it is there."""
        from mlflow.entities import Metric, Param

        client, experiment = self._opened
        for there in client.search_runs([experiment], f"tags.`{_TAG}` = '{attempt.id}'"):
            if there.info.status == "FINISHED":
                return
            client.delete_run(there.info.run_id)  # of a process that was killed over it
        tags = {_TAG: attempt.id, "status": attempt.status}
        run = client.create_run(experiment, run_name=attempt.name, tags=tags)
        metrics = [Metric(name, value, 0, epoch) for name, epoch, value in curves(attempt)]
        metrics += [Metric(name, value, 0, 0) for name, value in figures(attempt).items()]
        settings = [Param(key, str(value)) for key, value in parameters(attempt).items()]
        for start in range(0, max(len(metrics), 1), 1000):  # as many as a server takes at once
            client.log_batch(
                run.info.run_id,
                metrics=metrics[start : start + 1000],
                params=settings if start == 0 else [],
            )
        for name in attempt.files:
            client.log_artifact(run.info.run_id, str(present(attempt.folder / name)))
        client.set_terminated(run.info.run_id)

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The client and the experiment's id. Not before the first result: until the run begins
        there must be nothing in its directory."""
        logs, uri = self._run_dir / "logs", os.environ.get("MLFLOW_TRACKING_URI")
        if uri is None:
            logs.mkdir(parents=True, exist_ok=True)
        client = self._new_client(tracking_uri=uri or f"sqlite:///{logs / 'mlflow.db'}")
        name = f"trimgrid/{self._run_dir.name}"
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            return client, experiment.experiment_id
        files = None if uri else (logs / "mlflow").as_uri()
        return client, client.create_experiment(name, artifact_location=files)

    def close(self) -> None:
        """Nothing is left to do: each run was ended."""
