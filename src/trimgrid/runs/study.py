"""A study: a model, its data and how good it is; its runs are kept in run directories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras

from trimgrid.arguments import check_integer
from trimgrid.compiled_settings import compiled_settings, load_compiled
from trimgrid.data.splits import open_splits
from trimgrid.engines.distribution import Distribution, check_distribution
from trimgrid.errors import InputError
from trimgrid.executors.work import Resources
from trimgrid.export.tflite import TFLiteConverter
from trimgrid.grids.grid import AttemptConfig, article_grid
from trimgrid.legacy.refusing import IN_KERAS_3
from trimgrid.legacy.settings import in_keras_3
from trimgrid.legacy.telling import check_trainable_by_tfmot, is_legacy
from trimgrid.measures.error_kinds import ErrorMeasure
from trimgrid.measures.error_measures import error_measure
from trimgrid.prunable import check_prunable_model
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.elsewhere import local_folder
from trimgrid.run_directory.store import MANIFEST, RunDirectory, read_manifest
from trimgrid.runs.asking import optuna
from trimgrid.runs.checking import Opened, Say, check_attempts
from trimgrid.runs.keeping import Logger
from trimgrid.runs.placing import check_shared, placing_of
from trimgrid.runs.recommending import highest_rate, recommended_grid
from trimgrid.runs.results import Results
from trimgrid.runs.run_options import RunOptions, Subject
from trimgrid.runs.scan import Scan
from trimgrid.runs.scanning import scan_model
from trimgrid.runs.search import Search
from trimgrid.runs.searching import BATCH, SearchOptions, run_search
from trimgrid.runs.sensing import sensitivity_of
from trimgrid.runs.settings import about, engine_of, shared_settings
from trimgrid.runs.stored_run import StoredRun, reported
from trimgrid.runs.study_data import StudyData
from trimgrid.sensitivity import SPARSITIES, Sensitivity
from trimgrid.shrunk_info import SHRUNK_SIZES
from trimgrid.storage.copies import shown
from trimgrid.structures.kinds import Structure
from trimgrid.training import Training

Model = Any
"""A Keras model, or the path of one."""


class Study:
    """A model, its data, how it is trained and how good it is: what all attempts of a grid share.

    `model`: a Keras model, or the path of a `.keras` or `.h5` file; it stays as it is. It is taken
    as trained, unless `pretrain_epochs` says for how many epochs the original is to be trained.
    A model of `tf_keras` is trained by TFMOT (extra `tfmot`), see docs/coming-from-tfmot.md.

    `train`, `validation`, `test`: arrays (x, y) or (x, y, sample weights), where x and y may be
    dicts or lists for several inputs and outputs; a `tf.data.Dataset`, a `PyDataset`, an iterable
    of batches or a function that gives one; the path of an `.npz` file; "tfds:NAME" for a dataset
    of TensorFlow Datasets: see `trimgrid.data.splits.open_splits`. Training data trains, validation
    data is watched in the histories, and on the test data (by default the validation data) the
    error is measured.

    `epochs`: of each attempt. `loss`, `optimizer`, `metrics`, `loss_weights`: what Keras'
    `compile` takes; what is not given is taken from the compiled model, and the optimizer is Adam
    where there is none. `batch_size` counts examples; `seed` determines the order of the data and
    the random layers; `class_weight` maps class numbers to weights in the loss.

    `error`: how bad a model is, smaller is better: a metric or loss of Keras or its name, a
    function of the model, or of targets and predictions; by default the loss on the test data.
    Metrics of which more is better count as 1 - metric. See `trimgrid.measures.error_measures`.

    `distribution`: a `keras.distribution.DataParallel` or `ModelParallel` under which the original
    and each attempt are trained, one after the other, each on all devices of its mesh (JAX). Keras'
    own distribution stays as it is, and what is measured are plain models. See docs/scaling.md.

    Raises `InputError` for whatever does not fit together, before any training.

    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> x, y = np.ones((6, 4), "float32"), np.zeros((6, 2), "float32")
    >>> Study(model, (x, y), test=(x, y), loss="mse", epochs=3).error_name
    'loss: mse'
    """

    def __init__(
        self,
        model: Model,
        train: Any,
        validation: Any = None,
        test: Any = None,
        *,
        epochs: int,
        loss: Any = None,
        optimizer: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        class_weight: Mapping[int, float] | None = None,
        batch_size: int = 32,
        error: Any = None,
        seed: int = 0,
        pretrain_epochs: int = 0,
        distribution: Distribution | None = None,
    ) -> None:
        if isinstance(model, str | Path):
            self.model, known = load_compiled(model)
            self._name = Path(model).stem
        else:
            self.model, known = _built(model), compiled_settings(model)
            self._name = str(model.name)
        loss, optimizer, metrics, error = map(in_keras_3, (loss, optimizer, metrics, error))
        loss = known.loss if loss is None else loss
        if loss is None:
            why = known.no_loss or "a model that is not compiled"
            raise InputError(
                "A study needs the loss that the model is trained with. "
                f'Received: loss=None and {why}. Give for example loss="mse".'
            )
        optimizer = known.optimizer if optimizer is None else optimizer
        self.training = Training(
            loss=loss,
            optimizer="adam" if optimizer is None else optimizer,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            metrics=(known.metrics if metrics is None else metrics) or (),
            class_weight=class_weight,
            loss_weights=known.loss_weights if loss_weights is None else loss_weights,
        )
        self.pretrain_epochs = check_integer("pretrain_epochs", pretrain_epochs, minimum=0)
        self.measure = error_measure(error, loss, self.training.loss_weights)
        check_prunable_model(self.model)
        splits = open_splits(train, validation, test)
        self.data = StudyData.open(splits, self.model, self.training, self.measure)
        self.distribution = distribution
        if distribution is not None:
            check_distribution(distribution, self.model, self.data.train, self.training)
        self._notes = (
            *(f"Of what the model was compiled with, {each}." for each in known.left_out),
            *splits.notes,
        )

    @property
    def error_name(self) -> str:
        """What the error is, such as "loss: mse" or "1 - accuracy"."""
        return self.measure.name

    def recommended_grid(
        self, allocation: str = "lamp", structure: Structure | str | None = None
    ) -> list[AttemptConfig]:
        """Return `trimgrid.recommended_grid` for this study's model, steps and learning rate.

        Of a `tf_keras` model `article_grid()`: TFMOT has no allocations and no structures here.
        """
        if is_legacy(self.model):
            return article_grid()
        return recommended_grid(
            self.model,
            self.steps,
            learning_rate=highest_rate(self.training.optimizer, self._subject.lengths.original),
            allocation=allocation,
            structure=structure,
        )

    def run(
        self,
        grid: Sequence[AttemptConfig] | None = None,
        run_dir: str | Path | None = None,
        *,
        engine: str = "auto",
        repeats: int = 1,
        memory: int | None = None,
        tflite: bool = True,
        shrink: bool = False,
        checkpoint_seconds: float = 60.0,
        progress: bool | None = None,
        on_result: Callable[[AttemptInfo], None] | None = None,
        say: Say | None = None,
        loggers: Sequence[Logger] = (),
        converter: TFLiteConverter | None = None,
        executor: str = "local",
        workers: int = 1,
        ray_address: str | None = None,
        group: int | None = None,
        resources: Resources | None = None,
    ) -> Results:
        """Train and measure the original and every attempt of a grid; return what the run directory
        then holds, after writing its page: see `Results.report`. Why a page could not be
        written `say` is told.

        `grid`: by default the attempts of `recommended_grid`. `run_dir`: by default runs/NAME
        of the model, or of its file; a path, or a URL such as "s3://bucket/run" (extra `s3`;
        others that fsspec knows: `storage`). A run on a directory that there is already goes on
        where that one stopped: what is finished is not trained again, trainings under way go on
        from their last checkpoint, to the same bits as if they had never stopped, and new attempts
        are added.
        Attempts that are there keep their names, where those of the grid are automatic ones. Only
        one process at a time works on a directory. The same bits need data that is the same each
        time: arrays, or a stream whose epochs do not depend on those before.

        `engine`, `repeats`, `memory` (bytes): see `trimgrid.run_grid`. `tflite=False` leaves the
        conversions away. `shrink` measures each model without its idle units too, as
        `AttemptInfo.shrunk`: its weights, files and error. It changes no training and no id, so
        that a run may be given it later: what is finished is then measured from its model file.
        `checkpoint_seconds`: of training between two checkpoints; at Ctrl-C and
        SIGTERM there is one, too. `progress`: a bar on standard error, by default on a terminal.
        `on_result` is called with each result, the original first, then in the order of the grid.
        `say` gets a line on each choice made. `loggers` get each result too. `converter`: one that
        runs already.

        `workers`: so many processes of this machine train groups of attempts at the same time, each
        on its share of the cores. `executor="ray"`: a Ray cluster does (extra `ray`), that of
        `ray_address`, or of RAY_ADDRESS, or one of this machine; its nodes must see the run
        directory. `group`: how many attempts a worker trains at once, by default what suits the
        engine; `resources`: what a group takes on a cluster. The table is the same as without
        workers. A group whose worker dies begins once more from its last checkpoint; one that dies
        twice is given up, which the `status` of its attempts says, and the next run tries it
        again. See docs/scaling.md.

        Raises `InputError` before any training for a grid that can't be run, a directory that
        another process uses, one whose settings differ, and a URL that can't be reached; `RunError`
        if the original can't be trained; `OSError`, which names the file or the URL, for a full
        disk and a storage that fails.
        """
        folder = self._folder(run_dir)
        grid = self.recommended_grid() if grid is None else grid
        check_attempts(grid, self.training, self._subject.lengths, self.model)
        options = self._options(
            folder,
            engine,
            repeats,
            tflite,
            memory=memory,
            checkpoint_seconds=checkpoint_seconds,
            progress=progress,
            on_result=on_result,
            say=say,
            loggers=loggers,
            converter=converter,
            shrink=shrink,
            placing=placing_of(
                self.model,
                executor,
                workers,
                ray_address=ray_address,
                group=group,
                resources=resources,
                distribution=self._subject.distribution,
            ),
        )
        if options.placing is not None:
            check_shared(self._subject.data, shown(folder))
        with StoredRun(self._subject, folder, options) as run:
            run.train(grid)
        return reported(folder, run.say)

    def scan(
        self,
        sparsities: int | Sequence[float] = 200,
        allocations: str | Sequence[str] = ("uniform",),
    ) -> Scan:
        """Return the error of the model pruned to each of many sparsities, without any training.

        `sparsities`: so many points, evenly spread from 0 on, or a list of fractions in [0, 1).
        `allocations`: how the sparsity is shared out among the tensors, "uniform", "erdos_renyi",
        "global_magnitude" and "lamp": see `trimgrid.allocation.setting.Allocation`. The model is
        pruned as it is, trained or not, and stays as it is. The error is that of the study, on its
        test data. An attempt with the schedule `OneShot` and the same allocation, named, has the
        same error at the same sparsity, but for the rounding of sums.

        All points are predicted in one compiled program. An error that is a function of the model
        is asked for at one point after the other.

        Raises `InputError` for sparsities outside [0, 1), allocations that are not known and a
        `tf_keras` model.

        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, use_bias=False)])
        >>> x = np.random.default_rng(0).random((6, 4), "float32")
        >>> study = Study(model, (x, model(x)), test=(x, model(x)), loss="mse", epochs=1)
        >>> scan = study.scan(4)
        >>> [point.sparsity for point in scan], scan[0].error
        ([0.0, 0.25, 0.5, 0.75], 0.0)
        """
        self._check_keras_3("A scan")
        test = self.data.test or self.data.train
        return scan_model(self.model, self.measure, test, sparsities, allocations)

    def sensitivity(
        self, sparsities: Sequence[float] = SPARSITIES, run_dir: str | Path | None = None
    ) -> Sensitivity:
        """Return the error of the model with each tensor pruned alone, without any training.

        `sparsities`: fractions in (0, 1), for each tensor. What is found says how far each tensor
        can be pruned alone, and which ones to spare: see `trimgrid.Sensitivity`. With `run_dir` it
        is kept in the run directory of this study too, where tables and pages find it. The model
        is pruned as it is, trained or not, and stays as it is; the error is that of the study, on
        its test data.

        All points are predicted in one compiled program. An error that is a function of the model
        is asked for at one point after the other.

        Raises `InputError` for sparsities outside [0, 1), a `tf_keras` model, and a run directory
        of another study.

        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, use_bias=False)])
        >>> x = np.random.default_rng(0).random((6, 4), "float32")
        >>> study = Study(model, (x, model(x)), test=(x, model(x)), loss="mse", epochs=1)
        >>> [point.sparsity for point in study.sensitivity([0.25, 0.5])]
        [0.25, 0.5]
        """
        self._check_keras_3("A sensitivity")
        if self.pretrain_epochs > 0:
            raise InputError(
                "A sensitivity is one of a trained model. "
                f"Received: a study with pretrain_epochs={self.pretrain_epochs}, which trains it "
                "first. Give the study the trained model, or let a search do both."
            )
        test = self.data.test or self.data.train
        if run_dir is None:
            return sensitivity_of(self.model, self.measure, test, sparsities)
        folder = local_folder(run_dir)
        known = read_manifest(folder).settings if (folder / MANIFEST).exists() else {}
        settings = self._settings(
            engine_of(self.model, folder, "auto", self.distribution)[1],
            int(known.get("repeats", 1)),
            bool(known.get("tflite", True)),
        )
        with RunDirectory(folder, settings, about()) as store:
            found = sensitivity_of(self.model, self.measure, test, sparsities)
            store.write_sensitivity(found)
        return found

    def search(
        self,
        max_increase: float | None = None,
        size: str = "zipped_tflite_size",
        budget: int = 64,
        run_dir: str | Path | None = None,
        *,
        max_error: float | None = None,
        batch: int = BATCH,
        seed: int = 0,
        sampler: str = "tpe",
        engine: str = "auto",
        memory: int | None = None,
        tflite: bool = True,
        shrink: bool = False,
        checkpoint_seconds: float = 60.0,
        progress: bool | None = None,
        on_result: Callable[[AttemptInfo], None] | None = None,
        say: Say | None = None,
        loggers: Sequence[Logger] = (),
        converter: TFLiteConverter | None = None,
    ) -> Search:
        """Search for the smallest model that is good enough; return what was found.

        What is searched is how much is pruned, how that is shared out among the tensors, the
        highest learning rate, and how long the masks are chosen anew. `budget` attempts are
        trained, `batch` of them at a time, and Optuna (extra `search`) is asked for each batch,
        given the errors and sizes of those before. The first batch begins with what the
        sensitivity of the tensors says. Attempts that others beat in both loss and weights are
        stopped early, after half and after three quarters of the epochs: see `trimgrid.halving`.

        `size`: a zipped one of `trimgrid.results.SIZES`, or one of those without idle units, with
        which each model is shrunk too. `max_increase`, `max_error`: what is good enough, as
        `Results.best` has it, by default 5 % above the original's error. `seed`: of the search.
        `sampler`: "tpe", or "random" to compare with. All others are those of `run`. The attempts
        are in the run directory like any other, and a search that was stopped goes on there, with
        the same attempts as if it had never stopped. A greater budget continues a search.

        Raises `InputError` for what can't be searched, a `tf_keras` model and a missing Optuna,
        and all that `run` raises.
        """
        self._check_keras_3("A search")
        options = SearchOptions(max_error, max_increase, size, budget, batch, seed, sampler)
        if not tflite and "tflite" in size:
            raise InputError(
                "A search needs the size that it looks for. "
                f"Received: size={size!r} without conversions to .tflite. Let it convert, or give "
                "size='zipped_keras_size'."
            )
        optuna()
        folder = self._folder(run_dir)
        run_options = self._options(
            folder,
            engine,
            1,
            tflite,
            memory=memory,
            checkpoint_seconds=checkpoint_seconds,
            progress=progress,
            on_result=on_result,
            say=say,
            loggers=loggers,
            converter=converter,
            shrink=shrink or size in SHRUNK_SIZES,
        )
        peak = highest_rate(self.training.optimizer, self._subject.lengths.original)
        return run_search(self._subject, folder, run_options, options, self.measure, peak)

    def evaluate(self, model: Any) -> tuple[Any, float]:
        """Return the predictions of a model on the test data, and their error."""
        return _evaluated(self.measure, self.data.test or self.data.train, model)

    @property
    def steps(self) -> int:
        """The number of batches on which each attempt trains."""
        return len(self.data.train.sizes) * self.training.epochs

    def _folder(self, run_dir: str | Path | None) -> Path:
        return local_folder(run_dir) if run_dir is not None else Path("runs", self._name)

    def _check_keras_3(self, what: str) -> None:
        if is_legacy(self.model):
            raise InputError(
                f"{what} is one of a model of Keras 3. Received: the tf_keras model "
                f"{self.model.name!r}. Run a grid, or {IN_KERAS_3}."
            )

    @property
    def _subject(self) -> Subject:
        return Subject(
            self.model,
            self.data,
            self.training,
            self.pretrain_epochs,
            partial(_evaluated, self.measure, self.data.test or self.data.train),
            self._notes,
            self.distribution,
        )

    def _options(
        self, folder: Path, engine: str, repeats: int, tflite: bool, **how: Any
    ) -> RunOptions:
        """How a run or a search is done in a run directory; `how`: all else that it was told."""
        wanted, settled = engine_of(self.model, folder, engine, self.distribution)
        settings = self._settings(settled, repeats, tflite)
        return RunOptions(settings=settings, engine=wanted, repeats=repeats, tflite=tflite, **how)

    def _settings(self, engine: str, repeats: int, tflite: bool) -> dict[str, Any]:
        return shared_settings(
            self.model,
            self.data,
            self.training,
            self.pretrain_epochs,
            self.measure,
            engine=engine,
            repeats=repeats,
            tflite=tflite,
            distribution=self.distribution,
        )


def _evaluated(measure: ErrorMeasure, test: Opened, model: Any) -> tuple[Any, float]:
    # A function of the model that brings its own data takes none of this.
    return measure.evaluate(model, test)


def _built(model: Any) -> Any:
    if is_legacy(model):
        check_trainable_by_tfmot(model)
    elif not isinstance(model, keras.Model):
        raise InputError(
            "A study prunes a Keras model, or the file of one. "
            f"Received: {type(model).__name__}. Give a keras.Model or a path."
        )
    if not model.built:
        raise InputError(
            "A model must be built before it is studied. "
            f"Received: {model.name!r} without weights. Call it once on a batch of data."
        )
    return model
