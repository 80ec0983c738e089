"""The photographs of flowers that the article's example 3 uses, through TensorFlow Datasets."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np

from trimgrid.errors import InputError, first_line
from trimgrid.examples.data import Pair, Split
from trimgrid.optional import optional_modules

SIDE = 180
SPLITS = ("train[:80%]", "train[80%:90%]", "train[90%:]")
_ANSWER_SECONDS = 10


def load_tf_flowers(data_dir: str | Path | None = None) -> Split:
    """Return the 3,670 photographs of `tf_flowers`, 5 classes, in the article's splits.

    Training 80 %, validation 10 %, test 10 % (2,936, 367 and 367), resized to 180x180 pixels. x is
    float32 in [0, 1], y holds the class numbers, int32. The arrays take 1.43 GB, loading them
    about 3 GB with TensorFlow. They are not bytes that the model scales, so that the model and what
    it sees are the article's.

    `data_dir` is a folder that TFDS has prepared or is to prepare the data in, one that holds the
    downloaded archive `flower_photos.tgz`, or that archive. Without it TFDS's own folder is used.
    What is missing is downloaded (229 MB) and prepared once.

    Raises `InputError` if TFDS is missing, or the data can't be read or downloaded.
    """
    tfds, tf = optional_modules(
        "This data", "examples", "tensorflow-datasets", "tensorflow_datasets", "tensorflow"
    )
    path = None if data_dir is None else Path(data_dir).expanduser()
    if path is not None and not path.exists():
        raise _unavailable(f"data_dir={str(data_dir)!r}, which does not exist")
    try:
        with _quiet(tfds):
            datasets = _prepared(tfds, path).as_dataset(
                split=list(SPLITS), as_supervised=True, shuffle_files=False
            )
            train, validation, test = (_arrays(tf, dataset) for dataset in datasets)
    except InputError:
        raise
    except Exception as error:  # TFDS, its file systems and its downloader raise of all kinds
        raise _unavailable(f"{type(error).__name__}: {first_line(error).strip('<>.')}") from error
    return Split(train, validation, test)


def _prepared(tfds: Any, data_dir: Path | None) -> Any:
    """Return the dataset's builder, after its data has been prepared if it was not yet."""
    folder = data_dir.parent if data_dir is not None and data_dir.is_file() else data_dir
    if folder is not None and (directory := _prepared_directory(folder)) is not None:
        builder = tfds.builder_from_directory(directory)
        if builder.name != "tf_flowers":
            raise _unavailable(f"data_dir={str(data_dir)!r} with the dataset {builder.name}")
        return builder
    builder = tfds.builder("tf_flowers", data_dir=folder)
    if builder.is_prepared():
        return builder
    [(url, archive)] = builder.url_infos.items()
    if data_dir is not None and data_dir.is_file() and data_dir.name != archive.filename:
        raise _unavailable(f"data_dir={str(data_dir)!r}, which is not named {archive.filename}")
    has_archive = folder is not None and (folder / archive.filename).is_file()
    if not has_archive:
        # TFDS alone tries for minutes before it gives up.
        with urlopen(Request(url, method="HEAD"), timeout=_ANSWER_SECONDS):
            pass
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=folder, try_download_gcs=not has_archive
        )
    )
    return builder


def _prepared_directory(folder: Path) -> Path | None:
    """Return the folder, or the one of a version in it, if TFDS wrote a dataset right there."""
    for pattern in ("dataset_info.json", "*.*.*/dataset_info.json"):
        for info in sorted(folder.glob(pattern)):
            return info.parent
    return None


def _arrays(tf: Any, dataset: Any) -> Pair:
    """Return a dataset's images, resized and scaled, and labels; only one copy is ever held."""

    def prepare(image: Any, label: Any) -> tuple[Any, Any]:
        return tf.image.resize(image, (SIDE, SIDE)) / 255.0, label

    count = int(dataset.cardinality())
    images = np.empty((count, SIDE, SIDE, 3), np.float32)
    labels = np.empty(count, np.int32)
    prepared = dataset.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    for index, (image, label) in enumerate(prepared.as_numpy_iterator()):
        images[index], labels[index] = image, label
    return images, labels


def _unavailable(received: str) -> InputError:
    return InputError(
        "The flower photographs must be on this machine or in reach. "
        f"Received: {received.rstrip('.')}. "
        "Use --data photos or --data mnist, which need no download, or --data-dir with a folder "
        "prepared by TFDS or with the archive flower_photos.tgz."
    )


@contextmanager
def _quiet(tfds: Any) -> Iterator[None]:
    """Keep TFDS from printing, logging and drawing progress bars."""
    logger = logging.getLogger("absl")
    level = logger.level
    tfds.disable_progress_bar()
    logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
