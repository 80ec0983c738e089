"""The forms of a stored attempt, from all that was measured, exported and timed of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from trimgrid.cells import quantized
from trimgrid.errors import InputError
from trimgrid.forms import STORAGES, Form, TFLiteForm
from trimgrid.latency import Latency, TimedFile
from trimgrid.sizes import FileSize

if TYPE_CHECKING:
    from trimgrid.stored.attempt import StoredAttempt

_MEASURED = "dynamic"  # how the `.tflite` that a run measures is quantized
_NO_GAIN = "No tensor has so many zeros that leaving them out saves bytes."
_SPARSE_UNKNOWN = "Not measured: `trimgrid latency` or an export with --sparse does."
_Reasons: TypeAlias = dict[tuple[str, str], str]
"""Why a file is not there, by the form and how its weights are stored."""
_SHRUNK_UNKNOWN = "Not measured: `trimgrid run --shrink`, or an export with it, does."


def forms_of(attempt: StoredAttempt) -> tuple[Form, ...]:
    """Return an attempt dense, sparse and shrunk; "shrunk, sparse" too if it was exported so.

    Of an original, which is not pruned, there are only those that something is known of.
    """
    files: dict[str, dict[str, TFLiteForm]] = {storage: {} for storage in STORAGES}
    reasons: _Reasons = {}
    _add_measured(attempt, files)
    for entry in attempt.exports:
        _add_export(attempt.name, entry, files, reasons)
    for file in () if attempt.latency is None else attempt.latency.files:
        if file.model == attempt.name:
            _add_timed(file, files, reasons)
    forms = [
        _form(attempt, storage, files[storage], _why(storage, files[storage], reasons))
        for storage in STORAGES
    ]
    wanted = ("dense",) if attempt.config.get("original") or attempt.damaged else STORAGES[:3]
    return tuple(form for form in forms if form.known or form.storage in wanted)


def more_than_dense(attempt: StoredAttempt) -> bool:
    """Tell whether something was measured of an attempt that is not dense, or was tried."""
    tried = attempt.shrunk is not None or attempt.latency is not None
    return tried or any(form.known for form in attempt.forms[1:])


def _add_measured(attempt: StoredAttempt, files: dict[str, dict[str, TFLiteForm]]) -> None:
    """What the run measured: the files with int8 weights."""
    size = _size(attempt.tflite_size, attempt.zipped_tflite_size)
    if size is not None:
        files["dense"][_MEASURED] = TFLiteForm(size, milliseconds=attempt.latency_ms)
    if attempt.shrunk is not None:
        size = _size(attempt.shrunk.tflite_size, attempt.shrunk.zipped_tflite_size)
        if size is not None:
            files["shrunk"][_MEASURED] = TFLiteForm(size)


def _add_export(
    name: str,
    entry: Mapping[str, Any],
    files: dict[str, dict[str, TFLiteForm]],
    reasons: _Reasons,
) -> None:
    """What an export told, as far as the entry is whole: hands may have written anything there."""
    if entry.get("format") != "tflite":
        return
    try:
        shrunk = bool((entry.get("shrunk") or {}).get("removed"))
        size = FileSize(int(entry["size"]["plain"]), int(entry["size"]["zipped"]))
        quantize, error = str(entry["quantize"]), entry.get("error")
        error = None if error is None else float(error)
        timed = [*_timed_pair(entry.get("latency"), name)]
    except (AttributeError, KeyError, TypeError, ValueError, InputError):
        return
    storage = "shrunk" if shrunk else "dense"
    sparse = "shrunk, sparse" if shrunk else "sparse"
    if entry.get("sparse"):
        storage = sparse
    elif entry.get("sparse") is False:  # what is saved depends on how long a number is
        reasons.setdefault((sparse, quantize), _NO_GAIN)
    _put(files[storage], quantize, TFLiteForm(size, error))
    for file in timed:
        _add_timed(file, files, reasons)


def _timed_pair(latency: Mapping[str, Any] | None, name: str) -> Iterator[TimedFile]:
    if latency is not None:
        for file in Latency.from_dict(latency).files:
            if file.model == name:
                yield file


def _add_timed(file: TimedFile, files: dict[str, dict[str, TFLiteForm]], reasons: _Reasons) -> None:
    if file.storage not in files:
        return
    if file.size is None:
        why = f"{(file.reason or 'It has no file').rstrip('.')}."
        reasons.setdefault((file.storage, file.quantize), why)
        return
    time = file.milliseconds.get(1)
    known = TFLiteForm(file.size, file.error, None if time is None else time.median)
    _put(files[file.storage], file.quantize, known)


def _put(files: dict[str, TFLiteForm], quantize: str, found: TFLiteForm) -> None:
    """Put what is known of a file to what was known before; what is new counts."""
    before = files.get(quantize, found)
    files[quantize] = replace(
        found,
        error=before.error if found.error is None else found.error,
        milliseconds=before.milliseconds if found.milliseconds is None else found.milliseconds,
    )


def _why(storage: str, files: Mapping[str, TFLiteForm], reasons: _Reasons) -> str | None:
    """Why files of a form are not there; of sparse ones each kind of numbers has its own reason."""
    found = {
        quantize: why
        for (place, quantize), why in reasons.items()
        if place == storage and quantize not in files
    }
    if "sparse" not in storage:
        return next(iter(found.values()), None)
    told = [f"{why.removesuffix('.')} ({quantized(each)})." for each, why in found.items()]
    return " ".join(told) or None


def _form(
    attempt: StoredAttempt,
    storage: str,
    files: Mapping[str, TFLiteForm],
    why: str | None,
) -> Form:
    if storage == "dense":
        has_model = attempt.keras_size is not None
        return Form(
            storage,
            attempt.total_weights if has_model else None,
            attempt.zipped_h5_size,
            attempt.zipped_keras_size,
            attempt.error if math.isfinite(attempt.error) else None,
            files,
            None if attempt.status == "ok" else attempt.status,
        )
    if storage != "shrunk":
        unknown = None if files or storage != "sparse" else _SPARSE_UNKNOWN
        return Form(storage, tflite=files, reason=why or unknown)
    shrunk = attempt.shrunk
    if shrunk is None:
        unknown = None if files else _SHRUNK_UNKNOWN
        return Form(storage, tflite=files, reason=why or unknown)
    return Form(
        storage,
        shrunk.total_weights if shrunk.units else None,
        shrunk.zipped_h5_size,
        shrunk.zipped_keras_size,
        shrunk.error if math.isfinite(shrunk.error) else None,
        files,
        shrunk.reason or why,
    )


def _size(plain: int | None, zipped: int | None) -> FileSize | None:
    return None if plain is None or zipped is None else FileSize(plain, zipped)
