"""The data of a study: opened, checked, told apart from other data, and a sample of it kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from trimgrid.data.sources import Batch
from trimgrid.data.splits import Splits, data_digest
from trimgrid.errors import InputError
from trimgrid.export.samples import TEST_ROWS, TRAIN_ROWS, write_samples
from trimgrid.measures.checking import check_measure
from trimgrid.measures.error_kinds import ErrorMeasure
from trimgrid.runs.checking import Opened, open_checked
from trimgrid.training import Training


@dataclass(frozen=True)
class StudyData:
    """What trains, what is watched while it does, and what errors are measured on."""

    train: Opened
    validation: Opened | None
    test: Opened | None

    @classmethod
    def open(
        cls, splits: Splits, model: Any, training: Training, measure: ErrorMeasure
    ) -> StudyData:
        """Open data and check that it fits the model; without test data, test on the validation's.

        Raises `InputError` for data that does not fit, and where an error needs test data that is
        not there.
        """
        train = open_checked(model, splits.train, training, "training data", weighted=True)
        validation = test = None
        if splits.validation is not None:
            validation = open_checked(model, splits.validation, training, "validation data")
        if splits.test is not None:
            # What a function of the model does with the test data is its own business.
            checked = measure.needs_data
            test = open_checked(model, splits.test, training, "test data", checked=checked)
        if test is None and validation is None and measure.needs_data:
            raise InputError(
                "A study measures errors on test data. Received: neither test nor validation data. "
                "Give test=(x, y), or an error that is a function of the model."
            )
        if test is None:
            test = validation
        if test is not None:
            check_measure(measure, model, test)
        return cls(train, validation, test)

    def digests(self) -> dict[str, dict[str, str] | None]:
        """Return what tells this data from other data, ready for JSON."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            name: None if part is None else {"digest": data_digest(part)}
            for name, part in parts.items()
        }

    def write_samples(self, path: Path) -> None:
        """Keep some rows, for exports that are made when the data is not at hand any more."""
        train = _first_rows(self.train, TRAIN_ROWS)
        test = None if self.test is None else _first_rows(self.test, TEST_ROWS)
        write_samples(
            path,
            train_inputs=train[0],
            test_inputs=None if test is None else test[0],
            test_targets=None if test is None else test[1],
            test_weights=None if test is None or len(test) < 3 else test[2],
            train_total=sum(self.train.sizes),
            test_total=0 if self.test is None else sum(self.test.sizes),
        )


def _first_rows(data: Opened, rows: int) -> Batch:
    """The first batches that have so many rows together, joined, or all of them.

    Of a stream whose examples differ in shape only those like the first.
    """
    batches: list[Batch] = []
    for batch in data.epoch(None, 0):
        if batches and _shapes(batch) != _shapes(batches[0]):
            break
        batches.append(batch)
        if sum(data.sizes[: len(batches)]) >= rows:
            break
    joined: Batch = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
    return joined


def _shapes(batch: Batch) -> list[tuple[int, ...]]:
    return [np.shape(array)[1:] for array in keras.tree.flatten(batch)]
