"""A study: a model, its data and how good it is; its runs are kept in run directories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import keras

from trimgrid.arguments import check_flag, check_integer
from trimgrid.compiled_settings import compiled_settings, load_compiled
from trimgrid.data.splits import open_splits
from trimgrid.engines.choice import choose_engine
from trimgrid.errors import InputError, first_line
from trimgrid.export.tflite import TFLiteConverter
from trimgrid.grids.grid import AttemptConfig, article_grid
from trimgrid.legacy.refusing import IN_KERAS_3
from trimgrid.legacy.settings import in_keras_3
from trimgrid.legacy.telling import check_trainable_by_tfmot, is_legacy
from trimgrid.measures.error_measures import error_measure
from trimgrid.prunable import check_prunable_model
from trimgrid.results import AttemptInfo
from trimgrid.run_directory.details import updates_of
from trimgrid.run_directory.store import MANIFEST, RunDirectory, read_manifest
from trimgrid.runs.checking import ORIGINAL, Lengths, Say, check_amounts, check_attempts
from trimgrid.runs.keeping import Logger, RunKeeper
from trimgrid.runs.measuring import first_samples
from trimgrid.runs.planning import plan_attempts, seeds_of, with_known_names
from trimgrid.runs.progress import Progress
from trimgrid.runs.recommending import highest_rate, recommended_grid
from trimgrid.runs.results import Results, load_results
from trimgrid.runs.running import run_attempts
from trimgrid.runs.scan import Scan
from trimgrid.runs.scanning import scan_model
from trimgrid.runs.settings import about, model_digest, platform, training_settings, versions
from trimgrid.runs.shrinking import Shrinker
from trimgrid.runs.shrinking_later import lacks_shrunk, with_shrunk
from trimgrid.runs.study_data import StudyData
from trimgrid.schedule_kinds import is_trained
from trimgrid.scratch import scratch_folder
from trimgrid.startup import ENGINES
from trimgrid.stored.attempt import StoredAttempt
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
        self._notes = (
            *(f"Of what the model was compiled with, {each}." for each in known.left_out),
            *splits.notes,
        )

    @property
    def error_name(self) -> str:
        """What the error is, such as "loss: mse" or "1 - accuracy"."""
        return self.measure.name

    def recommended_grid(self, allocation: str = "lamp") -> list[AttemptConfig]:
        """Return `trimgrid.recommended_grid` for this study's model, steps and learning rate.

        Of a `tf_keras` model `article_grid()`: TFMOT has no allocations.
        """
        if is_legacy(self.model):
            return article_grid()
        lengths = Lengths.of(self.model, self.data.train, self.training, self.pretrain_epochs)
        peak = highest_rate(self.training.optimizer, lengths.original)
        return recommended_grid(self.model, self.steps, learning_rate=peak, allocation=allocation)

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
    ) -> Results:
        """Train and measure the original and every attempt of a grid; return what the run directory
        then holds, after writing its page: see `Results.report`. Why a page could not be
        written `say` is told.

        `grid`: by default the attempts of `recommended_grid`. `run_dir`: by default runs/NAME
        of the model, or of its file. A run on a directory that there is already goes on where that
        one stopped: what is finished is not trained again, trainings under way go on from their
        last checkpoint, to the same bits as if they had never stopped, and new attempts are added.
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

        Raises `InputError` before any training for a grid that can't be run, a directory that
        another process uses, and one whose settings differ; `RunError` if the original can't be
        trained; `OSError`, which names the file, for a full disk.
        """
        folder = Path(run_dir) if run_dir is not None else Path("runs", self._name)
        grid = self.recommended_grid() if grid is None else grid
        lengths = Lengths.of(self.model, self.data.train, self.training, self.pretrain_epochs)
        check_attempts(grid, self.training, lengths, self.model)
        check_amounts(repeats, memory)
        if not checkpoint_seconds > 0:
            raise InputError(
                "The time between two checkpoints must be above 0 seconds. "
                f"Received: checkpoint_seconds={checkpoint_seconds!r}. Give for example 60."
            )
        check_flag("shrink", shrink)
        engine, settled = self._engine(folder, engine)
        settings = self._settings(settled, repeats, tflite)
        planned = plan_attempts(grid, lengths, settings)
        with ExitStack() as stack:
            store = stack.enter_context(RunDirectory(folder, settings, about()))
            grid, planned = with_known_names(grid, planned, store.planned)
            store.plan(list(planned.values()))
            if not store.samples.exists():
                self.data.write_samples(store.samples)
            missing = [each for each in planned.values() if not store.is_finished(each.id)]
            unshrunk = shrink and any(
                lacks_shrunk(StoredAttempt.read(folder, each)) for each in planned.values()
            )
            if not tflite:
                converter = None
            elif converter is None and (missing or unshrunk):
                converter = stack.enter_context(TFLiteConverter())
            names = {each.name for each in missing}
            trained = [
                each for each in grid if each.name in names and is_trained(each.pruning_schedule)
            ]
            bar = Progress(
                len(trained) * repeats,
                self.training.epochs,
                self.pretrain_epochs if ORIGINAL in names else 0,
                shown=progress,
            )
            if missing:
                stack.enter_context(bar.told(folder))
            for logger in loggers:
                stack.callback(logger.close)
            say = say or bar.say
            for note in self._notes:
                say(note)
            results = run_attempts(
                self.model,
                grid,
                self.data.train,
                self.data.validation,
                self.training,
                self.evaluate,
                converter,
                bar.on_epoch,
                pretrain_epochs=self.pretrain_epochs,
                engine=engine,
                repeats=repeats,
                memory=memory,
                say=say,
                keeper=RunKeeper(
                    store,
                    planned,
                    seeds_of(grid, self.training, repeats),
                    {
                        each.name: updates_of(each.pruning_schedule.plan(lengths.steps))
                        for each in grid
                        if each.name in names
                    },
                    lengths.steps,
                    checkpoint_seconds,
                    say,
                    loggers,
                ),
                shrink=shrink,
            )
            if unshrunk:
                samples = first_samples(next(self.data.train.epoch(None, 0))[0])
                shrinker = Shrinker(self.model, self.evaluate, converter, samples)
                work = stack.enter_context(scratch_folder(store.work))
                results = with_shrunk(results, self.model, shrinker, work, say)
            with bar:
                for info in results:
                    if on_result is not None:
                        with bar.stopped():
                            on_result(info)
        found = load_results(folder)
        try:
            found.report()
        except Exception as error:  # the run is done: its results do not depend on a page
            say(f"The page could not be written: {type(error).__name__}: {first_line(error)}")
        return found

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
        if is_legacy(self.model):
            raise InputError(
                "A scan is one of a model of Keras 3. Received: the tf_keras model "
                f"{self.model.name!r}. Run a grid, or {IN_KERAS_3}."
            )
        test = self.data.test or self.data.train
        return scan_model(self.model, self.measure, test, sparsities, allocations)

    def evaluate(self, model: Any) -> tuple[Any, float]:
        """Return the predictions of a model on the test data, and their error."""
        # A function of the model that brings its own data takes none of this.
        return self.measure.evaluate(model, self.data.test or self.data.train)

    @property
    def steps(self) -> int:
        """The number of batches on which each attempt trains."""
        return len(self.data.train.sizes) * self.training.epochs

    def _engine(self, folder: Path, wanted: str) -> tuple[str, str]:
        """The engine to ask for, and the one that the run directory names.

        A run that goes on without naming an engine goes on with the one that it began with.
        """
        chosen = choose_engine(self.model, wanted).engine
        if wanted != "auto":
            return wanted, chosen
        if (folder / MANIFEST).exists():
            begun = str(read_manifest(folder).settings.get("engine", chosen))
            if begun != chosen and begun in ENGINES:
                return begun, begun
        return "auto", chosen

    def _settings(self, engine: str, repeats: int, tflite: bool) -> dict[str, Any]:
        """What all attempts share, and what must be the same when a run goes on."""
        return {
            "model": {"digest": model_digest(self.model)},
            "data": self.data.digests(),
            "training": training_settings(self.training),
            "pretrain_epochs": self.pretrain_epochs,
            "error": self.measure.config(),
            "error_name": self.error_name,
            "repeats": repeats,
            "tflite": tflite,
            "engine": engine,
            "backend": keras.config.backend(),
            "platform": platform(),
            "versions": versions(self.model),
        }


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
