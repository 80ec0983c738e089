"""A stored attempt timed beside its original, and the times kept in the run directory."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from trimgrid.errors import RunError
from trimgrid.latency import Latency
from trimgrid.run_directory.attempt_files import set_latency
from trimgrid.run_directory.elsewhere import present
from trimgrid.run_directory.manifest import read_manifest
from trimgrid.run_directory.paths import SAMPLES

if TYPE_CHECKING:
    from trimgrid.export.latency import LatencyModel
    from trimgrid.stored.attempt import StoredAttempt


def time_attempt(attempt: StoredAttempt, quantize: str, seconds: float) -> Latency:
    """Time an attempt's files beside the original's; write what came out, and set it.

    The original's `latency_ms` is written too, unless it was timed by itself. An original that is
    not finished or has no model is told of in its place.

    Raises what `StoredAttempt.measure_latency` does.
    """
    from trimgrid.export.latency import MEASURED, LatencyModel, check_latency, measure_latency
    from trimgrid.export.samples import read_samples
    from trimgrid.measures.error_measures import error_measure_from_config

    # Not above: locks are for POSIX only, where results can be read anywhere.
    from trimgrid.run_directory.lock import RunLock

    check_latency(quantize, seconds)
    run_folder = attempt.folder.parent.parent
    manifest = read_manifest(run_folder)
    planned = manifest.planned[0]
    is_original = planned.id == attempt.id
    model = LatencyModel(attempt.name, attempt.model_file, pruned=not is_original)
    original = None if is_original else type(attempt).read(run_folder, planned)
    first = [] if is_original else [_as_model(original, planned.name)]
    with contextlib.ExitStack() as stack:
        for each in filter(None, (original, attempt)):
            stack.enter_context(RunLock(each.folder))
        samples = read_samples(present(run_folder / SAMPLES))
        config = manifest.settings.get("error")
        error = None if config is None else error_measure_from_config(config)
        measured = measure_latency(
            [*first, model], quantize, samples=samples, seconds=seconds, error=error
        )
        times = {file.model: file.milliseconds[1].median for file in measured.all_of(MEASURED)}
        latency_ms = times.get(attempt.name, attempt.latency_ms)
        set_latency(attempt.folder, latency_ms, measured.to_dict())
        attempt.latency, attempt.latency_ms = measured, latency_ms
        if original is not None and original.latency is None and original.name in times:
            set_latency(original.folder, times[original.name], None)
    return measured


def _as_model(original: StoredAttempt | None, name: str) -> LatencyModel:
    from trimgrid.export.latency import LatencyModel

    if original is None:
        return LatencyModel(name, None, pruned=False, reason="It is not finished")
    try:
        return LatencyModel(name, original.model_file, pruned=False)
    except RunError as error:
        return LatencyModel(name, None, pruned=False, reason=str(error))
