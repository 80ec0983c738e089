"""When a run will have trained everything, if it goes on as it does."""

from __future__ import annotations

from datetime import datetime, timedelta

from trimgrid.run_directory.progress_file import RunProgress, Work


def estimated_end(progress: RunProgress, now: datetime) -> datetime | None:
    """Return when the trainings will be done at the present rate; None if that is not known.

    The epochs that are left take the seconds for each that the process tells, counted from when it
    told. An end that is overdue is now.

    >>> from datetime import UTC
    >>> now = datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
    >>> told = now - timedelta(seconds=5)
    >>> progress = RunProgress(
    ...     Work.TRAINING, told, told, 30, 40, ("half",), 1, 0.5, 2.0, 60.0, earlier_seconds=0.0
    ... )
    >>> (estimated_end(progress, now) - now).seconds
    15
    """
    if progress.state is not Work.TRAINING or progress.seconds_per_epoch is None:
        return None
    left = (progress.total_epochs - progress.epochs) * progress.seconds_per_epoch
    try:
        return max(now, progress.told + timedelta(seconds=left))
    except OverflowError:  # beyond the year 9999
        return None
